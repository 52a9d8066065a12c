"""Puts the results of one camera back into the order of their frames.

Several workers infer frames of one camera, so results overtake one another and come twice. Each frame is let through
once, in order; a result that is ahead waits a little for the missing ones, and what does not come is a counted gap.
Waiting results are not part of the stored state: whoever commits may not move its read position past `held_from`.
"""

from __future__ import annotations

from typing import Literal

from common.resultrecord import Result
from workers.judge.accounting import Book
from workers.judge.limits import Limits

Place = Literal["now", "new", "late"]
EntryId = tuple[int, int]


class Reorder:
    """The order of one camera.

    Args:
        book: The camera's books; its current ledger holds the position.
        limits: How many results wait, and how long.
    """

    def __init__(self, book: Book, limits: Limits) -> None:
        self.book = book
        self._limits = limits
        self._waiting: dict[int, tuple[int, EntryId, Result]] = {}
        self._oldest_ms = 0

    def place(self, session: int, now_ms: int, alive_ms: int) -> Place:
        """Say where a message's session stands: the current one, a new one, or one that is over.

        A smaller session number is over, unless the current session has been silent: then the producer's clock went
        back between two starts.
        """
        current = self.book.now.session
        if session == current:
            return "now"
        if session > current or now_ms - alive_ms >= self._limits.session_silent_ms:
            return "new"
        return "late"

    def offer(self, result: Result, entry_ms: int, entry_id: EntryId) -> list[Result]:
        """Take a result of the current session and give back those whose turn it is now, in order."""
        ledger = self.book.now
        if result.seq < ledger.next_seq:
            self.book.repeat_or_late(ledger, result)
            return []
        if result.seq == ledger.next_seq and not self._waiting:
            ledger.next_seq += 1
            return [result]
        if result.seq in self._waiting:
            self.book.duplicates += 1
            return []
        self._oldest_ms = min(self._oldest_ms, entry_ms) if self._waiting else entry_ms
        self._waiting[result.seq] = (entry_ms, entry_id, result)
        released = self._in_turn()
        while len(self._waiting) > self._limits.reorder_frames:
            released += self._skip_gap()
        return released

    def due(self, now_ms: int) -> bool:
        """Say whether results have waited long enough."""
        return bool(self._waiting) and now_ms - self._oldest_ms >= self._limits.reorder_ms

    def release_due(self, now_ms: int) -> list[Result]:
        """Give up on frames that a result has waited for too long, and let the waiting ones through."""
        released: list[Result] = []
        while self.due(now_ms):
            released += self._skip_gap()
        return released

    def flush(self) -> list[Result]:
        """Let everything through that waits, with gaps where there are any."""
        released: list[Result] = []
        while self._waiting:
            released += self._skip_gap()
        return released

    def give_up(self, up_to: int) -> list[Result]:
        """Settle all frames below ``up_to``: waiting ones are let through, the others are gaps."""
        released: list[Result] = []
        while self._waiting and min(self._waiting) < up_to:
            released += self._skip_gap()
        self.book.gap(self.book.now, up_to)
        return released + self._in_turn()

    @property
    def waits(self) -> bool:
        """Whether a result waits for an earlier one."""
        return bool(self._waiting)

    def held_from(self) -> EntryId | None:
        """Give the smallest entry id that still waits; a stored read position must stay below it."""
        if not self._waiting:
            return None
        return min((entry_id for _, entry_id, _ in self._waiting.values()), default=None)

    def _skip_gap(self) -> list[Result]:
        self.book.gap(self.book.now, min(self._waiting))
        return self._in_turn()

    def _in_turn(self) -> list[Result]:
        ledger = self.book.now
        released: list[Result] = []
        while ledger.next_seq in self._waiting:
            released.append(self._waiting.pop(ledger.next_seq)[2])
            ledger.next_seq += 1
        if released and self._waiting:
            self._oldest_ms = min(entry_ms for entry_ms, _, _ in self._waiting.values())
        return released
