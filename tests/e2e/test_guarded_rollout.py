"""A candidate goes live by itself on a running site: shadow, canary, in force, with the reports of real workers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from common.broker.client import Client, call, connect
from common.broker.layout import ensure_layout
from common.broker.models.shadowreports import ShadowReports
from common.broker.models.store import BrokerRegistry
from common.broker.siteinbox import SiteInbox
from common.partition import Keys
from tests.e2e.station_run import StationRun
from tests.model_versions import make_version
from tests.trainer_material import write_camera
from tests.waiting import until
from trainer.service.live import LiveFigures
from trainer.service.progress import ProgressStore
from trainer.service.rollout import Channels, GuardedRollout
from trainer.service.settings import RolloutLimits

LIMITS = RolloutLimits(
    shadow_s=1, canary_s=2, watch_s=3, patience_s=300, canary_workers=1, least_verdicts=10, disagreement=0.2,
    latency=20.0, undetermined=0.2,
)  # fmt: skip
"""Short, and generous with time: the machine may be busy with other tests."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_candidate_goes_from_shadow_to_canary_into_force_on_a_running_site(tmp_path: Path) -> None:
    write_camera(tmp_path / "gate", "bare", 6, 2)
    cameras = [{"id": name, "source": str(tmp_path / "gate"), "fps": 8, "loop": True} for name in ("east", "west")]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"site": "guarded", "cameras": cameras}))
    with StationRun("up", str(tmp_path / "site.yaml"), "--workers", "2") as run:
        until(lambda: run.violations("started"), 120)
        judge = run.find("judge")
        assert judge is not None
        client = connect(judge.environ()["MASKWATCH_STATE_URL"])
        keys = Keys(run.prefix, ensure_layout(client, run.prefix, None))
        registry = BrokerRegistry(client, run.prefix)
        ref = registry.publish(make_version(tmp_path, "candidate", "classifier"))
        channels = Channels(
            registry,
            ShadowReports(client, run.prefix),
            LiveFigures(client, keys),
            SiteInbox(client, keys),
            lambda: None,
        )
        guarded = GuardedRollout(channels, ProgressStore(client, keys), LIMITS)
        guarded.begin("candidate", 0, time.time())
        stages = ["published"]

        def over() -> bool:
            progress = guarded.turn(time.time())
            assert progress is not None
            if progress.stage != stages[-1]:
                stages.append(progress.stage)
            return not progress.active

        until(over, 240)
        assert stages == ["published", "shadow", "canary", "promoted", "done"]
        assert registry.current().classifier == ref
        until(lambda: {one.classifier for one in registry.workers().values()} == {ref}, 30)
        actions = until(lambda: told(client, keys, 3), 30)
        assert actions == ["rollout_started", "rollout_started", "promoted"]
        client.close()


def told(client: Client, keys: Keys, count: int) -> list[str]:
    """Actions of the status events in the site's log, once there are so many."""
    entries = call(client, "XRANGE", keys.site_events(), "-", "+")
    events = [json.loads(fields[b"event"]) for _, fields in entries]
    actions = [event["data"]["action"] for event in events if event["type"] == "maskwatch.model.status.v1"]
    return actions if len(actions) >= count else []
