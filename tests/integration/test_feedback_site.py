"""Feedback through the station: written by another tool, taken by the judge's process, read in the event log."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from common.broker.client import call
from common.broker.events.log import EventLog, LoggedEvent
from common.broker.plans import PlanStore
from common.events import FEEDBACK_TYPE, CloudEvent, FeedbackData
from common.siteplan import parse_plan
from maskwatch.run.table import event_line
from tests.brokers import Brokers
from tests.event_writing import EventWriter
from tests.waiting import until
from workers.feedback.service import running as feedback_running
from workers.site.service import SiteSettings
from workers.site.service import running as site_running

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/schemas/examples/maskwatch.violation.started.v1.json"
SETTINGS = SiteSettings(owner="here", lease_s=5, renew_s=1, batch=100, events_kept=1000, grace_s=2)


def test_a_word_of_another_tool_is_in_the_event_log_within_seconds(brokers: Brokers) -> None:
    event: dict[str, Any] = json.loads(EXAMPLE.read_text("utf-8"))
    event["subject"] = episode = str(uuid.uuid4())
    site = event["data"]["camera"]["site"]
    plan = parse_plan({"site": site, "cameras": [{"id": "gate-1", "source": "x.mp4"}]}, "plan")
    PlanStore(brokers.state, brokers.keys.prefix).publish(plan.to_bytes())
    EventWriter(brokers.state, brokers.keys).append("gate-1", event)
    log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
    registry = CollectorRegistry()

    def told() -> list[LoggedEvent]:
        return [one for one in log.read(log.start_cursors("0"), 0, 100) if one.type == FEEDBACK_TYPE]

    with (
        site_running(brokers.state, brokers.keys, SETTINGS, registry) as stage,
        feedback_running(brokers.state, brokers.keys, registry, lambda: stage.loop.holding),
    ):
        key = brokers.keys.feedback(brokers.keys.partition_of("gate-1"))
        for _ in range(2):  # a tool that is not sure whether it was heard
            call(brokers.state, "XADD", key, "*", "event", episode, "label", "mask", "by", "desk", "at", "2026-10-01")
        (logged,) = until(told, 10)
        figure = until(lambda: registry.get_sample_value("maskwatch_alarm_judged", {"camera": "gate-1"}), 10)
    (logged,) = told()

    read = CloudEvent.model_validate_json(logged.event)
    assert (read.subject, read.partitionkey, logged.camera) == (episode, "gate-1", "gate-1")
    assert isinstance(read.data, FeedbackData)
    assert (read.data.label, read.data.right, figure) == ("mask", False, 1)
    assert event_line(json.loads(logged.event)).endswith("feedback.recorded  mask by desk, alarm wrong")
