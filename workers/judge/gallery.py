"""Which picture of a person an episode shows: the best one so far that can still be kept. Names only, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from common.events import Crop, PrivacyInfo, Snapshot, timestamp
from common.pictures import CANDIDATE_S, PictureKind, PictureRef, PictureRules
from common.resultrecord import Face
from workers.judge.quality import Look

FRESH_MS = CANDIDATE_S * 1000 - 10_000  # what is named later may be gone before it can be kept
MUCH_BETTER = 1.5
LARGE_FACE_PX = 96.0
SHARP_BLUR = 60.0


class Pictured(NamedTuple):
    """One picture: of which face it is, how good, when (ms), and what is known of it."""

    session: int
    seq: int
    face: int
    score: float
    t_ms: int
    width: int
    height: int
    sha256: str
    blurred: int
    kinds: tuple[PictureKind, ...]

    def ref(self, kind: PictureKind, camera: str) -> PictureRef:
        """Name it on the frames broker."""
        return PictureRef(kind, camera, self.session, self.seq, self.face)


@dataclass(slots=True)
class Gallery:
    """The pictures of one track.

    Attributes:
        best: The best one that may still be named.
        shown: The one that the last message named.
    """

    best: Pictured | None = None
    shown: Pictured | None = None

    def see(self, face: Face, name: tuple[int, int, int], look: Look, t_ms: int) -> None:
        """Take up the picture of a reading, if it has one and shows a violation.

        Args:
            face: The reading.
            name: Session, sequence number and place in the result.
            look: How well the face could be seen.
            t_ms: Capture time.
        """
        note, (covered, *open_ones) = face.picture, face.probabilities
        if note is None or max(open_ones) <= covered:
            return
        sharp = 1.0 if look.blur is None else min(1.0, look.blur / SHARP_BLUR)
        score = round(max(open_ones) * min(1.0, look.face_px / LARGE_FACE_PX) * max(0.2, sharp), 3)
        if self.best is None or score > self.best.score or not self._fresh(t_ms):
            self.best = Pictured(
                *name, score, t_ms, note.width, note.height, note.sha256, int(note.blurred), note.kinds
            )

    def much_better(self, t_ms: int) -> bool:
        """Say whether there is a snapshot worth a message of its own."""
        if self.best is None or self.best == self.shown or "snapshot" not in self.best.kinds or not self._fresh(t_ms):
            return False
        return self.shown is None or self.best.score >= MUCH_BETTER * self.shown.score

    def show(self, t_ms: int) -> bool:
        """Choose the picture that a message names; True where it is another than before."""
        best, shown = self.best, self.shown
        if best is None or best == shown or not self._fresh(t_ms) or (shown is not None and shown.score > best.score):
            return False
        self.shown = best
        return True

    def close(self) -> None:
        """Forget everything: what comes is another episode."""
        self.best = self.shown = None

    def to_json(self) -> list[Any]:
        """Write it; empty where there is nothing."""
        return [self.best, self.shown] if self.best or self.shown else []

    @classmethod
    def from_json(cls, raw: list[Any]) -> Gallery:
        """Read what `to_json` wrote."""
        return cls(*(None if one is None else Pictured._make((*one[:9], tuple(one[9]))) for one in raw))

    def _fresh(self, t_ms: int) -> bool:
        return self.best is not None and t_ms - self.best.t_ms <= FRESH_MS


def words(shown: Pictured | None, camera: str, rules: PictureRules) -> tuple[PrivacyInfo, Snapshot | None, Crop | None]:
    """Say in an event which pictures there are, as far as the plan in force allows any."""
    mode: Any = rules.mode
    if shown is None:
        return PrivacyInfo(mode=mode), None, None
    snapshot = crop = until = None
    if rules.snapshots and "snapshot" in shown.kinds:
        snapshot = Snapshot(
            uri=shown.ref("snapshot", camera).uri,
            width=shown.width,
            height=shown.height,
            blurred=bool(shown.blurred),
            sha256=shown.sha256,
        )
        until = timestamp(shown.t_ms / 1000 + rules.snapshot_s)
    if rules.crops and "crop" in shown.kinds:
        crop_until = timestamp(shown.t_ms / 1000 + rules.crop_s)
        crop = Crop(uri=shown.ref("crop", camera).uri, retain_until=crop_until)
    return PrivacyInfo(mode=mode, blurred=snapshot is not None, retain_until=until), snapshot, crop
