"""The trainer service on a real broker: one at a time, step by step, and never half a version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.models.shadowreports import ShadowReports, candidate_names
from common.broker.models.store import BrokerRegistry
from common.broker.results import ResultWriter
from common.broker.siteinbox import SiteInbox
from common.errors import FencedError
from common.models.manifest import load_version
from common.models.ranges import METADATA_KEY
from common.models.registry import Rollout, VersionRef, WorkerModels
from common.models.rollout_report import ShadowReport
from common.schema import FaceReading, FrameResult, ModelRef, Outcome, encode
from tests.brokers import Brokers
from tests.model_versions import make_version
from tests.trainer_material import add_samples, write_set
from tests.trainer_process import RUN, registry, settings
from tests.waiting import until
from trainer.service.lease import LeaseKeeper, TrainerLease
from trainer.service.ledger import Ledger
from trainer.service.live import LiveFigures
from trainer.service.progress import Progress, ProgressStore
from trainer.service.requests import RequestBox
from trainer.service.rollout import Channels, GuardedRollout
from trainer.service.settings import RolloutLimits

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_800_000_000.0


def test_one_trainer_works_and_one_that_was_silent_too_long_is_fenced(brokers: Brokers) -> None:
    one, other = (TrainerLease(brokers.state, brokers.keys, name, 0.3) for name in ("one", "other"))
    assert one.acquire()
    assert not other.acquire()
    first = one.epoch
    until(other.acquire, 5)
    assert other.epoch > first
    holder = one.holder()
    assert holder is not None
    assert holder.owner == "other"
    with pytest.raises(FencedError, match="nothing was published"):
        one.check()
    other.release()
    assert one.acquire()


def test_a_trainer_that_lost_its_lease_moves_neither_pointer_nor_rollout(brokers: Brokers, tmp_path: Path) -> None:
    """Even where it looked in time, and stood still between looking and acting."""
    one, other = (TrainerLease(brokers.state, brokers.keys, name, 0.2) for name in ("one", "other"))
    assert one.acquire()
    zombie = BrokerRegistry(brokers.state, brokers.keys.prefix)
    zombie.fence = one.fence
    ref = zombie.publish(make_version(tmp_path, "late", "classifier"))
    zombie.set_rollout(Rollout((ref,), "shadow", 1, 0, "one", NOW))
    one.check()
    until(other.acquire, 5)
    for act in (
        lambda: zombie.promote([ref], 0, "one", ""),
        lambda: zombie.rollback("one", ""),
        lambda: zombie.set_rollout(None, "one", ""),
    ):
        with pytest.raises(FencedError, match="nothing was changed"):
            act()
    assert zombie.current().generation == 0
    assert zombie.rollout() is not None
    zombie.fence = other.fence
    assert zombie.promote([ref], 0, "other", "").generation == 1


def test_a_keeper_holds_the_lease_for_a_busy_trainer_and_says_when_it_is_lost(brokers: Brokers) -> None:
    busy, other = (TrainerLease(brokers.state, brokers.keys, name, 0.6) for name in ("busy", "other"))
    lost: list[bool] = []
    assert busy.acquire()
    with LeaseKeeper(busy, 0.1, lambda: lost.append(True)):
        until(lambda: (holder := busy.holder()) and holder.left_s > 0.5, 5)
        assert not other.acquire()
        call(brokers.state, "HSET", brokers.keys.site("trainer:own"), "epoch", "9999999999999")
        until(lambda: lost, 5)


def test_a_request_waits_until_it_is_answered_and_a_newer_one_stays(brokers: Brokers) -> None:
    box = RequestBox(brokers.state, brokers.keys)
    assert box.waiting() is None
    first = box.ask("ana", "new masks")
    assert box.waiting() == first
    second = box.ask("bob", "again", held_back=True)
    box.answer(first.id)
    assert box.waiting() == second
    box.answer(second.id)
    assert box.waiting() is None


class Rolling:
    """A guarded rollout of a made-up candidate, with everything it listens to within reach."""

    limits = RolloutLimits(
        shadow_s=10, canary_s=10, watch_s=100, patience_s=1000, canary_workers=1, least_verdicts=20,
        disagreement=0.05, latency=1.5, undetermined=0.05,
    )  # fmt: skip

    def __init__(self, brokers: Brokers, folder: Path) -> None:
        self.brokers = brokers
        prefix = brokers.keys.prefix
        self.registry = BrokerRegistry(brokers.state, prefix)
        self.ref = self.registry.publish(make_version(folder, "candidate", "classifier"))
        self.reports = ShadowReports(brokers.state, prefix)
        self.store = ProgressStore(brokers.state, brokers.keys)
        self.guarded = self.opened()
        self.guarded.begin("candidate", 0, NOW)

    def opened(self) -> GuardedRollout:
        """As another trainer would go on with it."""
        live = LiveFigures(self.brokers.state, self.brokers.keys)
        inbox = SiteInbox(self.brokers.state, self.brokers.keys)
        return GuardedRollout(Channels(self.registry, self.reports, live, inbox, lambda: None), self.store, self.limits)

    def turn(self, seconds: float) -> Progress:
        progress = self.guarded.turn(NOW + seconds)
        assert progress is not None
        return progress

    def report(self, **counts: int) -> None:
        rollout = self.registry.rollout()
        assert rollout is not None
        report = ShadowReport(
            worker="w", base_generation=0, candidate=candidate_names(rollout), started_at=rollout.at_s, at_s=NOW,
            frames=50, agreed=40, faces_base=50, faces_candidate=50, cost_ratio=1.0,
        )  # fmt: skip
        self.reports.put(report.model_copy(update=counts))

    def serve(self, version: str, count: int, sure: float) -> None:
        chances = (sure, (1 - sure) / 2, (1 - sure) / 2)
        face = FaceReading(box=(0.2, 0.2, 0.6, 0.8), score=0.9, probabilities=chances)
        for seq in range(count):
            result = FrameResult(
                camera="door", session=1, seq=seq, frame_id="1-0", outcome=Outcome.OK, captured_at=NOW,
                published_at=NOW, inferred_at=NOW + 0.05, width=640, height=360, faces=(face,),
                classifier=ModelRef(name="c", version=version, digest="x"),
            )  # fmt: skip
            writer = ResultWriter(self.brokers.state, self.brokers.keys)
            writer.append_many([(self.brokers.keys.partition_of("door"), encode(result))])

    def canary(self) -> None:
        """Bring it into the canary stage."""
        assert self.turn(0).stage == "shadow"
        self.report(violations_base=8, violations_both=4)
        assert self.turn(11).stage == "canary"
        models = WorkerModels(0, None, self.ref, "openvino", "canary")
        self.registry.report("w", models)

    def told(self) -> list[str]:
        """Actions of the status events that were posted."""
        entries = call(self.brokers.state, "XRANGE", self.brokers.keys.site("in"), "-", "+")
        return [json.loads(fields[b"n"])[5]["action"] for _, fields in entries]


@pytest.fixture
def rolling(brokers: Brokers, tmp_path: Path) -> Rolling:
    return Rolling(brokers, tmp_path)


def test_a_good_candidate_goes_from_shadow_over_canary_into_force_and_the_site_is_told(rolling: Rolling) -> None:
    rolling.canary()
    rolling.serve("3", 25, 0.95)
    rolling.serve("candidate", 25, 0.95)
    assert rolling.turn(22).stage == "promoted"
    assert rolling.registry.current().classifier == rolling.ref
    assert rolling.turn(60).stage == "promoted"
    assert rolling.turn(123).stage == "done"
    assert rolling.told() == ["rollout_started", "rollout_started", "promoted"]
    rolling.guarded.begin("candidate", 1, NOW)
    assert rolling.turn(200).stage == "done"  # what was done once is not begun again


def test_a_candidate_that_raises_violations_of_its_own_is_withdrawn_from_the_shadow(rolling: Rolling) -> None:
    assert rolling.turn(0).stage == "shadow"
    rolling.report(violations_candidate=5, violations_both=5)
    progress = rolling.turn(1)
    assert progress.stage == "refused"
    assert "50.0% of violations would be raised by the candidate alone" in progress.why
    assert rolling.registry.rollout() is None
    assert rolling.registry.current().generation == 0


def test_a_candidate_in_force_that_leaves_its_bounds_is_rolled_back(rolling: Rolling) -> None:
    rolling.canary()
    rolling.serve("3", 25, 0.95)
    rolling.serve("candidate", 25, 0.95)
    assert rolling.turn(22).stage == "promoted"
    rolling.serve("candidate", 25, 0.4)
    progress = rolling.turn(30)
    assert progress.stage == "refused"
    assert "undetermined share up by" in progress.why
    assert (rolling.registry.current().generation, rolling.registry.current().classifier) == (2, None)


def test_a_trainer_killed_right_after_promotion_goes_on_where_it_was(rolling: Rolling) -> None:
    rolling.canary()
    progress = rolling.store.load()
    assert progress is not None
    rolling.registry.promote([rolling.ref], 0, "trainer", "canary stayed within its bounds")
    rolling.guarded = rolling.opened()
    found = rolling.turn(22)
    assert (found.stage, found.generation) == ("promoted", 1)


def test_what_a_person_decides_ends_the_rollout(rolling: Rolling) -> None:
    assert rolling.turn(0).stage == "shadow"
    rolling.registry.set_rollout(None, "ana", "not today")
    assert rolling.turn(1).stage == "done"
    rolling.store.save(replace(Progress(rolling.ref, "published", NOW, 0)))
    other = VersionRef("classifier", "candidate", rolling.ref.digest)
    rolling.registry.promote([other], 0, "ana", "at once")
    assert "overtaken" in rolling.turn(2).why


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kill_9_at_every_stage_leaves_no_half_version_and_the_run_is_finished_afterwards(tmp_path: Path) -> None:
    write_set(tmp_path / "base", 48)
    add_samples(tmp_path / "samples", ["sheer", "bare", "worn"] * 6, 5)
    kept = registry(tmp_path)
    for stage in ("reading", "epoch", "judging", "publishing", "published"):
        done = run_process(tmp_path, stage)
        assert done.returncode == -signal.SIGKILL, done.stdout
        versions = kept.versions()
        assert len(versions) == (stage == "published")
        for one in versions:
            load_version(kept.fetch(one.ref, tmp_path / "fetched"), "classifier")
    done = run_process(tmp_path, "none")
    assert done.returncode == 0
    case = settings(tmp_path).runs / "cases" / RUN
    report = json.loads((case / "report.json").read_text())
    history = json.loads((case / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2]
    assert report["outcome"] == "passed", report["reasons"]
    assert [one.ref.label for one in kept.versions()] == [f"classifier/{RUN}"] == [report["published"]]
    candidate = load_version(case / "candidate", "classifier")
    assert "gate" in candidate.manifest.metrics
    assert METADATA_KEY.encode() in candidate.read("onnx"), "it can be computed in 8 bits like its base"
    counts = Ledger(settings(tmp_path).runs).count()
    assert counts["accepted"] == 18
    assert (case / "index.html").stat().st_size > 1000
    assert not list(case.glob("*.npz")), "faces of the site must not stay in a run's folder"


def run_process(folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.trainer_process", str(folder), stage]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.timeout(90)
def test_the_role_serves_its_state_and_ends_in_order(
    broker_pair: EmbeddedPair, brokers: Brokers, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    environment = os.environ | {
        "MASKWATCH_FRAMES_URL": broker_pair.frames.url, "MASKWATCH_STATE_URL": broker_pair.state.url,
        "MASKWATCH_PREFIX": brokers.keys.prefix, "MASKWATCH_TRAINER_BASE": str(tmp_path / "base"),
        "MASKWATCH_TRAINER_SAMPLES": str(tmp_path / "samples"), "MASKWATCH_TRAINER_RUNS": str(tmp_path / "runs"),
        "MASKWATCH_TRAINER_POLL_S": "0.2", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "maskwatch", "trainer"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lease = TrainerLease(brokers.state, brokers.keys, "watcher", 1.0)
        until(lease.holder, 60)
        RequestBox(brokers.state, brokers.keys).ask("ana", "nothing there")
        until(lambda: RequestBox(brokers.state, brokers.keys).waiting() is None, 30)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    (case,) = (tmp_path / "runs" / "cases").iterdir()
    report = json.loads((case / "report.json").read_text())
    assert (report["outcome"], report["reasons"]) == ("failed", ["there is no labelled crop to learn from"])
    assert lease.holder() is None


def test_asking_for_a_run_does_not_load_what_trains() -> None:
    code = (
        "import maskwatch.training, sys; print([name for name in ('torch', 'openvino', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_base_set_it_does_not_start_and_names_the_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maskwatch", "trainer"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "MASKWATCH_TRAINER_BASE" in done.stderr
