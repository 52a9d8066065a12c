"""What the synthetic scenes should have led to, and how that compares with the events that came.

The scene's clock is tied to the wall clock by ``epoch`` in a camera's URL, so every violation's time is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.errors import ConfigError
from common.events import VIOLATION_TYPES
from common.siteplan import Camera
from producers.scene_visits import State, Visit, visits_between
from producers.sources.synthetic import SyntheticAddress

MIN_DURATION_S = 3.0
SETTLE_S = 1.0
_TOLERANCE_S = 1.5
_REACH_FACES = 1.2


@dataclass(frozen=True, slots=True)
class Expected:
    """One stretch of time in which a person is unmasked or wears the mask wrongly. Times are Unix seconds.

    Attributes:
        camera: Camera id.
        person: Which portrait.
        kinds: The states of the stretch.
        start: Begin of the violation while the face is wholly visible.
        end: End of it.
        seen_from: From when on something of the stretch can be seen.
        seen_to: Until when.
        optional: Cut by the run's begin or end, or too short: an event may follow, or not.
        visit: The visit in the scene.
        epoch: Unix time of the scene's second 0.
        aspect: Width / height of the picture.
    """

    camera: str
    person: int
    kinds: frozenset[State]
    start: float
    end: float
    seen_from: float
    seen_to: float
    optional: bool
    visit: Visit
    epoch: float
    aspect: float

    def distance(self, box: Sequence[float], at: float) -> float:
        """Say how far a relative box's centre is from the person's face at Unix time ``at``, in heights of the face."""
        place = self.visit.place_at(at - self.epoch)
        across = ((box[0] + box[2]) / 2 - place.x) * self.aspect
        down = (box[1] + box[3]) / 2 - place.y
        return float((across**2 + down**2) ** 0.5 / place.face)


@dataclass(frozen=True, slots=True)
class Episode:
    """One violation as the events tell it. Times are Unix seconds; ``end`` is None while it runs."""

    id: str
    camera: str
    verdicts: frozenset[str]
    start: float
    end: float | None
    seen_at: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Match:
    """An expected stretch and the episode that reports it."""

    expected: Expected
    episode: Episode

    @property
    def kind_agrees(self) -> bool:
        """Whether the events named what was wrong as the truth does."""
        return bool(self.expected.kinds & self.episode.verdicts)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Truth and events side by side.

    Attributes:
        expected: Stretches that must be reported.
        found: Those of them that were.
        missing: Those that were not.
        extra: Episodes that no stretch explains, doubled ones included.
        optional: Reported stretches that need not have been.
        unseen: Stretches that were not reported and could not be, see `without_unseen`.
    """

    expected: tuple[Expected, ...]
    found: tuple[Match, ...]
    missing: tuple[Expected, ...]
    extra: tuple[Episode, ...]
    optional: tuple[Match, ...]
    unseen: tuple[Expected, ...] = ()

    def without_unseen(self, seen_s: Callable[[str, float, float], float]) -> Comparison:
        """Part what is missing from what could not be reported, since too little of it was looked at.

        Args:
            seen_s: Says for how many seconds of camera, start and end pictures were looked at.
        """
        unseen = [want for want in self.missing if seen_s(want.camera, want.start, want.end) < MIN_DURATION_S]
        missing = tuple(want for want in self.missing if want not in unseen)
        return replace(self, missing=missing, unseen=tuple(unseen))

    @property
    def agrees(self) -> bool:
        """Whether the events are exactly what the truth asks for."""
        return not self.missing and not self.extra


def expected_episodes(
    cameras: Iterable[Camera], window: tuple[float, float], min_duration_s: float = MIN_DURATION_S
) -> list[Expected]:
    """Work out which violations a run should report.

    Args:
        cameras: From the plan; those that are no synthetic scene are passed over.
        window: Unix times, s, between which frames were taken; a stretch must lie `SETTLE_S` inside to be demanded.
        min_duration_s: Shorter stretches are optional.

    Raises:
        ConfigError: A synthetic camera without ``epoch``, whose truth cannot be known.
    """
    result = []
    for camera in cameras:
        scheme, _, rest = camera.source.partition(":")
        if scheme != "synthetic":
            continue
        address = SyntheticAddress.parse(rest)
        if address.epoch is None:
            raise ConfigError(f"camera {camera.id}: source: has no 'epoch=', so nobody knows when its scene began")
        result += list(_of_camera(camera.id, address, window, min_duration_s))
    return result


