"""Judges one camera: results and marks in, events out. No clock, no broker; time comes with the messages.

judge = CameraJudge(context_of(plan, "gate-1"), CameraState())
events = judge.accept(result, entry_ms)     # for each entry, in the order of the stream
events += judge.tick(now_ms)                # now and then, once all entries are read
stored = judge.state.to_bytes()
"""

from __future__ import annotations

from typing import NamedTuple

from common.events import CloudEvent
from common.resultrecord import Result
from common.schema import CameraMark, MarkResult, Outcome
from common.schema import CameraState as Picture
from common.tally import Tally
from workers.judge import incidents
from workers.judge.context import CameraContext
from workers.judge.following import end_all, end_exempt, follow
from workers.judge.reorder import EntryId, Reorder
from workers.judge.state import CameraState
from workers.judge.votes import NAMES
from workers.judge.ways import Witness, no_witness
from workers.judge.wording import StatusNews, camera_status

_MARK_REWIND_MS = 60_000  # an older mark is a repeat, unless it is so old that the producer's clock was set back
_LOST = (Picture.OFFLINE, Picture.FROZEN)
_USABLE = (Picture.ONLINE, None)


class FollowedFace(NamedTuple):
    """A face of the last frame, for drawing."""

    track: str
    box: tuple[float, float, float, float]
    """x1 y1 x2 y2 relative to the frame."""
    verdict: str
    confidence: float
    violating: bool
    """Whether an episode runs."""


