"""The single checks behind ``maskwatch doctor --privacy``, in the order in which they are shown."""

from __future__ import annotations

import json
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from common.broker.client import Client
from common.broker.frames.pictureaccess import AccessLog
from common.broker.inspection import left_ms, oldest_entry_ms, scan_keys, settings_of, values_of
from common.broker.lag import broker_now_ms
from common.broker.planfeed import read_plan
from common.errors import SitePlanError
from common.pictures import PictureKind
from common.siteplan import SitePlan
from maskwatch.doctor.pixelhunt import files_with_jpeg, holds_jpeg
from maskwatch.doctor.privacycheck import Check, Finding, Scene

PERSONAL = "maskwatch.violation."
OLDEST_FRAME_MS = 60_000
SLACK_MS = 60_000
_SETTLING_MS = 15_000  # after a change of the plan, what was under way is still brought to its end
_EVENTS_AT_A_TIME = 1000


def check_modes(scene: Scene) -> Iterator[Finding]:
    """Say which mode each camera runs in, by the plan as it is published."""
    groups: dict[str, list[str]] = {}
    for camera in scene.plan.cameras:
        groups.setdefault(_words(scene.plan, camera.id), []).append(camera.id)
    for words, cameras in groups.items():
        shown = ", ".join(cameras[:6]) + (f" and {len(cameras) - 6} more" if len(cameras) > 6 else "")
        yield Finding("cameras", "ok", f"{shown}: {words} (plan version {scene.version})")
    if not groups:
        yield Finding("cameras", "note", f"plan version {scene.version} has no camera")


def _words(plan: SitePlan, camera: str) -> str:
    rules = plan.pictures_of(camera)
    snapshots = f"snapshots for {rules.snapshot_s / 3600:g} h" if rules.snapshots else "no snapshots"
    crops = f"face crops for {rules.crop_s / 3600:g} h" if rules.crops else "no face crops"
    return f"{plan.mode_of(camera)}, {snapshots}, {crops}"


def check_persistence(scene: Scene) -> Iterator[Finding]:
    """Prove that the frames broker writes nothing to disk."""
    name = "frames broker"
    for said in settings_of(scene.frames, "save", "appendonly", "maxmemory-policy"):
        if said["save"] is None or said["appendonly"] is None:
            yield Finding(name, "unproven", "its settings may not be asked for", "give the operator's user +config|get")
            continue
        kept = [
            f"{key} {value}" for key, value in said.items() if key != "maxmemory-policy" and value not in ("", "no")
        ]
        if kept:
            yield Finding(
                name, "violation", f"it writes frames to disk: {', '.join(kept)}", "set save '' and appendonly no"
            )
        else:
            yield Finding(name, "ok", "nothing is written to disk (save '', appendonly no)")
        policy = said["maxmemory-policy"] or "unknown"
        if policy.startswith("allkeys"):
            yield Finding(name, "violation", f"maxmemory-policy {policy} deletes whole streams", "set noeviction")
        elif policy != "noeviction":
            yield Finding(name, "note", f"maxmemory-policy {policy} may remove pictures early", "set noeviction")


def check_frames(scene: Scene) -> Iterator[Finding]:
    """Prove that frames do not stay."""
    now_ms, ages = broker_now_ms(scene.frames), []
    for key in scan_keys(scene.frames, f"{scene.keys.prefix}:{{p*}}:f:*"):
        oldest_ms = oldest_entry_ms(scene.frames, key)
        if oldest_ms is not None:
            ages.append(now_ms - oldest_ms)
    if ages and max(ages) > OLDEST_FRAME_MS:
        found = f"the oldest frame is {max(ages) / 1000:.0f} s old"
        yield Finding("frames", "violation", found, "run an infer worker: it removes frames older than 10 s")
    else:
        yield Finding(
            "frames", "ok", f"{len(ages)} streams, the oldest frame is {max(ages, default=0) / 1000:.0f} s old"
        )


def check_pictures(scene: Scene) -> Iterator[Finding]:
    """Prove that every picture ends by itself and is allowed by the plan."""
    wrong: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    kinds: tuple[tuple[str, PictureKind], ...] = (("pic", "snapshot"), ("crop", "crop"))
    for short, kind in kinds:
        for key in scan_keys(scene.frames, f"{scene.keys.prefix}:{{p*}}:{short}:*"):
            left = left_ms(scene.frames, key)
            if left == -2:
                continue
            counts[kind] += 1
            rules = scene.plan.pictures_of(key.split(":")[3])
            allowed, longest_s = (
                (rules.snapshots, rules.snapshot_s) if kind == "snapshot" else (rules.crops, rules.crop_s)
            )
            if left == -1:
                wrong[f"{kind} without an end"] += 1
            if not allowed:
                wrong[f"{kind} of a camera in mode {rules.mode} that the plan allows none"] += 1
            elif left > 1000 * longest_s + SLACK_MS:
                wrong[f"{kind} kept for longer than the plan's {longest_s / 3600:g} h"] += 1
    for text, count in sorted(wrong.items()):
        yield Finding("pictures", "violation", f"{count} × {text}", "an infer worker removes them within half a minute")
    if not wrong:
        yield Finding("pictures", "ok", f"{counts['snapshot']} snapshots and {counts['crop']} crops, each with an end")
    looks = len(AccessLog(scene.desk.client, scene.keys).last(1000))
    yield Finding("looks at pictures", "ok", f"{looks if looks < 1000 else '1000 or more'} noted")


