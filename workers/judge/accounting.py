"""The books of one camera: every published frame ends as processed or as dropped for one named reason.

The judge alone sees all results of a camera in order, so it alone can say that nothing went missing. Counts are whole
numbers in the stored state, committed together with the events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.resultrecord import Result
from common.schema import CameraMark, Outcome

TRIMMED = "trimmed"
LATE = "late"
_REASONS = 24
_GAPS = 8


@dataclass(slots=True)
class Ledger:
    """One session of a producer.

    Attributes:
        session: Its number; -1 before the first.
        next_seq: The sequence number that is expected next; all below are settled.
        known_next: What the producer's marks say it would send next.
        gaps: Settled as trimmed, first and last; a result that comes late is taken out again.
        drops: What the producer dropped itself in this session, by reason.
    """

    session: int = -1
    next_seq: int = 0
    known_next: int = 0
    gaps: list[list[int]] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)

    @property
    def published(self) -> int:
        """Frames of the session that were sent, as far as is known."""
        return max(self.next_seq, self.known_next)

    def take_gap(self, seq: int) -> bool:
        """Take ``seq`` out of the gaps; False where it is in none."""
        for index, (first, last) in enumerate(self.gaps):
            if first <= seq <= last:
                parts = [[first, seq - 1], [seq + 1, last]]
                self.gaps[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                return True
        return False


@dataclass(slots=True)
class Book:
    """All that is counted of a camera. ``base_*`` holds the sessions that are long over."""

    now: Ledger = field(default_factory=Ledger)
    before: Ledger | None = None
    base_published: int = 0
    base_drops: dict[str, int] = field(default_factory=dict)
    processed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    late: int = 0

    def settle(self, result: Result) -> None:
        """Count a result in its turn."""
        if result.outcome is Outcome.OK:
            self.processed += 1
        else:
            self.drop(_reason(result))

    def gap(self, ledger: Ledger, up_to: int) -> None:
        """Settle everything from the expected frame up to, not including, ``up_to`` as trimmed."""
        if up_to <= ledger.next_seq:
            return
        self.drop(TRIMMED, up_to - ledger.next_seq)
        ledger.gaps.append([ledger.next_seq, up_to - 1])
        del ledger.gaps[:-_GAPS]
        ledger.next_seq = up_to

    def repeat_or_late(self, ledger: Ledger | None, result: Result) -> None:
        """Count a result whose turn is over: a duplicate, or one that had been given up as trimmed."""
        if ledger is None:
            self.late += 1
            return
        self.gap(ledger, result.seq + 1)
        if not ledger.take_gap(result.seq):
            self.duplicates += 1
            return
        self.late += 1
        self.drop(TRIMMED, -1)
        self.drop(LATE if result.outcome is Outcome.OK else _reason(result))

    def mark(self, ledger: Ledger, mark: CameraMark) -> None:
        """Take over the totals of a mark; they only grow, so an old mark changes nothing."""
        ledger.known_next = max(ledger.known_next, mark.next_seq)
        for reason, count in mark.dropped.items():
            if reason in ledger.drops or len(ledger.drops) < _REASONS:
                ledger.drops[reason] = max(ledger.drops.get(reason, 0), count)

    def turn(self, session: int) -> None:
        """Open the page of another session; what was promised of the last one and did not come is trimmed."""
        if self.now.session < 0:
            self.now = Ledger(session)
            return
        self.gap(self.now, self.now.known_next)
        if self.before is not None and self.before.session == session:
            self.now, self.before = self.before, self.now
            return
        if self.before is not None:
            self.base_published += self.before.published
            for reason, count in self.before.drops.items():
                self.base_drops[reason] = self.base_drops.get(reason, 0) + count
        self.now, self.before = Ledger(session), self.now

    def drop(self, reason: str, count: int = 1) -> None:
        """Count dropped frames; beyond 24 reasons all further ones are ``other``."""
        name = reason if reason in self.dropped or len(self.dropped) < _REASONS else "other"
        self.dropped[name] = self.dropped.get(name, 0) + count
        if not self.dropped[name]:
            del self.dropped[name]

    def balance(self) -> Accounting:
        """Add everything up."""
        ledgers = [self.now] if self.before is None else [self.now, self.before]
        drops = dict(self.base_drops)
        for ledger in ledgers:
            for reason, count in ledger.drops.items():
                drops[reason] = drops.get(reason, 0) + count
        published = self.base_published + sum(ledger.published for ledger in ledgers)
        return Accounting(published, self.processed, dict(self.dropped), drops, self.duplicates, self.late)


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of a camera's frames.

    Attributes:
        published: Frames that the producer put into the stream, as far as is known.
        processed: Frames that were looked at and judged.
        dropped: Published frames that were not, by reason: ``trimmed``, ``stale``, ``late``, ``rejected_…``, ``dead``.
        producer_dropped: Frames captured but never published, by the producer's reasons.
        duplicates: Results that came again; part of no sum.
        late: Results that came after their turn, duplicates not included; part of no sum.
    """

    published: int = 0
    processed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    producer_dropped: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    late: int = 0

    @property
    def captured(self) -> int:
        """Frames that the producer took from the camera."""
        return self.published + sum(self.producer_dropped.values())

    @property
    def unaccounted(self) -> int:
        """Published frames whose end is not known (yet); 0 once a camera has ended in order."""
        return self.published - self.processed - sum(self.dropped.values())

    def all_dropped(self) -> dict[str, int]:
        """Give the drops of both sides together, so that captured = processed + their sum + unaccounted."""
        total = dict(self.producer_dropped)
        for reason, count in self.dropped.items():
            total[reason] = total.get(reason, 0) + count
        return total

    def __add__(self, other: Accounting) -> Accounting:
        return Accounting(
            self.published + other.published,
            self.processed + other.processed,
            _sum(self.dropped, other.dropped),
            _sum(self.producer_dropped, other.producer_dropped),
            self.duplicates + other.duplicates,
            self.late + other.late,
        )


def book_to_json(book: Book) -> list[Any]:
    """Write the books as plain JSON values."""
    before = book.before and _ledger_to_json(book.before)
    counts = [book.base_published, book.base_drops, book.processed, book.dropped, book.duplicates, book.late]
    return [_ledger_to_json(book.now), before, *counts]


def book_from_json(raw: list[Any]) -> Book:
    """Read what `book_to_json` wrote."""
    now, before, *counts = raw
    return Book(Ledger(*now), before and Ledger(*before), *counts)


def _ledger_to_json(ledger: Ledger) -> list[Any]:
    return [ledger.session, ledger.next_seq, ledger.known_next, ledger.gaps, ledger.drops]


def _sum(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {reason: a.get(reason, 0) + b.get(reason, 0) for reason in {**a, **b}}


def _reason(result: Result) -> str:
    if result.outcome is Outcome.REJECTED:
        return f"rejected_{result.reason or 'unknown'}"
    if result.outcome is Outcome.DEAD:
        return "dead"
    return result.reason or "stale"
