"""An installation that may only count refuses a plan that would make more of people than that."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from common.broker.layout import ensure_layout
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.errors import SitePlanError
from common.privacyfloor import STRICTER, check_floor
from common.siteplan import PrivacyMode, SitePlan, parse_plan
from tests.brokers import Brokers
from tests.waiting import until
from workers.judge.limits import Limits
from workers.judge.plans import Plans

COUNTED = {"statistics": {"window_min": 60, "min_count": 10}}


def plan(mode: str, **cameras: str) -> SitePlan:
    listed = [
        {"id": name, "source": "synthetic:x"} | ({"privacy": own} if own else {}) for name, own in cameras.items()
    ]
    return parse_plan({"site": "s", "privacy": {"mode": mode}, "cameras": listed} | COUNTED, "test")


@pytest.mark.parametrize("floor", STRICTER)
@pytest.mark.parametrize("mode", STRICTER)
def test_a_plan_must_be_at_least_as_strict_as_the_floor(floor: PrivacyMode, mode: PrivacyMode) -> None:
    if STRICTER.index(mode) >= STRICTER.index(floor):
        check_floor(plan(mode, gate=""), floor, "p")
        return
    with pytest.raises(SitePlanError, match="MASKWATCH_PRIVACY_FLOOR"):
        check_floor(plan(mode, gate=""), floor, "p")


def test_one_camera_of_weaker_privacy_is_enough_and_is_named() -> None:
    mixed = plan("full", gate="statistics", hall="statistics")
    with pytest.raises(SitePlanError, match=r"privacy\.mode"):
        check_floor(mixed, "statistics", "p")  # what no camera of the plan is goes by the site's mode
    strict = plan("statistics", gate="", hall="")
    looser = strict.cameras[1].model_copy(update={"privacy": "redacted"})  # no plan can say so today
    weak = strict.model_copy(update={"cameras": [strict.cameras[0], looser]})
    with pytest.raises(SitePlanError, match="hall"):
        check_floor(weak, "statistics", "p")


def test_a_feed_passes_over_a_plan_that_is_too_weak_and_keeps_the_one_in_force(brokers: Brokers) -> None:
    store = PlanStore(brokers.state, brokers.keys.prefix)
    strict, weak = plan("statistics", gate=""), plan("full", gate="")
    refused: list[int] = []
    judge = Plans(store, Limits(), "host", lambda: refused.append(1), "statistics")
    feed = PlanFeed(store, "statistics")
    store.publish(weak.to_bytes())
    with pytest.raises(SitePlanError, match="weaker"):
        feed.poll()
    assert not judge.refresh()
    assert not judge.known
    store.publish(strict.to_bytes())
    assert feed.poll() == strict
    assert judge.refresh()
    store.publish(weak.to_bytes())
    with pytest.raises(SitePlanError, match="weaker"):
        feed.poll()
    assert (feed.in_force, feed.version) == (2, 3)
    assert not judge.refresh()
    assert len(refused) == 2


def environment(brokers: Brokers, pair: EmbeddedPair, **more: str) -> dict[str, str]:
    found = {"MASKWATCH_FRAMES_URL": pair.frames.url, "MASKWATCH_STATE_URL": pair.state.url}
    return os.environ | found | {"MASKWATCH_PREFIX": brokers.keys.prefix, "MASKWATCH_GRACE_S": "1"} | more


def holds(log: Path, words: str) -> bool:
    return words in log.read_text("utf-8")


def command(words: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "maskwatch", *words]
    return subprocess.run(program, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_the_desk_refuses_to_publish_it_and_every_role_to_use_it(
    brokers: Brokers, broker_pair: EmbeddedPair, tmp_path: Path
) -> None:
    """Published by somebody without the floor, it still moves no producer, worker or judge."""
    ensure_layout(brokers.state, brokers.keys.prefix, 2)
    path = tmp_path / "site.yaml"
    path.write_text("site: s\ncameras: [{id: gate, source: 'synthetic:x'}]\n")
    floor = environment(brokers, broker_pair, MASKWATCH_PRIVACY_FLOOR="statistics")
    for words in (["site", "check", str(path)], ["site", "publish", str(path)], ["producer", "--site", str(path)]):
        done = command(words, floor)
        assert done.returncode == 2, done.stdout
        assert "MASKWATCH_PRIVACY_FLOOR" in done.stderr
    assert PlanStore(brokers.state, brokers.keys.prefix).version() == 0
    assert command(["site", "publish", str(path)], environment(brokers, broker_pair)).returncode == 0
    for name in ("producer", "infer", "judge"):
        log = tmp_path / f"{name}.log"
        with log.open("w") as file:
            program = [sys.executable, "-m", "maskwatch", name]
            running = subprocess.Popen(program, env=floor, stdout=file, stderr=subprocess.STDOUT)
        try:
            until(partial(holds, log, "which MASKWATCH_PRIVACY_FLOOR asks for"), 40)
            assert "plan_in_force" not in log.read_text()
        finally:
            running.terminate()
            running.wait(20)
    assert brokers.frames.exists(brokers.keys.frames("gate")) == 0
