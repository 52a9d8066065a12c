"""``maskwatch doctor --privacy`` against real brokers: it passes where all is well, and finds whatever is not."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import jpeg
from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.frames.pictures import PictureStore
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.events import timestamp
from common.pictures import PictureRef
from common.siteplan import parse_plan
from maskwatch.doctor.pixelhunt import holds_jpeg
from tests.brokers import Brokers, open_brokers
from tests.event_writing import STATUS, EventWriter
from tests.infer_site import a_jpeg

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = {"mode": "full", "snapshots": True, "snapshot_hours": 2}
REF = PictureRef("snapshot", "east", 7, 3, 0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPair]:
    """Brokers of this file's own: their files are looked through."""
    with EmbeddedPair(tmp_path_factory.mktemp("privacy")) as made:
        yield made


@pytest.fixture
def own(pair: EmbeddedPair) -> Iterator[Brokers]:
    with open_brokers(pair.frames.url, pair.state.url) as opened:
        yield opened


def put_plan(brokers: Brokers, **rest: Any) -> None:
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    cameras = [{"id": "east", "source": "synthetic:test"}]
    plan = parse_plan({"site": "test", "cameras": cameras, **rest}, "test")
    PlanStore(brokers.state, brokers.keys.prefix).publish(plan.to_bytes())