def compare(expected: Sequence[Expected], events: Iterable[Mapping[str, Any]]) -> Comparison:
    """Match events with the truth by camera, time and place.

    Args:
        expected: See `expected_episodes`.
        events: CloudEvents as read from JSON, of any type, in any order; repeated ids count once.
    """
    episodes = read_episodes(events)
    pairs = [
        (want.distance(episode.box, episode.seen_at), i, j)
        for i, want in enumerate(expected)
        for j, episode in enumerate(episodes)
        if _explains(want, episode)
    ]
    matches: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in matches and j not in matches.values():
            matches[i] = j
    joined = [Match(expected[i], episodes[j]) for i, j in sorted(matches.items())]
    return Comparison(
        expected=tuple(want for want in expected if not want.optional),
        found=tuple(match for match in joined if not match.expected.optional),
        missing=tuple(want for i, want in enumerate(expected) if not want.optional and i not in matches),
        extra=tuple(episode for j, episode in enumerate(episodes) if j not in matches.values()),
        optional=tuple(match for match in joined if match.expected.optional),
    )


def read_episodes(events: Iterable[Mapping[str, Any]]) -> list[Episode]:
    """Put the messages of each violation together, in order of their starts."""
    by_episode: dict[str, dict[str, Mapping[str, Any]]] = {}
    for event in events:
        if event["type"] in VIOLATION_TYPES.values():
            by_episode.setdefault(str(event["subject"]), {})[str(event["id"])] = event
    return sorted((_episode(list(messages.values())) for messages in by_episode.values()), key=lambda one: one.start)


def _episode(messages: list[Mapping[str, Any]]) -> Episode:
    messages.sort(key=lambda message: (str(message["sequence"]), str(message["time"])))
    first = messages[0]
    data = first["data"]
    ended = [message["data"]["ended_at"] for message in messages if message["data"]["lifecycle"] == "ended"]
    x1, y1, x2, y2 = data["object"]["bbox"]
    return Episode(
        id=str(first["subject"]),
        camera=str(data["camera"]["id"]),
        verdicts=frozenset(str(message["data"]["verdict"]) for message in messages),
        start=_seconds(data["started_at"]),
        end=_seconds(ended[0]) if ended and ended[0] else None,
        seen_at=_seconds(data["frame"]["captured_at"]),
        box=(x1, y1, x2, y2),
    )


def _of_camera(
    camera: str, address: SyntheticAddress, window: tuple[float, float], min_duration_s: float
) -> Iterator[Expected]:
    epoch = address.epoch or 0.0
    for visit in visits_between(address.name, address.seed, window[0] - epoch, window[1] - epoch):
        for start_s, end_s, kinds in _stretches(visit):
            start, end = epoch + max(start_s, visit.start_s), epoch + min(end_s, visit.end_s)
            inside = start >= window[0] + SETTLE_S and end <= window[1] - SETTLE_S
            yield Expected(
                camera=camera,
                person=visit.person,
                kinds=kinds,
                start=start,
                end=end,
                seen_from=epoch + start_s,
                seen_to=epoch + end_s,
                optional=not inside or end - start < min_duration_s,
                visit=visit,
                epoch=epoch,
                aspect=address.width / address.height,
            )


def _stretches(visit: Visit) -> Iterator[tuple[float, float, frozenset[State]]]:
    """Give the maximal stretches of a visit without a rightly worn mask, from first to last sight."""
    begin: float | None = None
    kinds: set[State] = set()
    ends = [since for since, _ in visit.states[1:]] + [visit.leave_s]
    for (since, state), until in zip(visit.states, ends, strict=True):
        if state != "mask":
            begin = since if begin is None else begin
            kinds.add(state)
        if begin is not None and (state == "mask" or until == visit.leave_s):
            yield begin, since if state == "mask" else until, frozenset(kinds)
            begin, kinds = None, set()


def _explains(want: Expected, episode: Episode) -> bool:
    if want.camera != episode.camera:
        return False
    end = episode.end if episode.end is not None else max(episode.start, episode.seen_at)
    overlaps = episode.start <= want.seen_to + _TOLERANCE_S and end >= want.seen_from - _TOLERANCE_S
    return overlaps and want.distance(episode.box, episode.seen_at) <= _REACH_FACES


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
