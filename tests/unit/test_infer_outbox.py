"""An infer worker's outbox: patient with a broker that is away, and not held up by one node of a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from common.broker.frames.entries import FrameEntry
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.lifecycle import StopSignal
from workers.infer.outbox import Envelope, Outbox
from workers.infer.patience import LONGEST_PAUSE_S, Patience


class Flaky:
    """A results writer and dead-letter writer that fails with the given errors first; some partitions may be away."""

    def __init__(self, *errors: BrokerError) -> None:
        self.errors = list(errors)
        self.away: set[int] = set()
        self.written: list[tuple[int, bytes]] = []

    def append_present(self, results: Sequence[tuple[int, bytes]]) -> dict[int, BrokerError]:
        if self.errors:
            raise self.errors.pop(0)
        self.written += [one for one in results if one[0] not in self.away]
        return {partition: node_error() for partition, _ in results if partition in self.away}

    def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None:
        if partition in self.away:
            raise node_error()
        self.append_present([(partition, b"letter" + b"".join(str(value).encode() for value in fields.values()))])


def node_error() -> BrokerUnavailableError:
    return BrokerUnavailableError("connection", "node b does not answer", node="b")


def envelope(partition: int, *results: bytes, letters: int = 0) -> Envelope:
    entry = FrameEntry(f"cam{partition}", partition, "1-0", b"", b"")
    return Envelope(partition, [entry], list(results), [{"n": str(number)} for number in range(letters)])


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def outbox(
    target: Flaky, stop: StopSignal | None = None, grace_s: float = 5.0, clock: Clock | None = None
) -> tuple[Outbox, list[str]]:
    tries: list[str] = []
    patience = Patience(stop or StopSignal(), grace_s)
    return Outbox(target, target, patience, tries.append, clock or Clock()), tries


def test_results_are_tried_again_until_they_are_written() -> None:
    target = Flaky(BrokerUnavailableError("timeout", "", in_doubt=True), BrokerRefusedError("oom", ""))
    box, tries = outbox(target)
    wanted = envelope(1, b"r")
    assert box.send([wanted]) == [wanted]
    assert target.written == [(1, b"r")]
    assert tries == ["timeout", "oom", ""]
    assert box.send([]) == []


def test_dead_letters_go_first_and_none_goes_twice() -> None:
    target = Flaky()
    box, _ = outbox(target)
    wanted = envelope(2, b"r", letters=2)
    assert box.send([wanted]) == [wanted]
    assert target.written == [(2, b"letter0"), (2, b"letter1"), (2, b"r")]


def test_a_letter_that_is_written_is_not_written_again_when_the_next_fails() -> None:
    class FailsOnce(Flaky):
        def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None:
            if fields["n"] == "1" and not tries:
                raise BrokerUnavailableError("timeout", "")
            super().add(partition, fields)

    target = FailsOnce()
    box, tries = outbox(target)
    wanted = envelope(2, b"s", letters=2)
    assert box.send([wanted]) == [wanted]
    assert target.written == [(2, b"letter0"), (2, b"letter1"), (2, b"s")]
    assert tries == ["timeout", ""]


def test_a_refusal_for_good_is_raised() -> None:
    box, _ = outbox(Flaky(BrokerRefusedError("noperm", "no")))
    with pytest.raises(BrokerRefusedError):
        box.send([envelope(1, b"r")])


def test_after_the_end_was_asked_for_trying_lasts_no_longer_than_the_grace_period() -> None:
    stop = StopSignal()
    box, tries = outbox(Flaky(*[BrokerUnavailableError("connection", "") for _ in range(1000)]), stop, 0.2)
    stop.set()
    began = time.monotonic()
    assert box.send([envelope(1, b"r")]) == []
    assert time.monotonic() - began < 3
    assert 1 <= len(tries) < 20


def test_what_is_for_a_node_that_is_away_waits_and_everything_else_goes() -> None:
    target = Flaky()
    target.away = {1}
    box, tries = outbox(target)
    here, there = envelope(0, b"a"), envelope(1, b"b", letters=1)
    assert box.send([there, here]) == [here]
    assert box.stuck == {1}
    assert tries == ["connection"]
    assert target.written == [(0, b"a")]


def test_what_waits_goes_in_order_once_the_node_is_back() -> None:
    target, clock = Flaky(), Clock()
    target.away = {1}
    box, _ = outbox(target, clock=clock)
    first, second, other = envelope(1, b"1", letters=1), envelope(1, b"2"), envelope(3, b"x")
    assert box.send([first]) == []
    target.away = set()
    assert box.send([second, other]) == [other], "the later overtook the earlier"
    assert box.send_again() == [], "the node was asked again at once"
    clock.now += LONGEST_PAUSE_S
    assert box.send_again() == [first, second]
    assert target.written == [(3, b"x"), (1, b"letter0"), (1, b"1"), (1, b"2")]
    assert box.stuck == frozenset()
    clock.now += 3600
    assert box.send_again() == []


def test_a_node_that_stays_away_is_asked_more_and_more_seldom() -> None:
    target, clock = Flaky(), Clock()
    target.away = {1}
    box, tries = outbox(target, clock=clock)
    box.send([envelope(1, b"1")])
    for _ in range(600):
        clock.now += 0.1
        assert box.send_again() == []
        assert len(box.send([envelope(2, b"2")])) == 1
    assert box.stuck == {1}
    assert 60 / LONGEST_PAUSE_S < tries.count("connection") < 90


def test_a_broker_that_is_away_as_a_whole_is_waited_for_even_if_a_node_was_away_before() -> None:
    target = Flaky()
    target.away = {1}
    box, tries = outbox(target)
    box.send([envelope(1, b"1")])
    target.errors, target.away = [BrokerUnavailableError("connection", "")], set()
    assert len(box.send([envelope(2, b"2")])) == 1
    assert tries == ["connection", "connection", ""]
    assert box.stuck == {1}
