"""Small pictures of faces: where they may arise at all, and how one is named. Never the picture itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

CANDIDATE_S = 30
"""How long a picture lives that no event names, s."""
PictureKind = Literal["snapshot", "crop"]
_URI = re.compile(r"maskwatch:(snapshot|crop)/([a-z0-9][a-z0-9_.-]{0,62})/(\d{1,16})/(\d{1,16})/(\d{1,4})")


class Training(BaseModel):
    """Whether small crops of faces may be kept to train on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    consent: bool = Field(default=False, description="Whether there is a legal basis to keep crops of faces here.")
    share: float = Field(default=0.0, ge=0, le=1, description="Share of all faces that is drawn at random, 0 to 1.")
    hours: float = Field(default=72.0, gt=0, le=168, description="Hours after which a crop is gone.")


@dataclass(frozen=True, slots=True)
class PictureRules:
    """Which pictures may be made at one camera.

    Attributes:
        mode: Privacy mode of the site, as events name it.
        snapshots: Whether faces that may be violations are pictured with what is around them.
        snapshot_s: How long the snapshot of an event is kept, s.
        redacted: Whether the face itself is made unrecognisable, too.
        crops: Whether crops may be kept to train on.
        crop_share: Share of all faces drawn for that at random, 0 to 1.
        crop_s: How long such a crop is kept, s.
    """

    mode: str = "full"
    snapshots: bool = False
    snapshot_s: float = 0.0
    redacted: bool = False
    crops: bool = False
    crop_share: float = 0.0
    crop_s: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether no picture of any kind may be made."""
        return not (self.snapshots or self.crops)


NO_PICTURES = PictureRules()


class PictureRef(NamedTuple):
    """Names one picture.

    Attributes:
        kind: ``snapshot`` (the face and what is around it) or ``crop`` (the face alone, for training).
        camera: Camera id.
        session: Session of the frame.
        seq: Sequence number of the frame.
        face: The face's place in the frame's result, from 0.
    """

    kind: PictureKind
    camera: str
    session: int
    seq: int
    face: int

    @property
    def uri(self) -> str:
        """Write it as events name it; no address, so that it can be fetched only by who may read the frames broker."""
        return f"maskwatch:{self.kind}/{self.camera}/{self.session}/{self.seq}/{self.face}"

    @classmethod
    def of_uri(cls, uri: str) -> PictureRef:
        """Read what `uri` wrote.

        Raises:
            ValueError: It names no picture.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"{uri[:200]!r} names no picture")
        kind: PictureKind = "snapshot" if match[1] == "snapshot" else "crop"
        return cls(kind, match[2], int(match[3]), int(match[4]), int(match[5]))


def drawn(ref: PictureRef, share: float) -> bool:
    """Say whether a face belongs to the random share, 0 to 1, of all faces; anybody gets the same answer at any time.

    The draw sees nothing but the name, so it does not favour any kind of face.
    """
    name = f"{ref.camera}/{ref.session}/{ref.seq}/{ref.face}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) < share * 2**64
