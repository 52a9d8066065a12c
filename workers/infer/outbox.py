"""Publishing that survives an outage: what was not written is kept and tried again, never forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from common.broker.failures import RETRYABLE_CODES
from common.broker.frames.entries import FrameEntry
from common.errors import BrokerError, BrokerUnavailableError, WireError
from common.log import Log, OncePer
from common.trace import Trace
from workers.infer.outcomes import Finished
from workers.infer.patience import Backoff, Patience

_log = Log("infer")


class _Results(Protocol):
    def append_present(self, results: Sequence[tuple[int, bytes]]) -> dict[int, BrokerError]: ...


class _Letters(Protocol):
    def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None: ...


@dataclass(slots=True)
class Envelope:
    """What is to be written for one partition before some entries of it may be acknowledged.

    Attributes:
        partition: Whose.
        entries: They are done with once all of it is written.
        results: Messages for the judge, in order.
        letters: Dead letters, written first; each leaves the list as it is written.
        frames: The frames it is about, each with the place of its step in its trace.
        foreign: What is wrong with an entry that is no message of ours.
    """

    partition: int
    entries: list[FrameEntry]
    results: list[bytes] = field(default_factory=list)
    letters: list[dict[str, str | bytes]] = field(default_factory=list)
    frames: list[tuple[Finished, Trace | None]] = field(default_factory=list)
    foreign: WireError | None = None


class Outbox:
    """Writes results and dead letters to the state broker, at least once. Thread-safe.

    A broker that is away as a whole is waited for. Where a node of a cluster is away and others are not, what is for
    its partitions waits in here, in order, and everything else goes.

    Attributes:
        stuck: Partitions that wait for their node.

    Args:
        results: Where results go.
        letters: Where dead letters go.
        patience: How long to try.
        on_try: Told the error's code after every failed try and an empty text after success; also a sign of life.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        results: _Results,
        letters: _Letters,
        patience: Patience,
        on_try: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stuck: frozenset[int] = frozenset()
        self._results = results
        self._letters = letters
        self._patience = patience
        self._on_try = on_try
        self._clock = clock
        self._once = OncePer(5.0, clock)
        self._lock = threading.Lock()
        self._waiting: dict[int, list[Envelope]] = {}
        self._again = Backoff()
        self._again_s = 0.0

    def send(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Write, trying again through outages; gives what is written, which may be less.

        What is missing waits for its node, see `send_again`, or the end came first and it may never be written.

        Raises:
            BrokerRefusedError: The broker said no in a way that does not pass, such as missing rights.
        """
        if not envelopes:
            return []
        with self._lock:
            for envelope in envelopes:
                self._waiting.setdefault(envelope.partition, []).append(envelope)
            return self._insist({envelope.partition for envelope in envelopes} - self.stuck)

    def send_again(self) -> list[Envelope]:
        """Try what waits for its node, where it is time for another try; gives what is written now."""
        if not self.stuck or self._clock() < self._again_s:
            return []
        with self._lock:
            return self._insist(set(self.stuck))

    def _insist(self, partitions: set[int]) -> list[Envelope]:
        backoff = Backoff()
        while True:
            try:
                return self._try(partitions)
            except BrokerError as error:
                if error.code not in RETRYABLE_CODES:
                    raise
                self._failed(error)
            if not self._patience.pause(backoff.next_s()):
                return []

    def _try(self, partitions: set[int]) -> list[Envelope]:
        waiting = [one for number in partitions for one in self._waiting.get(number, ())]
        missing = self._write_letters(waiting)
        results = [(one.partition, raw) for one in waiting if one.partition not in missing for raw in one.results]
        missing |= self._results.append_present(results)
        for error in set(missing.values()):
            self._failed(error)
        self.stuck = (self.stuck - partitions) | missing.keys()
        if missing:
            self._again_s = self._clock() + self._again.next_s()
        else:
            self._on_try("")
        if not self.stuck:
            self._again.reset()
        return [one for number in partitions - missing.keys() for one in self._waiting.pop(number, ())]

    def _write_letters(self, envelopes: Sequence[Envelope]) -> dict[int, BrokerError]:
        missing: dict[int, BrokerError] = {}
        for envelope in envelopes:
            try:
                while envelope.letters and envelope.partition not in missing:
                    self._letters.add(envelope.partition, envelope.letters[0])
                    del envelope.letters[0]
            except BrokerUnavailableError as error:
                if not error.node:
                    raise
                missing[envelope.partition] = error
        return missing

    def _failed(self, error: BrokerError) -> None:
        self._on_try(error.code)
        held = self._once.permit(error.code)
        if held is not None:
            _log.warning("publish_failed", code=error.code, held_back=held, node=getattr(error, "node", ""))
