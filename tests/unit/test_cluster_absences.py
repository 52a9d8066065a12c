"""Which nodes of a cluster are left alone, and for how long."""

from __future__ import annotations

from common.broker.clusternodes import REFUSED_PAUSE_S, SILENT_PAUSE_S, Absences
from common.errors import BrokerUnavailableError


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_node_that_refused_is_asked_again_soon_and_one_that_hung_much_later() -> None:
    clock = Clock()
    absences = Absences(clock)
    refused, silent = BrokerUnavailableError("connection", "no"), BrokerUnavailableError("timeout", "no")
    absences.note("a", refused)
    absences.note("b", silent)
    assert (absences.last("a"), absences.last("b"), absences.last("c")) == (refused, silent, None)
    clock.now += REFUSED_PAUSE_S
    assert (absences.last("a"), absences.last("b")) == (None, silent)
    clock.now += SILENT_PAUSE_S
    assert absences.last("b") is None


def test_a_node_is_present_again_only_once_it_has_answered() -> None:
    clock = Clock()
    absences = Absences(clock)
    absences.note("a", BrokerUnavailableError("connection", "no"))
    clock.now += 3600
    assert absences.present(["a", "b"]) == ["b"], "that it may be asked again does not say that it answers"
    absences.over("a")
    assert absences.present(["a", "b"]) == ["a", "b"]
    absences.over("never heard of")
