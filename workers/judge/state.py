"""What the judge knows of one camera, as it is stored on the broker: versioned, compact, exact.

Times are whole milliseconds and positions are rounded as they are made, so a judge that loads this goes on exactly
as the one that wrote it would have.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from common.errors import WireError
from common.events import ModelInfo, sequence
from common.schema import CameraState as Picture
from workers.judge.accounting import Accounting, Book, book_from_json, book_to_json
from workers.judge.census import Census
from workers.judge.episodes import Case
from workers.judge.gallery import Gallery
from workers.judge.incidents import Incident, Incidents
from workers.judge.tracker import Frame, Sight, Track
from workers.judge.votes import VoteWindow
from workers.judge.zoning import Presence

STATE_VERSION = 2
_PACK_ABOVE_BYTES = 1024
_LARGEST_BYTES = 1 << 20
_to_text = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class Standing:
    """The camera itself, as last announced. Times in ms.

    Attributes:
        picture: State in the last status message; None before the first.
        count: Status messages so far; part of their ids.
        mark_ms: Producer time of the newest mark of the session.
        alive_ms: Broker time of the last message of the current session; 0 before the first.
        judged_ms: Broker time of the last frame that was judged.
        tail: Frames that marks have promised: next sequence number, and broker time of the promise.
        closing: The same for frames that come before the camera counts as closed.
        closed: Whether what it shows is not judged, because it is offline or frozen.
    """

    picture: Picture | None = None
    count: int = 0
    mark_ms: int = 0
    alive_ms: int = 0
    judged_ms: int = 0
    tail: tuple[int, int] | None = None
    closing: tuple[int, int] | None = None
    closed: bool = False


@dataclass(slots=True)
class CameraState:
    """Everything that is kept of one camera between two results.

    Attributes:
        sequence: Number of the next event.
        standing: The camera itself.
        book: Its frames.
        tracks: The faces that are followed.
        model: The model versions behind the last result.
        worker: Who inferred it.
        incidents: Counts of its incident rules.
        census: Its people, counted for statistics.
    """

    sequence: int = 0
    standing: Standing = field(default_factory=Standing)
    book: Book = field(default_factory=Book)
    tracks: list[Track] = field(default_factory=list)
    model: ModelInfo = field(default_factory=ModelInfo)
    worker: str = ""
    incidents: Incidents = field(default_factory=dict)
    census: Census = field(default_factory=Census)

    def next_sequence(self) -> str:
        """Give the next event its number."""
        number, self.sequence = self.sequence, self.sequence + 1
        return sequence(number)

    def to_bytes(self) -> bytes:
        """Write the state; above 1 KiB it is deflated."""
        frames: dict[Frame, int] = {}
        tracks = [_track_to_json(track, frames) for track in self.tracks]
        standing = self.standing
        raw = {
            "v": STATE_VERSION,
            "q": self.sequence,
            "s": [standing.picture, standing.count, standing.mark_ms, standing.alive_ms, standing.judged_ms],
            "w": [standing.tail, standing.closing, int(standing.closed)],
            "b": book_to_json(self.book),
            "m": self.model.model_dump(exclude_none=True),
            "i": self.worker,
            "f": list(frames),
            "t": tracks,
            "y": self.census.to_json(),
        }
        if self.incidents:
            raw["n"] = {name: incident.to_json() for name, incident in self.incidents.items()}
        text = _to_text(raw).encode()
        return text if len(text) <= _PACK_ABOVE_BYTES else zlib.compress(text, 6)

    @classmethod
    def from_bytes(cls, raw: bytes) -> CameraState:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: Not a state of this version.
        """
        try:
            return _state_from_json(json.loads(_unpack(raw)))
        except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
            raise WireError("schema", f"judge state: {error!r}"[:200]) from error


def read_accounting(raw: bytes) -> Accounting:
    """Give the frame accounting of a camera from its stored state.

    Args:
        raw: The camera's field of the partition's state.

    Raises:
        WireError: Not a state of this version.
    """
    return CameraState.from_bytes(raw).book.balance()


def _unpack(raw: bytes) -> bytes:
    if raw[:1] == b"{":
        return raw
    reader = zlib.decompressobj()
    text = reader.decompress(raw, _LARGEST_BYTES)
    if not reader.eof:
        raise ValueError("larger than any state, or cut")
    return text


def _state_from_json(raw: dict[str, Any]) -> CameraState:
    if raw["v"] != STATE_VERSION:
        raise WireError("version", f"judge state: version {raw['v']}, this judge knows {STATE_VERSION}")
    frames = [Frame(*values) for values in raw["f"]]
    picture, *times = raw["s"]
    tail, closing, closed = raw["w"]
    standing = Standing(None if picture is None else Picture(picture), *times)
    standing.tail = tail and (tail[0], tail[1])
    standing.closing = closing and (closing[0], closing[1])
    standing.closed = bool(closed)
    tracks = [_track_from_json(values, frames) for values in raw["t"]]
    model = ModelInfo.model_validate(raw["m"])
    incidents = {name: Incident.from_json(values) for name, values in raw.get("n", {}).items()}
    census = Census.from_json(raw["y"]) if "y" in raw else Census()
    return CameraState(raw["q"], standing, book_from_json(raw["b"]), tracks, model, raw["i"], incidents, census)


def _track_to_json(track: Track, frames: dict[Frame, int]) -> list[Any]:
    sight, case = track.sight, track.case
    index = frames.setdefault(sight.frame, len(frames))
    return [
        [track.session, track.first_seq, track.ordinal, track.hits, track.misses, track.first_ms, track.last_ms],
        [track.x, track.y, track.w, track.h, track.vx, track.vy],
        [index, sight.box, round(sight.score, 3), sight.blur, sight.yaw, sight.occlusion],
        track.window.to_text(),
        _case_to_json(case),
        {name: [int(one.inside), one.since_ms, one.frames, one.other_ms] for name, one in track.places.items()},
        track.still,
        *case.gallery.to_json(),
    ]


def _track_from_json(raw: list[Any], frames: list[Frame]) -> Track:
    name, motion, seen, votes, case, places, still, *pictures = raw
    session, first_seq, ordinal, hits, misses, first_ms, last_ms = name
    x, y, w, h, vx, vy = motion
    index, box, *looks = seen
    sight = Sight(frames[index], (box[0], box[1], box[2], box[3]), *looks)
    track = Track(session, first_seq, ordinal, hits, misses, first_ms, last_ms, x, y, w, h, vx, vy, sight)
    track.window, track.case = VoteWindow.from_text(votes), _case_from_json(case)
    track.case.gallery = Gallery.from_json(pictures)
    track.still = (still[0], still[1], still[2], still[3])
    track.places = {name: Presence(bool(inside), *times) for name, (inside, *times) in places.items()}
    return track


def _case_to_json(case: Case) -> list[Any]:
    head = [case.verdict, case.since_ms, case.best]
    if not case.ordinal:
        return head
    said: list[Any] = [case.severity, case.told, case.told_ms, case.updates, case.started_ms, case.ended_ms]
    said.append(case.rule)
    return [*head, int(case.is_open), case.ordinal, *said]


def _case_from_json(raw: list[Any]) -> Case:
    verdict, since_ms, best, *rest = raw
    case = Case(verdict, since_ms, [(best[0][0], best[0][1]), (best[1][0], best[1][1])])
    if rest:
        is_open, case.ordinal, *said = rest
        case.is_open = bool(is_open)
        case.severity, case.told, case.told_ms, case.updates, case.started_ms, case.ended_ms, case.rule = said
    return case