class CameraJudge:
    """The judge of one camera.

    Args:
        context: Names and policy; may be replaced between two calls when the plan changes.
        state: Changed in place; what is in it after a call belongs to the events that the call gave back.
        witness: Told of each judged frame and its events.

    Attributes:
        tallies: Counts of windows that are over; belong to the state as the events do. The caller takes them out.
    """

    def __init__(self, context: CameraContext, state: CameraState, witness: Witness = no_witness) -> None:
        self._context = context
        self._witness = witness
        self._recheck = False
        self.state = state
        self.tallies: list[Tally] = []
        self._order = Reorder(state.book, context.limits)

    @property
    def context(self) -> CameraContext:
        """Names and policy."""
        return self._context

    @context.setter
    def context(self, context: CameraContext) -> None:
        self._context, self._recheck = context, True

    def accept(self, message: Result | MarkResult, entry_ms: int, entry_id: EntryId | None = None) -> list[CloudEvent]:
        """Take one entry of the result stream.

        Args:
            message: The entry.
            entry_ms: Its broker time, ms.
            entry_id: Its whole id, where the caller needs `held_from`.
        """
        events = self._let_pass(entry_ms)
        if isinstance(message, MarkResult):
            self._take_mark(message.mark, entry_ms, events)
        elif self._turn(message.session, entry_ms, events):
            self.state.standing.alive_ms = max(self.state.standing.alive_ms, entry_ms)
            self._judge(self._order.offer(message, entry_ms, entry_id or (entry_ms, 0)), entry_ms, events)
        else:
            before = self.state.book.before
            known = before if before is not None and before.session == message.session else None
            self.state.book.repeat_or_late(known, message)
        return self._with_incidents(events, entry_ms)

    def tick(self, now_ms: int) -> list[CloudEvent]:
        """Let time pass, broker time in ms; only with a time up to which all entries were taken."""
        return self._with_incidents(self._let_pass(now_ms), now_ms)

    def _let_pass(self, now_ms: int) -> list[CloudEvent]:
        events: list[CloudEvent] = []
        self._take_census(now_ms)
        if self._order.due(now_ms):
            self._judge(self._order.release_due(now_ms), now_ms, events)
        if self.state.tracks and (self._recheck or self._context.follows_hours):
            events += end_exempt(self._context, self.state, now_ms)
        self._recheck = False
        standing = self.state.standing
        if standing.tail is not None or standing.closing is not None:
            self._settle(now_ms, events)
        if not standing.alive_ms:
            return events
        limits = self._context.limits
        if now_ms - standing.alive_ms > limits.silent_ms:
            self._silent(now_ms, events)
        elif self.state.tracks and now_ms - standing.judged_ms > limits.frames_stopped_ms:
            events += end_all(self.context, self.state, "timeout", now_ms)
        return events

    def _take_census(self, now_ms: int) -> None:
        standing, context = self.state.standing, self._context
        usable = standing.picture in _USABLE and not standing.closed and standing.alive_ms
        up_until_ms = standing.alive_ms + context.limits.silent_ms if usable else 0
        self.tallies += self.state.census.advance(context.camera.id, now_ms, context.window_ms, up_until_ms)

    def finish(self, now_ms: int) -> list[CloudEvent]:
        """End a source that is over: settle all frames, end all episodes."""
        events: list[CloudEvent] = []
        self._judge(self._order.flush(), now_ms, events)
        self._judge(self._order.give_up(self.state.book.now.known_next), now_ms, events)
        events += end_all(self.context, self.state, "camera_lost", now_ms)
        return self._with_incidents(events, now_ms, over=True)

    def held_from(self) -> EntryId | None:
        """Give the entry id below which the stored read position must stay; None where nothing waits."""
        return self._order.held_from()

    @property
    def busy(self) -> bool:
        """Whether moments count: somebody is followed, or something that is due soon waits."""
        state, standing = self.state, self.state.standing
        promised = standing.tail is not None or standing.closing is not None
        return bool(state.tracks or state.incidents or promised or self._order.waits)

    def stamp(self) -> tuple[object, ...]:
        """Give something that differs after a `tick` that changed the state."""
        state = self.state
        standing = state.standing
        book, census = state.book.now, state.census
        return state.sequence, book.next_seq, len(state.tracks), standing.tail, standing.closing, census.start_ms

    def faces(self) -> list[FollowedFace]:
        """List the confirmed faces that the last judged frame showed."""
        camera = self.context.camera.id
        return [
            FollowedFace(
                track.uid(camera),
                track.sight.box,
                NAMES[track.case.verdict],
                round(track.window.confidence(track.case.verdict), 3),
                track.case.is_open,
            )
            for track in self.state.tracks
            if track.confirmed and not track.misses
        ]

    def _with_incidents(self, events: list[CloudEvent], now_ms: int, *, over: bool = False) -> list[CloudEvent]:
        """Add the incidents that the violations among the events open, and those that time closes."""
        counts = self.state.incidents
        if not (counts or (events and self._context.incidents)):
            return events
        incidents.count(self._context, counts, events, now_ms)
        for one in incidents.due(self._context, counts, now_ms, over=over):
            events.append(incidents.word(self._context, one, self.state.next_sequence(), now_ms))
        return events

    def _turn(self, session: int, entry_ms: int, events: list[CloudEvent]) -> bool:
        """Make way for a new session; False for a message of one that is over."""
        state = self.state
        place = self._order.place(session, entry_ms, state.standing.alive_ms)
        if place == "new":
            self._judge(self._order.flush(), entry_ms, events)
            state.book.turn(session)
            standing = state.standing
            standing.tail = standing.closing = None
            standing.closed, standing.mark_ms = False, 0
        return place != "late"

    def _judge(self, results: list[Result], now_ms: int, events: list[CloudEvent]) -> None:
        state = self.state
        for result in results:
            state.book.settle(result)
            if result.outcome is Outcome.OK and not state.standing.closed:
                state.standing.judged_ms = max(state.standing.judged_ms, now_ms)
                events += self._witness(self.context, result, follow(self.context, state, result))

    def _take_mark(self, mark: CameraMark, entry_ms: int, events: list[CloudEvent]) -> None:
        book, standing = self.state.book, self.state.standing
        if not self._turn(mark.session, entry_ms, events):
            if book.before is not None and book.before.session == mark.session:
                book.mark(book.before, mark)
                book.gap(book.before, mark.next_seq)
            return
        at_ms = round(mark.at * 1000)
        if at_ms <= standing.mark_ms < at_ms + _MARK_REWIND_MS:
            return
        standing.mark_ms = at_ms
        standing.alive_ms = max(standing.alive_ms, entry_ms)
        book.mark(book.now, mark)
        self._apply_status(mark, entry_ms, events)
        self._settle(entry_ms, events)

    def _apply_status(self, mark: CameraMark, entry_ms: int, events: list[CloudEvent]) -> None:
        book, standing = self.state.book, self.state.standing
        picture = Picture.OFFLINE if mark.final else mark.state
        cause = mark.cause or ("ended" if mark.final else "")
        if picture is not standing.picture:
            news = StatusNews(picture, mark.at if mark.final else mark.since, cause, mark.last_frame_at, mark.fps)
            events.append(camera_status(self.context, self.state, news, round(mark.at * 1000)))
        if standing.tail is None and book.now.known_next > book.now.next_seq:
            standing.tail = (book.now.known_next, entry_ms)
        if picture not in _LOST:
            standing.closing, standing.closed = None, False
        elif standing.closing is None and not standing.closed:
            standing.closing = (mark.next_seq, entry_ms)

    def _settle(self, now_ms: int, events: list[CloudEvent]) -> None:
        """Give up on promised frames that stay away, and close a lost camera once its last frames are through."""
        standing, ledger, patience_ms = self.state.standing, self.state.book.now, self.context.limits.tail_ms
        for promise in (standing.tail, standing.closing):
            if promise is not None and ledger.next_seq < promise[0] and now_ms - promise[1] >= patience_ms:
                self._judge(self._order.give_up(promise[0]), now_ms, events)
        if standing.tail is not None and ledger.next_seq >= standing.tail[0]:
            standing.tail = None
        if standing.closing is not None and ledger.next_seq >= standing.closing[0]:
            standing.closing, standing.closed = None, True
            events += end_all(self.context, self.state, "camera_lost", now_ms)

    def _silent(self, now_ms: int, events: list[CloudEvent]) -> None:
        state = self.state
        self._judge(self._order.flush(), now_ms, events)
        events += end_all(self.context, state, "camera_lost", now_ms)
        if state.standing.picture is not Picture.OFFLINE:
            news = StatusNews(Picture.OFFLINE, state.standing.alive_ms / 1000, "silent")
            events.append(camera_status(self.context, state, news, now_ms))
