"""Makes ready what is to serve, aside from what does: fetched, proven, opened, warmed up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.models.manifest import bundled
from common.models.versionref import VersionRef
from workers.backends.backend import load_models, open_backend
from workers.infer.outcomes import Signature, ref_of
from workers.infer.settings import InferSettings
from workers.infer.versions.failures import LoadError, failure_of
from workers.infer.versions.serving import Choice, Served
from workers.infer.versions.trial import Trial, TrialQuestion
from workers.infer.vision.opening import pipeline_for
from workers.infer.vision.timing import StageTimer, no_timer

Fetch = Callable[[VersionRef], Path]
"""Gives the folder of a version, complete and verified."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is made ready.

    Attributes:
        prove: Whether it must stand trial in a process of its own first.
        beside: What serves now: its canvases are warmed up as well.
        threads: Processor threads; None as the settings say.
        timed: Whether its stages are timed.
        late: Whether networks that are kept compiled may be loaded when they are first needed.
    """

    prove: bool = True
    beside: Served | None = None
    threads: int | None = None
    timed: bool = True
    late: bool = False


class Loader:
    """Makes ``Served`` of choices; used by one thread at a time.

    Attributes:
        trial: Where candidates are proven; cancel it to end a load that is under way.

    Args:
        settings: The worker's.
        timer: Told how long the stages of what serves take.
    """

    def __init__(self, settings: InferSettings, timer: StageTimer) -> None:
        self.trial = Trial()
        self._settings = settings
        self._timer = timer
        self._proven: set[tuple[Path, Path]] = set()

    def pinned(self, choice: Choice) -> Choice:
        """Leave out what the settings pin to a folder of their own."""
        detector = None if self._settings.detector_dir else choice.detector
        classifier = None if self._settings.classifier_dir else choice.classifier
        return replace(choice, detector=detector, classifier=classifier)

    def own(self, generation: int = 0) -> Served:
        """Make the folders of the settings ready, else what ships.

        Raises:
            ModelError: A version may not serve.
            BackendError: The backend cannot run here.
        """
        folders = self._folders(Choice(), _no_fetch)
        served = self._open(Choice(generation), folders, Manner(late=True), ())
        self._proven.add(folders)
        return served

    def load(self, choice: Choice, fetch: Fetch, manner: Manner = Manner()) -> Served:
        """Make a choice ready.

        Raises:
            LoadError: It may not serve; nothing of it stays open.
        """
        try:
            folders = self._folders(choice, fetch)
            canvases = manner.beside.pipeline.canvases_used() if manner.beside else ()
            # A folder's name holds its digest, and fetching verified it: what served before needs no second trial.
            if manner.prove and folders not in self._proven:
                self.trial.run(TrialQuestion(settings=self._settings, folders=folders, canvases=canvases))
            self._proven.add(folders)
            return self._open(choice, folders, manner, canvases)
        except Exception as error:
            # Whatever a version makes a library raise, it must not end the worker.
            raise failure_of(error) from error

    def cost_ratio(self, choice: Choice, fetch: Fetch, base: Served) -> float | None:
        """Prove a choice and say what it costs, as a multiple of what ``base`` costs.

        Raises:
            LoadError: It may not serve.
        """
        try:
            question = TrialQuestion(settings=self._settings, folders=self._folders(choice, fetch), base=base.folders)
            return self.trial.run(question).cost_ratio
        except Exception as error:
            raise failure_of(error) from error

    def _folders(self, choice: Choice, fetch: Fetch) -> tuple[Path, Path]:
        detector = fetch(choice.detector) if choice.detector else self._settings.detector_dir or bundled("detector")
        own = self._settings.classifier_dir or bundled("classifier")
        return detector, fetch(choice.classifier) if choice.classifier else own

    def _open(
        self, choice: Choice, folders: tuple[Path, Path], manner: Manner, canvases: Sequence[tuple[int, int]]
    ) -> Served:
        # Frames wait for a start; what is made ready beside something that serves has time.
        settings, options = self._settings, replace(self._settings.options(), load_late=manner.late)
        if manner.threads is not None:
            options = replace(options, threads=manner.threads)
        models = load_models(*folders)
        backend = open_backend(settings.backend, *models, options)
        try:
            pipeline = pipeline_for(backend, models, settings.pipeline(), self._timer if manner.timed else no_timer)
            pipeline.warm_up(settings.batch_size, canvases)
        except BaseException:
            backend.close()
            raise
        detector, classifier = models
        signature = Signature(settings.consumer, backend.name, ref_of(detector), ref_of(classifier))
        return Served(pipeline, signature, choice)


def _no_fetch(ref: VersionRef) -> Path:
    raise LoadError("unknown", f"{ref.label}: no registry")


def blamed(failure: LoadError, choice: Choice) -> str:
    """Say which kind of network failed; ``both`` where both are new and it cannot be told."""
    named = [ref.kind for ref in choice.refs if ref.folder in str(failure) or ref.label in str(failure)]
    kinds = sorted(set(named or [ref.kind for ref in choice.refs]))
    return kinds[0] if len(kinds) == 1 else "both"
