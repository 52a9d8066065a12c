"""What live results say of two classifiers that serve side by side: a sample of the newest, counted by version."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from common.broker.client import Client, call_many
from common.errors import BrokerError, WireError
from common.partition import Keys
from common.schema import LABELS, FrameResult, read_result
from trainer.service.promotion import Observation

MIN_FACE_PX, MIN_PROBABILITY = 20.0, 0.55
"""What may vote, as the judge's own limits are unless a plan says otherwise."""
LATENCIES_KEPT = 2000
NO_MASK = LABELS.index("no_mask")


@dataclass(slots=True)
class Figures:
    """Sums of one version: faces that may vote, those on which it says nothing firm, bare ones, and times."""

    frames: int = 0
    faces: int = 0
    undetermined: int = 0
    bare: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, result: FrameResult) -> None:
        """Count one result."""
        self.frames += 1
        for face in result.faces:
            x1, y1, x2, y2 = face.box
            if max((x2 - x1) * result.width, (y2 - y1) * result.height) < MIN_FACE_PX:
                continue
            self.faces += 1
            best = max(face.probabilities)
            self.undetermined += best < MIN_PROBABILITY
            self.bare += best >= MIN_PROBABILITY and face.probabilities.index(best) == NO_MASK
        if len(self.seconds) < LATENCIES_KEPT:
            self.seconds.append(max(0.0, result.inferred_at - result.published_at))

    @property
    def undetermined_share(self) -> float:
        """Share of faces without a firm verdict."""
        return self.undetermined / self.faces if self.faces else 0.0


class LiveFigures:
    """Follows the newest results of every partition (state endpoint), a sample of them where there are many.

    Args:
        client: Command client.
        keys: Key names.
        sample: Results a partition and look.
    """

    def __init__(self, client: Client, keys: Keys, sample: int = 50) -> None:
        self._client = client
        self._keys = keys
        self._sample = sample
        self._last: dict[int, bytes] = {}
        self.versions: dict[str, Figures] = defaultdict(Figures)

    def look(self) -> None:
        """Count results that came since the last look.

        Raises:
            BrokerError: The broker does not answer; nothing was counted.
        """
        numbers = range(self._keys.partitions)
        commands = [("XREVRANGE", self._keys.results(n), "+", "-", "COUNT", self._sample) for n in numbers]
        for number, answer in zip(numbers, call_many(self._client, commands), strict=True):
            if isinstance(answer, BrokerError):
                raise answer
            seen = self._last.get(number)
            for entry_id, fields in answer:
                if entry_id == seen:
                    break
                self._count(dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields)
            if answer:
                self._last[number] = answer[0][0]

    def compare(self, candidate: str) -> Observation:
        """Set the candidate's figures beside those of all other versions; shares of nothing are None."""
        own = self.versions.get(candidate, Figures())
        others = [figures for version, figures in self.versions.items() if version != candidate]
        faces = sum(one.faces for one in others)
        if not own.faces or not faces:
            return Observation(faces=own.faces)
        before = sum(one.undetermined for one in others) / faces
        times = [second for one in others for second in one.seconds]
        latency = median(own.seconds) / max(median(times), 1e-6) if own.seconds and times else None
        return Observation(faces=own.faces, latency=latency, undetermined=own.undetermined_share - before)

    def _count(self, fields: dict[bytes, bytes]) -> None:
        try:
            result = read_result(fields.get(b"r", b""))
        except WireError:
            return
        if isinstance(result, FrameResult) and result.classifier is not None:
            self.versions[result.classifier.version].add(result)
