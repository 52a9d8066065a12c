"""What is wrong in a `Situation`, the worst first, each with the page that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from common.scale import beyond_trial
from maskwatch.status.situation import Situation

Weight = Literal["page", "ticket"]
_OLD_S, _LATE_S, _SKEW_S, _FULL, _LOST = 1.5, 5.0, 2.0, 0.85, 0.05
_LATE_MARK_S = 60.0  # no mark is early, but one may have waited for inference


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong.

    Attributes:
        alert: Name of the alert that stands for it; its section of ``docs/alerts.md`` says what to do.
        weight: ``page`` wakes somebody, ``ticket`` waits for the morning.
        words: What is wrong, for people.
    """

    alert: str
    weight: Weight
    words: str


def troubles(now: Situation) -> list[Trouble]:
    """List what is wrong, what wakes somebody in front."""
    found = [*_brokers(now), *_roles(now), *_cameras(now), *_clocks(now), *_models(now)]
    return sorted(found, key=lambda one: one.weight != "page")


def _brokers(now: Situation) -> Iterator[Trouble]:
    for name, broker in now.brokers.items():
        if broker.trouble:
            yield Trouble("BrokerDown", "page", f"{name} broker: {broker.trouble}")
        used, limit = broker.memory_bytes, broker.limit_bytes
        if used is not None and limit and used > _FULL * limit:
            yield Trouble("BrokerMemory", "page", f"{name} broker: {used / limit:.0%} of its memory is in use")
        if broker.persisting is False:
            yield Trouble("BrokerNotPersisting", "page", f"{name} broker: it cannot write to its disk")
        if broker.skew_s is not None and abs(broker.skew_s) > _SKEW_S:
            yield Trouble(
                "ClockSkew", "ticket", f"this machine's clock is {broker.skew_s:+.1f} s off the {name} broker's"
            )
        for warning in broker.warnings:
            yield Trouble("BrokerErrors", "ticket", warning)


def _roles(now: Situation) -> Iterator[Trouble]:
    if now.plan_trouble:
        yield Trouble("PlanUnusable", "page", now.plan_trouble)
    if large := beyond_trial(len(now.cameras)):
        yield Trouble("PlanLarge", "ticket", large)
    lone = [number for number in range(now.partitions) if number not in now.owners]
    if lone:
        which = "no partition has a judge" if len(lone) == now.partitions else f"partitions without a judge: {lone}"
        yield Trouble("PartitionWithoutJudge", "page", which)
    late = {number: age for number, age in now.unjudged_s.items() if age > _LATE_S and number in now.owners}
    if late:
        worst = max(late, key=late.__getitem__)
        yield Trouble("ResultsLate", "page", f"partition {worst}: results wait {late[worst]:.0f} s to be judged")
    captured = sum(camera.fps_captured for camera in now.cameras.values())
    if captured > 0 and not any(worker.fps for worker in now.workers.values()):
        yield Trouble("NoInference", "page", "cameras deliver, and no frame is looked at")


def _clocks(now: Situation) -> Iterator[Trouble]:
    wrong = {name: camera.skew_s for name, camera in now.cameras.items() if not -_LATE_MARK_S < camera.skew_s < _SKEW_S}
    if wrong:
        worst = max(wrong, key=lambda name: abs(wrong[name]))
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        words = f"the clock of the producer of {worst}{more} is {wrong[worst]:+.0f} s off the broker's"
        yield Trouble("ClockSkew", "ticket", words)


def _cameras(now: Situation) -> Iterator[Trouble]:
    unheard = [name for name, camera in now.cameras.items() if camera.state == "unheard"]
    if unheard and len(unheard) == len(now.cameras):
        yield Trouble("CameraOffline", "page", "of no camera is anything heard: no producer, or no inference")
        return
    for name, camera in now.cameras.items():
        cause = f" ({camera.cause})" if camera.cause else ""
        if camera.state in ("offline", "unheard"):
            yield Trouble("CameraOffline", "page", f"{name}: {camera.state}{cause}")
        elif camera.state == "frozen":
            yield Trouble("CameraFrozen", "page", f"{name}: the same picture over and over{cause}")
        elif camera.state in ("dark", "blurred"):
            yield Trouble("CameraBlind", "ticket", f"{name}: too {camera.state} to judge{cause}")
        if (camera.backlog_s or 0) > _OLD_S:
            yield Trouble("BacklogOld", "page", f"{name}: unread frames are {camera.backlog_s:.1f} s old")
        lost = sum(camera.dropped.values()) / 10
        if lost > _LOST * (lost + camera.fps_processed):
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(camera.dropped.items()))
            yield Trouble("FramesLost", "ticket", f"{name}: frames not looked at in the last 10 s: {reasons}")


def _models(now: Situation) -> Iterator[Trouble]:
    for name, worker in now.workers.items():
        if worker.generation is not None and worker.generation != now.generation:
            words = f"{name}: generation {worker.generation}, in force is {now.generation} ({worker.state})"
            yield Trouble("GenerationsDiffer", "ticket", words)
        if worker.state.startswith("refused"):
            yield Trouble("ModelLoadFailed", "page", f"{name}: {worker.state}")
