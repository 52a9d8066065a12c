"""Every error that maskwatch raises on purpose, as one tree.

    MaskwatchError
    ├── ConfigError                 the operator's input; exit 2; says the key's path and the nearest valid name
    │   ├── SitePlanError           a site plan that cannot be used
    │   ├── FeedbackRefusedError    a verdict on an alarm that is not taken; ``reason`` is the metric label
    │   └── PortInUseError          a metrics or page port somebody else holds
    ├── SourceError                 a camera or file; retried with backoff, other cameras go on
    │   ├── SourceUnreachableError  nothing answers there
    │   ├── NotAVideoError          something answers, but it is no video or picture
    │   └── SourceEndedError        a finite source has delivered its last frame (not a fault)
    ├── FrameRejectedError          one frame that may not be decoded; counted by ``reason``, acknowledged
    ├── WireError                   a message in a stream that is not ours; dead-lettered by ``reason``
    ├── BrokerError                 the broker; ``code`` is the metric label
    │   ├── BrokerUnavailableError  no answer, or a state that passes (LOADING, READONLY, …): retry with backoff.
    │   │                           ``in_doubt`` says whether the command may have been carried out
    │   ├── BrokerRefusedError      a definite no: nothing was written (OOM, MISCONF, NOPERM, NOAUTH)
    │   ├── FencedError             another owner holds the partition; drop everything unsaved and stop judging it
    │   ├── OffsetMovedError        the commit's base is not what is stored; reload before going on
    │   ├── LayoutMismatchError     the stored partition count is another; refuse to start
    │   └── BrokerUnfitError        too old, evicting, or not startable; refuse to start
    ├── ModelError                  a model version; the one in service stays
    │   ├── ManifestError           the manifest is missing, malformed or names another layout
    │   ├── BlobMismatchError       a blob's size or sha256 is not what the manifest says
    │   ├── ProbeError              the network loads but does not answer as its manifest promises
    │   ├── VersionRefusedError     a registry does not take or give a version; ``reason`` is the metric label
    │   ├── UnknownVersionError     a registry has no such version or generation
    │   ├── StaleGenerationError    somebody else has changed the pointer since; nothing was changed
    │   └── RegistryUnwritableError a registry's folder cannot be written; nothing of it was changed
    ├── BackendError                an inference backend that cannot run here
    └── TrainingError               data or a run folder that cannot be trained from
        └── SampleRefusedError      a face crop that may not be kept to train on; ``reason`` is the metric label

Whose fault decides what happens: configuration stops the process with exit status 2, a camera is retried, a
frame or message is counted and put aside, a broker is waited for, a model is kept out. Nothing else is caught.
"""

from __future__ import annotations


class MaskwatchError(Exception):
    """Base of everything raised on purpose."""


class ConfigError(MaskwatchError):
    """The operator's input is wrong. The message names the key's path and, where there is one, the nearest name."""


class SitePlanError(ConfigError):
    """A site plan that cannot be used; the plan in force stays."""


