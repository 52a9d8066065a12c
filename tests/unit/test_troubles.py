"""What `maskwatch status` calls wrong, and that every complaint leads to a page that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskwatch.status.page import document, page
from maskwatch.status.situation import BrokerFacts, CameraFacts, Situation, WorkerFacts, take
from maskwatch.status.troubles import troubles

ALERTS = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()


def healthy() -> Situation:
    """Two partitions, one judge, one worker, one camera, everything fine."""
    return Situation(
        site="office",
        plan=3,
        partitions=2,
        owners={0: "judge-1", 1: "judge-1"},
        unjudged_s={0: 0.1, 1: 0.0},
        cameras={"gate": CameraFacts(state="online", fps_captured=5, fps_processed=5, backlog_s=0.1)},
        workers={"w-0": WorkerFacts(fps=5, generation=0, state="serving")},
        brokers={"state": BrokerFacts(memory_bytes=10, limit_bytes=100, persisting=True, skew_s=0.01)},
    )


def test_where_all_is_well_nothing_is_said() -> None:
    assert troubles(healthy()) == []
    assert document(healthy(), [])["ok"] is True


def spoil(now: Situation, what: str) -> None:
    """Break one thing."""
    camera, state = now.cameras["gate"], now.brokers["state"]
    changes: dict[str, Callable[[], object]] = {
        "CameraOffline": lambda: setattr(camera, "state", "offline"),
        "CameraFrozen": lambda: setattr(camera, "state", "frozen"),
        "CameraBlind": lambda: setattr(camera, "state", "dark"),
        "BacklogOld": lambda: setattr(camera, "backlog_s", 1.9),
        "FramesLost": lambda: camera.dropped.update(stale=9),
        "NoInference": now.workers.clear,
        "PartitionWithoutJudge": lambda: now.owners.pop(1),
        "ResultsLate": lambda: now.unjudged_s.update({0: 40.0}),
        "PlanUnusable": lambda: setattr(now, "plan_trouble", "no site plan is published here"),
        "GenerationsDiffer": lambda: setattr(now, "generation", 4),
        "ModelLoadFailed": lambda: setattr(now.workers["w-0"], "state", "refused: digest"),
        "BrokerDown": lambda: setattr(state, "trouble", "no answer"),
        "BrokerMemory": lambda: setattr(state, "memory_bytes", 90),
        "BrokerNotPersisting": lambda: setattr(state, "persisting", False),
        "ClockSkew": lambda: setattr(state, "skew_s", -3600.0),
    }
    changes[what]()


@pytest.mark.parametrize(
    "what",
    ["CameraOffline", "CameraFrozen", "CameraBlind", "BacklogOld", "FramesLost", "NoInference",
     "PartitionWithoutJudge", "ResultsLate", "PlanUnusable", "GenerationsDiffer", "ModelLoadFailed", "BrokerDown",
     "BrokerMemory", "BrokerNotPersisting", "ClockSkew"],
)  # fmt: skip
def test_one_thing_wrong_is_one_complaint_with_a_page_of_its_own(what: str) -> None:
    now = healthy()
    spoil(now, what)
    (found,) = troubles(now)
    assert found.alert == what
    assert f"### {what}\n" in ALERTS


def test_what_wakes_somebody_stands_in_front() -> None:
    now = healthy()
    spoil(now, "CameraBlind")
    spoil(now, "ClockSkew")
    spoil(now, "BrokerMemory")
    assert [one.weight for one in troubles(now)] == ["page", "ticket", "ticket"]


def test_cameras_of_which_nothing_is_heard_are_one_complaint() -> None:
    now = healthy()
    now.cameras = {f"c{number}": CameraFacts() for number in range(50)}
    assert [one.alert for one in troubles(now)] == ["CameraOffline"]


def test_entries_that_are_none_of_ours_and_cameras_out_of_the_plan_are_passed_over() -> None:
    now = healthy()
    take(now, [(1, b""), (2, b"{}"), (3, b"\xff")])
    assert page(now, troubles(now))
    assert list(now.cameras) == ["gate"]
