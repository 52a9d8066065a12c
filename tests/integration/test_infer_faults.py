"""Infer workers that are killed, hang, or are asked to end: no frame is lost and none is looked at for ever."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from common.schema import Outcome
from tests.brokers import Brokers
from tests.infer_site import Site, poison_jpeg, wait_finished
from tests.waiting import until
from workers.infer.keeper import EXIT_STALLED


@pytest.fixture
def site(brokers: Brokers, broker_pair: EmbeddedPair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(brokers, broker_pair, tmp_path_factory.getbasetemp())


def test_frames_of_a_worker_killed_in_a_batch_each_end_in_one_outcome(site: Site) -> None:
    site.plan("east", "west")
    for _ in range(8):
        site.publish("east")
        site.publish("west")
    with site.process(backend="tests.infer_backends:Slow", batch_size=8, name="doomed") as doomed:
        until(lambda: site.results("east") or site.results("west"), 20)
        doomed.kill()
        doomed.wait()
    assert not site.finished("east", "west")
    with site.worker(name="heir"):
        wait_finished(site, "east", "west")
        until(lambda: site.pending("east") + site.pending("west") == 0, 5)
    for camera in ("east", "west"):
        outcomes = {seq: {r.outcome for r in site.results(camera) if r.seq == seq} for seq in range(8)}
        assert all(found == {Outcome.OK} for found in outcomes.values()), outcomes
        assert site.letters(camera) == []


def test_a_frame_that_kills_its_worker_ends_in_the_dead_letters_after_three_tries_and_takes_no_other_along(
    site: Site,
) -> None:
    site.plan("east")
    for number in range(4):
        site.publish("east", poison_jpeg() if number == 2 else None)
    settings: dict[str, Any] = {"backend": "tests.infer_backends:killing", "batch_size": 8, "name": "victim"}
    deaths = 0
    while deaths < 2:
        with site.process(**settings) as victim:
            assert victim.wait(20) == -signal.SIGKILL
            deaths += 1
    with site.process(**settings) as survivor:
        wait_finished(site, "east", timeout_s=30)
        until(lambda: site.pending("east") == 0, 5)
        assert survivor.poll() is None
    outcomes = {r.seq: r.outcome for r in site.results("east")}
    assert outcomes == {0: Outcome.OK, 1: Outcome.OK, 2: Outcome.DEAD, 3: Outcome.OK}
    (letter,) = site.letters("east")
    assert (letter["seq"], letter["reason"], letter["deliveries"]) == ("2", "killed", "3")
    assert "jpeg" not in letter


def test_a_worker_without_torch_ends_with_status_0_on_sigterm_and_hands_over_what_waits(site: Site) -> None:
    site.plan("east")
    for _ in range(30):
        site.publish("east")
    slow: dict[str, Any] = {
        "backend": "tests.infer_backends:Slow",
        "batch_size": 2,
        "reclaim_idle_s": 600.0,
        "name": "first",
    }
    with site.process(**slow) as first:
        until(lambda: site.results("east"), 20)
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0  # the process itself refuses where torch was imported
    with site.worker(name="second", reclaim_idle_s=600.0):
        wait_finished(site, "east")
        until(lambda: site.pending("east") == 0, 5)
    assert sorted({r.seq for r in site.results("east")}) == list(range(30))


def test_a_worker_whose_device_hangs_ends_by_itself_and_its_frame_goes_to_another(site: Site) -> None:
    site.plan("east")
    site.publish("east", poison_jpeg())
    with site.process(backend="tests.infer_backends:Hanging", stall_s=1.5, name="hung") as hung:
        assert hung.wait(30) == EXIT_STALLED
    with site.worker(name="heir"):
        wait_finished(site, "east")
    assert [r.outcome for r in site.results("east")] == [Outcome.OK]


def test_a_frame_in_slow_work_is_not_taken_over_by_another_worker(site: Site) -> None:
    site.plan("east")
    for _ in range(2):
        site.publish("east")
    slow: dict[str, Any] = {"backend": "tests.infer_backends:VerySlow", "reclaim_idle_s": 0.6, "keepalive_s": 0.1}
    with site.worker(name="slow", **slow):
        until(lambda: _held(site, "east") == 2, 10)
        with site.worker(name="eager", reclaim_idle_s=0.6):
            wait_finished(site, "east")
    assert [r.worker for r in site.results("east")] == ["slow", "slow"]


def _held(site: Site, camera: str) -> int:
    try:
        return site.pending(camera)
    except Exception:
        return 0