def command(brokers: Brokers, pair: EmbeddedPair, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "MASKWATCH_STATE_URL": pair.state.url,
        "MASKWATCH_FRAMES_URL": pair.frames.url,
        "MASKWATCH_PREFIX": brokers.keys.prefix,
        **variables,
    }
    line = [sys.executable, "-m", "maskwatch", *words]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def doctor(brokers: Brokers, pair: EmbeddedPair, **variables: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Give the exit status, and verdict and words of each thing that was looked at."""
    done = command(brokers, pair, "doctor", "--privacy", "--json", **variables)
    assert done.stdout, done.stderr
    found: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["name"], []).append((one["verdict"], one["found"]))
    return done.returncode, found


def violations(found: dict[str, list[tuple[str, str]]]) -> set[str]:
    return {name for name, many in found.items() if any(verdict == "violation" for verdict, _ in many)}


def test_a_station_that_keeps_to_its_plan_passes(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own, privacy=SNAPSHOTS)
    PictureStore(own.frames, own.keys).put(REF, a_jpeg(), 3_600_000)
    own.writer().append("east", b"{}", a_jpeg(), 10)
    EventWriter(own.state, own.keys).write("east", 3)
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (0, set())
    assert found["cameras"] == [("ok", "east: full, snapshots for 2 h, no face crops (plan version 1)")]
    assert found["frames broker"] == [("ok", "nothing is written to disk (save '', appendonly no)")]
    assert found["pictures"] == [("ok", "1 snapshots and 0 crops, each with an end")]
    assert [verdict for verdict, _ in found["frames broker's files"]] == ["ok"]
    assert [verdict for verdict, _ in found["state broker's files"]] == ["ok"]
    table = command(own, pair, "doctor", "--privacy")
    assert table.returncode == 0
    assert "snapshots for 2 h" in table.stdout


def test_without_a_plan_there_is_nothing_to_prove(own: Brokers, pair: EmbeddedPair) -> None:
    done = command(own, pair, "doctor", "--privacy")
    assert done.returncode == 2
    assert "no site plan is published" in done.stderr


def test_a_frames_broker_that_keeps_things_on_disk_is_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own)
    status, found = doctor(own, pair, MASKWATCH_FRAMES_URL=pair.state.url)
    assert (status, violations(found)) == (1, {"frames broker"})
    assert "appendonly yes" in found["frames broker"][0][1]


def test_a_broker_that_throws_keys_away_is_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own)
    try:
        call(own.frames, "CONFIG SET", "maxmemory-policy", "volatile-lru")
        status, found = doctor(own, pair)
        assert (status, found["frames broker"][1][0]) == (0, "note")
        call(own.frames, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        status, found = doctor(own, pair)
        assert (status, violations(found)) == (1, {"frames broker"})
    finally:
        call(own.frames, "CONFIG SET", "maxmemory-policy", "noeviction")


@pytest.mark.parametrize("shape", ["string", "hash", "stream", "base64"])
def test_a_picture_on_the_state_broker_is_found_there_and_in_its_file(tmp_path: Path, shape: str) -> None:
    with EmbeddedPair(tmp_path) as spoiled, open_brokers(spoiled.frames.url, spoiled.state.url) as own:
        put_plan(own)
        key, picture = own.keys.site("strange"), a_jpeg()
        if shape == "string":
            call(own.state, "SET", key, b"x" * 1_500_000 + picture)
        elif shape == "hash":
            call(own.state, "HSET", key, "field", picture)
        elif shape == "stream":
            call(own.state, "XADD", key, "*", "event", b'{"picture":' + picture)
        else:
            call(own.state, "XADD", key, "*", "event", json.dumps({"jpeg": base64.b64encode(picture).decode()}))
        status, found = doctor(own, spoiled)
        assert (status, violations(found)) == (1, {"state broker", "state broker's files"})
        assert found["state broker"] == [("violation", f"{key} holds a picture")]
        call(own.state, "DEL", key)
        status, found = doctor(own, spoiled)
        assert (status, violations(found)) == (1, {"state broker's files"}), "its file still holds what was deleted"


def test_a_picture_in_a_file_of_a_broker_is_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own)
    stray = pair.frames.folder / "dump.rdb"
    stray.write_bytes(b"REDIS0011" + b"\x00" * 70_000 + a_jpeg())
    try:
        status, found = doctor(own, pair)
    finally:
        stray.unlink()
    assert (status, violations(found)) == (1, {"frames broker's files"})
    assert found["frames broker's files"] == [("violation", "dump.rdb holds a picture")]


def test_pictures_against_the_plan_are_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own, privacy=SNAPSHOTS)
    store = PictureStore(own.frames, own.keys)
    store.put(REF, a_jpeg(), 5 * 3_600_000)
    store.put(REF._replace(kind="crop"), a_jpeg(), 10_000)
    store.put(REF._replace(seq=4), a_jpeg(), 3_600_000)
    call(own.frames, "PERSIST", own.keys.picture("snapshot", "east", (7, 4, 0)))
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (1, {"pictures"})
    words = " ".join(text for _, text in found["pictures"])
    assert "1 × snapshot without an end" in words
    assert "kept for longer than the plan's 2 h" in words
    assert "1 × crop of a camera in mode full that the plan allows none" in words


def test_a_picture_at_a_camera_that_is_only_counted_is_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own, privacy={"mode": "statistics"})
    PictureStore(own.frames, own.keys).put(REF, a_jpeg(), 10_000)
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (1, {"pictures"})
    assert "mode statistics" in found["pictures"][0][1]


def test_frames_that_stay_are_found(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own)
    old_ms = round(time.time() * 1000) - 120_000
    call(own.frames, "XADD", own.keys.frames("east"), f"{old_ms}-0", "h", "{}", "jpeg", a_jpeg())
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (1, {"frames"})


def an_old_event(brokers: Brokers, age_s: float) -> None:
    body = {"type": "maskwatch.violation.started.v1", "data": {"track": {"id": "x"}}, "time": timestamp(0)}
    key = brokers.keys.events(brokers.keys.partition_of("east"))
    entry_id = f"{round((time.time() - age_s) * 1000)}-0"
    call(brokers.state, "XADD", key, entry_id, "event", json.dumps(body), "type", body["type"], "camera", "east")


def test_events_of_persons_where_people_are_only_counted_are_found(own: Brokers, pair: EmbeddedPair) -> None:
    """What was written before the switch, and while it settled, is told apart from what came after."""
    an_old_event(own, 3600)
    put_plan(own, privacy={"mode": "statistics"})
    EventWriter(own.state, own.keys).write("east", 1, STATUS)
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (0, set())
    assert found["events of persons"] == [("note", "1 events of persons from before")]
    an_old_event(own, -60)
    status, found = doctor(own, pair)
    assert (status, violations(found)) == (1, {"events of persons"})


def test_what_may_not_be_looked_at_counts_as_unproven(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own)
    user = f"narrow{own.keys.prefix}"
    call(own.frames, "ACL SETUSER", user, "on", ">pw", "~*", "+@read", "+time", "+ping", "+hello")
    url = pair.frames.url.replace(f":{pair.frames.password}@", f"{user}:pw@")
    status, found = doctor(own, pair, MASKWATCH_FRAMES_URL=url)
    assert status == 1
    assert ("unproven", "its settings may not be asked for") in found["frames broker"]


def test_no_secret_and_no_picture_is_in_what_it_says(own: Brokers, pair: EmbeddedPair) -> None:
    put_plan(own, privacy=SNAPSHOTS)
    done = command(own, pair, "doctor", "--privacy", "--json", MASKWATCH_FRAMES_URL=pair.state.url)
    assert pair.state.password not in done.stdout + done.stderr


def test_random_bytes_are_no_picture_but_every_jpeg_is_one() -> None:
    """Compressed states and weights hold the three magic bytes by chance."""
    noise = bytearray(os.urandom(1 << 22))
    assert not holds_jpeg(bytes(noise).replace(b"\xff\xd8\xff", b"\xff\xd8\xfe").replace(b"\r\n\xff", b"\r\n\xfe"))
    noise[100_000:100_004] = b"\xff\xd8\xff\xe0"
    assert not holds_jpeg(bytes(noise[:200_000]).replace(b"\r\n\xff", b"\r\n\xfe"))
    for seed in range(5):
        picture = a_jpeg(seed)
        assert holds_jpeg(picture)
        assert holds_jpeg(bytes(noise[:1000]) + picture)
        assert jpeg.inspect(picture)


def written_event(brokers: Brokers, digest: str) -> str:
    writer = EventWriter(brokers.state, brokers.keys)
    event = writer._event("east", "maskwatch.violation.started.v1", "alert")
    event["data"]["snapshot"] = {"uri": REF.uri, "width": 320, "height": 192, "sha256": digest}
    event["data"]["privacy"] = {"mode": "full", "retain_until": timestamp(time.time() + 3600)}
    writer.append("east", event)
    return str(event["id"])


def test_a_snapshot_is_given_out_by_event_id_and_the_look_is_noted(
    own: Brokers, pair: EmbeddedPair, tmp_path: Path
) -> None:
    put_plan(own, privacy=SNAPSHOTS)
    data, out = a_jpeg(), tmp_path / "face.jpg"
    event_id = written_event(own, hashlib.sha256(data).hexdigest())
    store = PictureStore(own.frames, own.keys)
    store.put(REF, data, 60_000)
    done = command(own, pair, "events", "snapshot", event_id[:8], "--out", str(out), "--by", "ana@desk")
    assert (done.returncode, out.read_bytes()) == (0, data), done.stderr
    assert out.stat().st_mode & 0o077 == 0
    assert "snapshot_access by=ana@desk" in done.stderr
    (noted,) = call(own.state, "XRANGE", own.keys.site("pictures:access"), "-", "+")
    assert (noted[1][b"by"], noted[1][b"uri"]) == (b"ana@desk", REF.uri.encode())

    store.put(REF, a_jpeg(5), 60_000)
    done = command(own, pair, "events", "snapshot", event_id, "--out", str(tmp_path / "other.jpg"))
    assert done.returncode == 1
    assert "not the one" in done.stderr
    store.delete(REF)
    done = command(own, pair, "events", "snapshot", event_id, "--out", str(tmp_path / "gone.jpg"))
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert not (tmp_path / "gone.jpg").exists()
    assert len(call(own.state, "XRANGE", own.keys.site("pictures:access"), "-", "+")) == 3


def test_a_look_that_cannot_be_noted_gets_no_picture(own: Brokers, pair: EmbeddedPair, tmp_path: Path) -> None:
    put_plan(own, privacy=SNAPSHOTS)
    event_id = written_event(own, "0" * 64)
    PictureStore(own.frames, own.keys).put(REF, a_jpeg(), 60_000)
    user = f"reader{own.keys.prefix}"
    call(own.state, "ACL SETUSER", user, "on", ">pw", "~*", "+@all", "-xadd")
    url = pair.state.url.replace(f":{pair.state.password}@", f"{user}:pw@")
    out = tmp_path / "face.jpg"
    done = command(own, pair, "events", "snapshot", event_id, "--out", str(out), MASKWATCH_STATE_URL=url)
    assert done.returncode == 3
    assert not out.exists()
