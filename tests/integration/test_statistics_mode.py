"""Where only counts may arise, nothing of a single person is left on either broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.broker.client import Client, call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.schema import encode
from common.siteplan import SitePlan
from tests.brokers import Brokers
from tests.judge_scenes import CAMERA, START_S, a_mark, scene, standing
from tests.waiting import until
from workers.judge.state import CameraState

ROOT = Path(__file__).resolve().parents[2]
PERSONAL = re.compile(
    r'violation\.|incident\.|bbox|"box"|first_seen|best_frame|top_score|landmarks|"track|"verdict|'
    rf"{CAMERA}:\d+:\d+:\d+"
)
"""What an event of a person, a followed track, or a face in a result cannot do without."""
PLAN = re.compile(r":\{site\}:plan(:history)?$")
"""What people wrote themselves; no data of anybody."""
TRANSIENT = re.compile(r":\{p\d\d\}:(res|st)$")
"""The keys that hold boxes of people while they are in view: results for 10 s, the judge's state of who is followed."""


def a_plan(**parts: Any) -> SitePlan:
    raw: dict[str, Any] = {
        "site": "hall",
        "privacy": {"mode": "statistics"},
        "zones": [{"id": "gates"}],
        "cameras": [{"id": CAMERA, "source": "x", "zones": {"gates": [[0, 0], [1, 0], [1, 1], [0, 1]]}}],
        "incidents": [
            {"id": "here", "more_than": 0, "within_min": 5},
            {"id": "crowd", "zone": "gates", "more_than": 0, "within_min": 5},
        ],
    }
    return SitePlan.model_validate(raw | parts)


def everything(client: Client, prefix: str) -> dict[str, str]:
    """Read all keys of an installation as text, packed ones unpacked."""
    found = {}
    for key in call(client, "KEYS", f"{prefix}:*"):
        kind = call(client, "TYPE", key)
        if kind == b"stream":
            parts = [part for _, fields in call(client, "XRANGE", key, "-", "+") for part in flat(fields)]
        elif kind == b"hash":
            parts = flat(call(client, "HGETALL", key))
        else:
            parts = [call(client, "GET", key)]
        found[key.decode()] = "\n".join(unpacked(part) for part in parts)
    return found


def flat(fields: Any) -> list[bytes]:
    return [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else list(fields)


def unpacked(part: bytes) -> str:
    try:
        return zlib.decompress(part).decode()
    except zlib.error:
        return part.decode("utf-8", "replace")


def personal(brokers: Brokers) -> set[str]:
    """Name the keys in which something of a single person is found."""
    keys = everything(brokers.state, brokers.keys.prefix) | everything(brokers.frames, brokers.keys.prefix)
    return {key for key, text in keys.items() if not PLAN.search(key) and PERSONAL.search(text)}


@pytest.fixture
def judge(broker_pair: EmbeddedPair, brokers: Brokers) -> Iterator[None]:
    """A judge process with its site stage."""
    env = os.environ | {
        "MASKWATCH_STATE_URL": broker_pair.state.url,
        "MASKWATCH_PREFIX": brokers.keys.prefix,
        "MASKWATCH_PARTITIONS": str(brokers.keys.partitions),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.judge_process"], cwd=ROOT, env=env)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(15) == 0


def feed(brokers: Brokers, first_s: float, seconds: float, *, ends: bool) -> None:
    """Two people without a mask come by; then the camera goes on alone, or ends."""
    people = [standing("no_mask", first_s, first_s + 4, x=0.1), standing("incorrect", first_s + 1, first_s + 5, x=0.9)]
    messages = [one for one in scene(people, first_s + seconds) if one.captured_at >= START_S + first_s]
    last = a_mark(messages[-1].seq + 1, first_s + seconds, final=ends)
    partition = brokers.keys.partition_of(CAMERA)
    payloads = [encode(one) for one in (a_mark(messages[0].seq, first_s), *messages, last)]
    ResultWriter(brokers.state, brokers.keys).append_many([(partition, payload) for payload in payloads])


def state_of(brokers: Brokers) -> CameraState:
    raw = brokers.store("x").load(brokers.keys.partition_of(CAMERA)).cameras.get(CAMERA)
    return CameraState() if raw is None else CameraState.from_bytes(raw)


def event_types(brokers: Brokers) -> list[str]:
    keys = [brokers.keys.events(brokers.keys.partition_of(CAMERA)), brokers.keys.site_events()]
    entries = [fields for key in keys for _, fields in call(brokers.state, "XRANGE", key, "-", "+")]
    return [json.loads(fields[b"event"])["type"] for fields in entries]


def publish(brokers: Brokers, **parts: Any) -> None:
    PlanStore(brokers.state, brokers.keys.prefix).publish(a_plan(**parts).to_bytes())


@pytest.mark.usefixtures("judge")
def test_a_run_with_violations_leaves_counts_and_nothing_of_a_person(brokers: Brokers) -> None:
    publish(brokers)
    feed(brokers, 0, 2, ends=False)
    until(lambda: state_of(brokers).tracks, 20)
    assert personal(brokers)  # somebody is in view, so this search can find something ...
    assert [key for key in personal(brokers) if not TRANSIENT.search(key)] == []  # ... and only where it must be
    feed(brokers, 2, 20, ends=True)
    until(lambda: not state_of(brokers).tracks and state_of(brokers).standing.closed, 20)

    assert state_of(brokers).census.persons[""][:3] in ([0, 1, 1], [0, 2, 2])
    assert set(event_types(brokers)) == {"maskwatch.camera.status.v1"}
    until(lambda: not personal(brokers), 20)
    assert call(brokers.state, "XLEN", brokers.keys.results(brokers.keys.partition_of(CAMERA))) == 0


@pytest.mark.usefixtures("judge")
def test_a_live_change_ends_the_open_episodes_and_tells_nothing_more(brokers: Brokers) -> None:
    publish(brokers, privacy={"mode": "full"})
    feed(brokers, 0, 3, ends=False)
    until(lambda: "maskwatch.incident.opened.v1" in event_types(brokers)[-2:], 20)
    publish(brokers)
    until(lambda: not any(track.case.is_open for track in state_of(brokers).tracks), 20)
    until(lambda: event_types(brokers).count("maskwatch.incident.closed.v1") == 2, 20)
    before = event_types(brokers)
    feed(brokers, 3, 20, ends=True)
    until(lambda: state_of(brokers).standing.closed, 20)

    kinds = [kind.split(".")[2] for kind in before if "violation" in kind]
    assert kinds.count("started") == kinds.count("ended") > 0
    added = event_types(brokers)[:]
    for kind in before:
        added.remove(kind)
    assert set(added) <= {"maskwatch.camera.status.v1"}