def check_values(scene: Scene) -> Iterator[Finding]:
    """Prove that no value on the state broker is a picture."""
    keys = bad = 0
    for key in scan_keys(scene.desk.client, f"{scene.keys.prefix}:*"):
        if _is_picture_place(key):
            continue  # both endpoints on one server: told by the frames broker's check
        keys += 1
        if any(holds_jpeg(value) for value in values_of(scene.desk.client, key)):
            bad += 1
            yield Finding("state broker", "violation", f"{key} holds a picture", "find out who wrote it, and delete it")
    if not bad:
        yield Finding("state broker", "ok", f"no picture under {keys} keys")


def _is_picture_place(key: str) -> bool:
    return any(mark in key for mark in ("}:f:", "}:pic:", "}:crop:"))


def check_files(scene: Scene) -> Iterator[Finding]:
    """Prove that no file of a broker on this machine holds a picture."""
    for name, client in (("frames broker's files", scene.frames), ("state broker's files", scene.desk.client)):
        yield from _files(name, client)


def _files(name: str, client: Client) -> Iterator[Finding]:
    for said in settings_of(client, "dir"):
        folder = Path(said["dir"]) if said["dir"] else None
        if not _is_here(client) or folder is None or not folder.is_dir():
            yield Finding(name, "note", "not on this machine, or not to be seen", "look through its data folder there")
            continue
        bad = 0
        for path, trouble in files_with_jpeg(folder):
            bad += 1
            verdict, found = (
                ("unproven", f"{path.name}: {trouble}") if trouble else ("violation", f"{path.name} holds a picture")
            )
            yield Finding(name, "unproven" if verdict == "unproven" else "violation", found)
        if not bad:
            yield Finding(name, "ok", "no picture in any file of its folder")


def _is_here(client: Client) -> bool:
    pool = getattr(client, "connection_pool", None)
    where = pool.connection_kwargs if pool is not None else {}
    return "path" in where or where.get("host") in ("127.0.0.1", "::1", "localhost")


def check_statistics(scene: Scene) -> Iterator[Finding]:
    """Prove that cameras which are only counted leave no events of single persons."""
    cameras = [camera.id for camera in scene.plan.cameras if scene.plan.mode_of(camera.id) == "statistics"]
    if not cameras:
        yield Finding("events of persons", "ok", "no camera is in mode statistics, so events of persons are allowed")
        return
    since = {camera: _counted_since_ms(scene, camera) + _SETTLING_MS for camera in cameras}
    after, before = _personal_events(scene, since)
    if after:
        yield Finding("events of persons", "violation", f"{after} events of persons at cameras that are only counted")
    if before:
        advice = "they go with the log's age; trim the event logs to be rid of them at once"
        yield Finding("events of persons", "note", f"{before} events of persons from before", advice)
    if not after and not before:
        yield Finding("events of persons", "ok", f"0 at {len(cameras)} cameras that are only counted")


def _counted_since_ms(scene: Scene, camera: str) -> int:
    """Say since when a camera has been in mode statistics without a break, as far as the plan's history reaches."""
    since = 0.0
    for version in scene.desk.plans.history():
        try:
            plan = read_plan(version.payload, f"plan version {version.number}")
        except SitePlanError:
            break
        if plan.mode_of(camera) != "statistics":
            break
        since = version.at
    return round(1000 * since)


def _personal_events(scene: Scene, since: dict[str, int]) -> tuple[int, int]:
    after = before = 0
    cursors = scene.desk.events.start_cursors("0")
    while found := scene.desk.events.read(cursors, 0, _EVENTS_AT_A_TIME):
        for logged in found:
            cursors[logged.partition] = logged.entry_id
            if logged.camera not in since or not (logged.type.startswith(PERSONAL) or _names_a_person(logged.event)):
                continue
            late = int(logged.entry_id.partition("-")[0]) > since[logged.camera]
            after, before = after + late, before + (not late)
    return after, before


def _names_a_person(event: bytes) -> bool:
    """Say whether an event of whatever type has a track in it."""
    try:
        data = json.loads(event).get("data")
    except (ValueError, AttributeError):
        return False
    return isinstance(data, dict) and ("track" in data or "bbox" in json.dumps(data))


def check_memory(_scene: Scene) -> Iterator[Finding]:
    """Say what of this machine's memory could reach a disk."""
    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    if soft != 0:
        yield Finding("core dumps", "note", "this user's programs may write core dumps", "ulimit -c 0, or LimitCORE=0")
    else:
        yield Finding("core dumps", "ok", "off for this user's programs")
    if psutil.swap_memory().total:
        yield Finding(
            "swap", "note", "on: memory may reach a disk", "run brokers and workers where swap is off or encrypted"
        )
    else:
        yield Finding("swap", "ok", "off")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("cameras", check_modes),
    ("frames broker", check_persistence),
    ("frames", check_frames),
    ("pictures", check_pictures),
    ("state broker", check_values),
    ("files", check_files),
    ("events of persons", check_statistics),
    ("memory", check_memory),
)