class FeedbackRefusedError(ConfigError):
    """A person's verdict that is not taken, or an order about it that cannot be carried out; nothing was changed.

    Attributes:
        reason: Metric label, one of ``label``, ``by``, ``at``, ``event_id``, ``unknown_event``, ``not_a_violation``,
            ``camera``, ``operators``, ``fields``, ``picture``, ``privacy``, ``busy``, ``defect``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PortInUseError(ConfigError):
    """A port that was asked for belongs to somebody else; nothing was bound."""


class SourceError(MaskwatchError):
    """A camera or file did not deliver. Other cameras are untouched."""


class SourceUnreachableError(SourceError):
    """Nothing answers at the address, or the file is missing."""


class NotAVideoError(SourceError):
    """Something is there, but no frame can be read from it."""


class SourceEndedError(SourceError):
    """A finite source delivered its last frame; not a fault."""


class FrameRejectedError(MaskwatchError):
    """One frame that may not be decoded; nothing was allocated for it.

    Attributes:
        reason: Metric label, one of ``empty``, ``too_big``, ``magic``, ``header``, ``dimensions``, ``process``,
            ``components``, ``truncated``, ``decode``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WireError(MaskwatchError):
    """A stream entry that is not a message of ours; it can be acknowledged and dead-lettered.

    Attributes:
        reason: Metric label, one of ``fields``, ``schema``, ``version``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BrokerError(MaskwatchError):
    """The broker did not do as asked.

    Attributes:
        code: Metric label: the broker's own error prefix in lower case (``oom``, ``noperm``), or ``connection``,
            ``timeout``, ``fenced``, ``offset``, ``layout``, ``unfit``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BrokerUnavailableError(BrokerError):
    """No answer, or a state that passes by itself. Try again with backoff.

    Attributes:
        in_doubt: True where the command may have been carried out although its reply was lost.
        node: The node of a cluster that did not answer while others do; empty where the whole broker is away.
    """

    def __init__(self, code: str, message: str, *, in_doubt: bool = False, node: str = "") -> None:
        super().__init__(code, message)
        self.in_doubt = in_doubt
        self.node = node


def of_one_node(error: BrokerError) -> bool:
    """Say whether one node of a cluster did not answer while others do."""
    return isinstance(error, BrokerUnavailableError) and bool(error.node)


class BrokerRefusedError(BrokerError):
    """A definite no: the command was not carried out."""


class FencedError(BrokerError):
    """Another owner took the partition over; nothing of this commit was written."""

    def __init__(self, message: str) -> None:
        super().__init__("fenced", message)


class OffsetMovedError(BrokerError):
    """The stored offset is not the one this commit starts from; nothing of it was written."""

    def __init__(self, message: str) -> None:
        super().__init__("offset", message)


class LayoutMismatchError(BrokerError):
    """The broker holds another partition count than the one asked for; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__("layout", message)


class BrokerUnfitError(BrokerError):
    """A broker that must not be used: too old, evicting keys, or impossible to start."""

    def __init__(self, message: str) -> None:
        super().__init__("unfit", message)


class ModelError(MaskwatchError):
    """A model version that may not serve; whatever serves now stays."""


class ManifestError(ModelError):
    """The manifest is missing, malformed, or describes something else than was asked for."""


class BlobMismatchError(ModelError):
    """A blob's size or sha256 differs from its manifest; it was not parsed."""


class ProbeError(ModelError):
    """The network loads but does not answer its manifest's probe within tolerance."""


class VersionRefusedError(ModelError):
    """A version that a registry does not take or give.

    Attributes:
        reason: Metric label, one of ``name``, ``kind``, ``arch``, ``classes``, ``files``, ``hash``, ``header``,
            ``tensors``, ``size``, ``manifest``, ``probe``, ``signature``, ``taken``, ``needed``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnknownVersionError(ModelError):
    """A registry has no such version or generation; nothing was changed."""


class StaleGenerationError(ModelError):
    """Another generation is in force than the one that was expected; nothing was changed.

    Attributes:
        generation: The one in force.
        by: Who made it.
        why: For what reason.
    """

    def __init__(self, expected: int, generation: int, by: str, why: str) -> None:
        words = f"{by or 'somebody'} made it{f': {why}' if why else ''}"
        super().__init__(f"generation {generation} is in force, not {expected}: {words}; nothing was changed")
        self.generation, self.by, self.why = generation, by, why


class RegistryUnwritableError(ModelError):
    """A registry's or cache's folder cannot be written; nothing of it was changed, and what serves stays."""


class BackendError(MaskwatchError):
    """An inference backend cannot run on this machine; the message says what is missing and how to get it."""


class TrainingError(MaskwatchError):
    """Data or a run folder that cannot be trained from; finished checkpoints are untouched."""


class SampleRefusedError(TrainingError):
    """A face crop that may not be kept to train on; nothing of it was written.

    Attributes:
        reason: Metric label: ``no_face``, or one of `FrameRejectedError`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
