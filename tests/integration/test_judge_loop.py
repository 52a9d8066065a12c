"""The judge's loop against a real broker, turn by turn in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from common.broker.plans import PlanStore
from common.broker.results import DeadLetters, ResultWriter
from common.broker.vitals import VitalSigns
from common.lifecycle import StopSignal
from common.schema import encode
from common.siteplan import Camera, Policy, SitePlan
from tests.brokers import Brokers
from tests.judge_scenes import CAMERA, a_mark, a_result, scene, standing
from tests.waiting import until
from workers.judge.holding import Holding
from workers.judge.limits import Limits
from workers.judge.loop import JudgeLoop, Surroundings
from workers.judge.metrics import JudgeMetrics
from workers.judge.plans import Plans
from workers.judge.seats import Seat, seat_keys
from workers.judge.settings import JudgeSettings


class Bench:
    """A judge whose turns are taken by hand."""

    def __init__(self, brokers: Brokers, me: str = "me") -> None:
        keys = brokers.keys
        self.registry = CollectorRegistry()
        self.plans = Plans(PlanStore(brokers.state, keys.prefix), Limits(), "host")
        store = brokers.store(me)
        seat = Seat(type(store)(brokers.state, brokers.state_blocking, seat_keys(keys), me), me)
        self.holding = Holding(store, seat, me, keys.partitions, 2.0)
        letters = DeadLetters(brokers.state, keys)
        metrics = JudgeMetrics(self.registry)
        vitals = VitalSigns(brokers.state, "state", metrics.broker)
        around = Surroundings(store, letters, self.plans, metrics, vitals)
        self.loop = JudgeLoop(around, self.holding, JudgeSettings())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def publish(brokers: Brokers, **policy: object) -> None:
    plan = SitePlan(site="office", policies=[Policy.model_validate({"id": "default"} | policy)])
    PlanStore(brokers.state, brokers.keys.prefix).publish(plan.to_bytes())


def test_without_a_plan_nothing_is_read(brokers: Brokers) -> None:
    bench = Bench(brokers)

    assert bench.loop.turn(0) is False
    assert brokers.store("x").owners() == {}


def test_a_turn_judges_commits_and_counts(brokers: Brokers) -> None:
    publish(brokers)
    partition = brokers.keys.partition_of(CAMERA)
    messages = [a_mark(0, 0), *scene([standing("no_mask", 0, 4)], 8), a_result(39)]
    ResultWriter(brokers.state, brokers.keys).append_many([(partition, encode(message)) for message in messages])
    bench = Bench(brokers)

    assert bench.loop.turn(0) is True
    assert bench.value("maskwatch_results_judged_total", outcome="ok") == 41
    assert bench.value("maskwatch_results_duplicate_total") == 1
    assert bench.value("maskwatch_partitions_owned") == brokers.keys.partitions
    assert bench.value("maskwatch_events_total", type="maskwatch.violation.started.v1") == 1
    assert bench.value("maskwatch_events_total", type="maskwatch.violation.ended.v1") == 1
    assert bench.value("maskwatch_capture_to_event_seconds_count") == 2
    assert bench.loop.turn(0) is False


def test_a_commit_of_a_lost_partition_is_refused_and_the_partition_dropped(brokers: Brokers) -> None:
    publish(brokers)
    partition = brokers.keys.partition_of(CAMERA)
    bench = Bench(brokers)
    bench.loop.turn(0)
    brokers.store("me").acquire(partition)  # the same name with a newer epoch, as after a restart
    ResultWriter(brokers.state, brokers.keys).append_many([(partition, encode(a_mark(0, 0)))])
    bench.loop.turn(0)

    assert bench.value("maskwatch_commits_fenced_total") == 1
    assert partition not in bench.holding.desks
    assert bench.value("maskwatch_events_total", type="maskwatch.camera.status.v1") is None
    bench.loop.turn(0)
    assert bench.value("maskwatch_events_total", type="maskwatch.camera.status.v1") == 1


def test_a_newcomer_gets_its_share(brokers: Brokers) -> None:
    publish(brokers)
    first, second = Bench(brokers, "first"), Bench(brokers, "second")
    first.loop.turn(0)
    second.loop.turn(0)
    assert (len(first.holding.desks), len(second.holding.desks)) == (4, 0)
    first.holding.keep(float("inf"), first.plans.context)
    second.holding.keep(float("inf"), second.plans.context)

    assert (len(first.holding.desks), len(second.holding.desks)) == (2, 2)


@pytest.mark.parametrize("broken", [b"[" * 100_000, b"{", b'{"site": "UPPER"}', b"[]"])
def test_a_plan_that_cannot_be_read_leaves_the_old_one_in_force(brokers: Brokers, broken: bytes) -> None:
    publish(brokers, min_votes=7)
    bench = Bench(brokers)
    assert bench.plans.refresh()
    PlanStore(brokers.state, brokers.keys.prefix).publish(broken)

    assert not bench.plans.refresh()
    assert bench.plans.context(CAMERA).rule.min_votes == 7


def test_a_new_plan_reaches_cameras_that_are_being_judged(brokers: Brokers) -> None:
    publish(brokers, required=False)
    partition = brokers.keys.partition_of(CAMERA)
    results = scene([standing("no_mask")], 6)
    writer = ResultWriter(brokers.state, brokers.keys)
    bench = Bench(brokers)
    writer.append_many([(partition, encode(result)) for result in results[:15]])
    bench.loop.turn(0)
    assert bench.value("maskwatch_events_total", type="maskwatch.violation.started.v1") is None
    publish(brokers, required=True, version=2)
    bench.plans.refresh()
    bench.holding.desks[partition].renew_contexts()
    writer.append_many([(partition, encode(result)) for result in results[15:]])
    bench.loop.turn(0)

    assert bench.value("maskwatch_events_total", type="maskwatch.violation.started.v1") == 1


def test_a_camera_that_leaves_the_plan_keeps_its_name_for_what_is_still_to_be_closed(brokers: Brokers) -> None:
    store = PlanStore(brokers.state, brokers.keys.prefix)
    camera = Camera(id=CAMERA, source="a.mp4", name="Gate one")
    store.publish(SitePlan(site="office", cameras=[camera]).to_bytes())
    bench = Bench(brokers)
    bench.plans.refresh()
    assert bench.plans.context(CAMERA).camera.name == "Gate one"

    store.publish(SitePlan(site="office").to_bytes())
    bench.plans.refresh()

    assert bench.plans.context(CAMERA).camera.name == "Gate one"


def test_stopping_judges_what_is_there_and_gives_everything_back(brokers: Brokers) -> None:
    publish(brokers)
    partition = brokers.keys.partition_of(CAMERA)
    bench = Bench(brokers)
    bench.loop.turn(0)
    ResultWriter(brokers.state, brokers.keys).append_many([(partition, encode(a_mark(0, 0)))])
    stop = StopSignal()
    stop.set()
    bench.loop.run(stop, 5)

    assert bench.value("maskwatch_events_total", type="maskwatch.camera.status.v1") == 1
    assert brokers.store("x").owners() == {}


def test_a_camera_that_leaves_the_plan_takes_its_series_along(brokers: Brokers) -> None:
    cameras = [f"cam-{number}" for number in range(40)]
    store = PlanStore(brokers.state, brokers.keys.prefix)
    whole = SitePlan(site="office", cameras=[Camera(id=camera, source="a.mp4") for camera in cameras])
    store.publish(whole.to_bytes())
    writer = ResultWriter(brokers.state, brokers.keys)

    def lose(names: list[str], seq: int) -> None:
        marks = [(name, a_mark(seq, seq, camera=name, final=True)) for name in names]
        results = [(name, a_result(seq - 1, camera=name)) for name in names]
        writer.append_many([(brokers.keys.partition_of(name), encode(one)) for name, one in [*results, *marks]])

    bench = Bench(brokers)

    def turns_until(true: Callable[[], bool]) -> None:
        until(lambda: (bench.loop.turn(0), true())[1], 10)

    bench.loop.turn(0)
    lose([*cameras, "never-planned"], 9)
    turns_until(lambda: shown(bench) == set(cameras))
    assert bench.value("maskwatch_frames_dropped_total", camera="cam-3", reason="trimmed") == 8
    store.publish(whole.model_copy(update={"cameras": whole.cameras[:1]}).to_bytes())
    turns_until(lambda: shown(bench) == {"cam-0"})
    lose(cameras, 20)
    turns_until(lambda: bench.value("maskwatch_results_judged_total", outcome="ok") == 81)
    assert shown(bench) == {"cam-0"}


def shown(bench: Bench) -> set[str]:
    """The cameras of which a judge shows a series of its own."""
    return {sample.labels["camera"] for family in bench.registry.collect() for sample in family.samples
            if "camera" in sample.labels}  # fmt: skip
