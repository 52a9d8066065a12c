"""The books of a registry folder as one value: pointer, generations, rollout, log. Pure; time is an argument."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from common.errors import StaleGenerationError, UnknownVersionError, VersionRefusedError
from common.models.records import as_data, one_line, unpack
from common.models.registry import Action, LogEntry, Pointer, Rollout, VersionRef
from common.models.retention import GENERATIONS_KEPT, LOG_KEPT

Known = Callable[[VersionRef], bool]


@dataclass(frozen=True, slots=True)
class Mark:
    """Who does something, why, and when, s since the epoch."""

    by: str
    why: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything of a registry but its versions and reports.

    Attributes:
        pointer: What is in service.
        generations: The last pointers, the newest last.
        rollout: What is on trial.
        entries: The log, the newest last.
    """

    pointer: Pointer = field(default_factory=Pointer)
    generations: tuple[Pointer, ...] = ()
    rollout: Rollout | None = None
    entries: tuple[LogEntry, ...] = ()

    def promoted(self, refs: Sequence[VersionRef], expected: int, mark: Mark, known: Known) -> Ledger:
        """Give the books after a promotion; see `Registry.promote`."""
        self._expect(expected)
        detector, classifier = self.pointer.replaced(refs)
        return self._moved("promoted", (detector, classifier), mark, known)

    def rolled_back(self, to: int | None, expected: int | None, mark: Mark, known: Known) -> Ledger:
        """Give the books after a rollback; see `Registry.rollback`."""
        if expected is not None:
            self._expect(expected)
        number = self.pointer.generation - 1 if to is None else to
        kept = {0: Pointer()} | {pointer.generation: pointer for pointer in self.generations}
        if number not in kept:
            raise UnknownVersionError(f"generation {number} is not kept; nothing was changed")
        goal = kept[number]
        return self._moved("rolled_back", (goal.detector, goal.classifier), mark, known)

    def on_trial(self, rollout: Rollout | None, mark: Mark, known: Known) -> Ledger:
        """Give the books after a rollout was started, changed or ended; see `Registry.set_rollout`."""
        if rollout is None:
            if self.rollout is None:
                return self
            ended = replace(self, rollout=None)
            return ended.noted("rollout_ended", self.rollout.candidate, self.pointer.refs, mark)
        self._expect(rollout.base_generation)
        _need(rollout.candidate, known)
        started = replace(self, rollout=replace(rollout, at_s=mark.at_s))
        return started.noted("rollout_started", rollout.candidate, self.pointer.refs, mark)

    def noted(self, action: Action, refs: Sequence[VersionRef], previous: Sequence[VersionRef], mark: Mark) -> Ledger:
        """Give the books with one more log entry."""
        number = self.entries[-1].number + 1 if self.entries else 1
        entry = LogEntry(
            number,
            action,
            self.pointer.generation,
            tuple(refs),
            tuple(previous),
            one_line(mark.by),
            one_line(mark.why),
            mark.at_s,
        )
        return replace(self, entries=(*self.entries, entry)[-LOG_KEPT:])

    def to_bytes(self) -> bytes:
        """Give the content of ``ledger.json``."""
        content = {
            "pointer": as_data(self.pointer),
            "generations": [as_data(pointer) for pointer in self.generations],
            "rollout": None if self.rollout is None else as_data(self.rollout),
            "entries": [as_data(entry) for entry in self.entries],
        }
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()

    def _expect(self, expected: int) -> None:
        at = self.pointer
        if at.generation != expected:
            raise StaleGenerationError(expected, at.generation, at.by, at.why)

    def _moved(
        self, action: Action, goal: tuple[VersionRef | None, VersionRef | None], mark: Mark, known: Known
    ) -> Ledger:
        newest = self.generations[-1].generation if self.generations else 0
        number = max(self.pointer.generation, newest) + 1
        pointer = Pointer(number, *goal, one_line(mark.by), one_line(mark.why), mark.at_s)
        _need(pointer.refs, known)
        before = self.on_trial(None, replace(mark, why=action), known)
        generations = (*self.generations, pointer)[-GENERATIONS_KEPT:]
        moved = replace(before, pointer=pointer, generations=generations)
        return moved.noted(action, pointer.refs, self.pointer.refs, mark)


def read_ledger(content: bytes) -> Ledger:
    """Read ``ledger.json``.

    Raises:
        VersionRefusedError: It is damaged; nothing is guessed.
    """
    try:
        data = json.loads(content)
        return Ledger(
            unpack(Pointer, data["pointer"]),
            tuple(unpack(Pointer, one) for one in data["generations"]),
            None if data["rollout"] is None else unpack(Rollout, data["rollout"]),
            tuple(unpack(LogEntry, one) for one in data["entries"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise VersionRefusedError("manifest", "ledger.json is damaged") from error


def _need(refs: Sequence[VersionRef], known: Known) -> None:
    for ref in refs:
        if not known(ref):
            raise UnknownVersionError(f"there is no {ref.label} with this digest; nothing was changed")
