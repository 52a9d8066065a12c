"""What must hold after every fault, once things are quiet again: I1 to I7, each with a sentence where it does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.schema import FrameResult, MarkResult, Outcome
from maskwatch.doctor.pixelhunt import files_with_jpeg
from maskwatch.run.oracle import Comparison, compare, expected_episodes
from tests.faults.rig import Rig
from tests.faults.role import Size
from tests.faults.witness import Witness

GROWTH = 1.10
GROWN_UP_S = 60.0
"""Younger processes still fill their pools: the networks take memory for each size of batch that they see first."""
RSS_SLACK_BYTES = 32 << 20
FILE_SLACK = 8
Sizes = Mapping[tuple[str, int], Size]
_STARTED, _ENDED = "maskwatch.violation.started.v1", "maskwatch.violation.ended.v1"


def broken(rig: Rig, before: Sizes, after: Sizes, file_slack: int = FILE_SLACK) -> dict[str, str]:
    """Give the invariants that do not hold, and how; empty where all is as it must be."""
    witness = rig.witness
    events = witness.events()
    found = {
        "I1": unaccounted(witness),
        "I2": accepted_twice(witness),
        "I3": other_than_oracle(witness, events),
        "I4": out_of_order(events),
        "I5": left_over(rig),
        "I6": grown(before, after, file_slack=file_slack),
        "I7": pixels_on_disk(rig.folder, rig.build.state_folder),
    }
    return {name: words for name, words in found.items() if words}


def unaccounted(witness: Witness) -> str:
    """I1: every published frame was processed or dropped for a reason, and the books know of every published frame."""
    sent: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for partition in range(witness.keys.partitions):
        for entry in witness.entries(partition):
            one = entry.message
            session, known = (one.mark.session, one.mark.next_seq) if isinstance(one, MarkResult) else _place(one)
            sent[one.camera][session] = max(sent[one.camera][session], known)
    for camera, account in witness.accounts().items():
        published = sum(sent[camera].values())
        if account.unaccounted or account.published != published:
            return f"{camera}: {published} published, {account}"
    return ""


def accepted_twice(witness: Witness) -> str:
    """I2: no frame was accepted twice."""
    outcomes: dict[str, dict[tuple[int, int], set[Outcome]]] = defaultdict(dict)
    for result in witness.results():
        outcomes[result.camera].setdefault((result.session, result.seq), set()).add(result.outcome)
    for camera, account in witness.accounts().items():
        looked_at = sum(Outcome.OK in found for found in outcomes[camera].values())
        settled = account.processed + sum(account.dropped.values()) - account.dropped.get("trimmed", 0)
        if account.processed > looked_at or settled > len(outcomes[camera]):
            return (
                f"{camera}: {account.processed} processed of {looked_at}, {settled} settled of {len(outcomes[camera])}"
            )
    return ""


def other_than_oracle(witness: Witness, events: Mapping[str, list[dict[str, Any]]]) -> str:
    """I3: the events are those of a judge that never fails, each once, and every start has its end behind it."""
    retold = witness.retold()
    for camera, logged in events.items():
        found = Counter((str(event["type"]), str(event["id"])) for event in logged)
        expected = Counter(retold.get(camera, []))
        if found != expected:
            missing, extra = list((expected - found).elements()), list((found - expected).elements())
            return f"{camera}: missing {missing}, more than told {extra}"
        starts = [str(event["subject"]) for event in logged if event["type"] == _STARTED]
        ends = [str(event["subject"]) for event in logged if event["type"] == _ENDED]
        if sorted(starts) != sorted(ends) or len(set(starts)) != len(starts):
            return f"{camera}: {len(starts)} starts, {len(ends)} ends"
        places = {(event["type"], event["subject"]): place for place, event in enumerate(logged)}
        if any(places[_STARTED, one] > places[_ENDED, one] for one in starts):
            return f"{camera}: an end before its start"
    return ""


def out_of_order(events: Mapping[str, list[dict[str, Any]]]) -> str:
    """I4: a camera's events are numbered without gaps, and starts follow the frames."""
    for camera, logged in events.items():
        numbers = [int(str(event["sequence"])) for event in logged]
        if numbers != list(range(numbers[0] if numbers else 0, len(numbers))):
            return f"{camera}: numbered {numbers}"
        times: dict[str, str] = {}
        for event in logged:
            if event["type"] != _STARTED:
                continue
            session = str(event["data"]["track"]["id"]).split(":")[1]
            moment = str(event["data"]["frame"]["captured_at"])
            if moment < times.get(session, ""):
                return f"{camera}: a start at {moment} after {times[session]}"
            times[session] = moment
    return ""


def left_over(rig: Rig) -> str:
    """I5, at the end: nothing is pending, every partition has an owner that lives."""
    pending = rig.witness.pending()
    if pending:
        return f"{pending} frames pending"
    alive = {role.pid for role in rig.roles.values() if role.running}
    owners = rig.witness.store.owners()
    return "" if len(owners) == rig.keys.partitions and rig.owners() <= alive else f"owners {owners}"


def grown(before: Sizes, after: Sizes, slack_bytes: int = RSS_SLACK_BYTES, file_slack: int = FILE_SLACK) -> str:
    """I6: no process that lived through it took a tenth more files, nor, if it was grown up, of memory."""
    for (name, start), was in before.items():
        now = after.get((name, start))
        if now is None:
            continue
        if was.age_s >= GROWN_UP_S and now.rss > was.rss * GROWTH + slack_bytes:
            return f"{name}: {was.rss >> 20} MiB before, {now.rss >> 20} MiB after"
        if now.files > was.files * GROWTH + file_slack:
            return f"{name}: {was.files} open files before, {now.files} after"
    return ""


def pixels_on_disk(*folders: Path | None) -> str:
    """I7: no JPEG in any data folder or log."""
    for folder in folders:
        for path, why in files_with_jpeg(folder) if folder else ():
            return f"{path.name}: {why or 'holds a picture'}"
    return ""


def against_truth(rig: Rig, ended_s: float) -> Comparison:
    """Compare with the scene itself: what the synthetic cameras showed since `Rig.show` is what the events tell.

    Only for faults that take no more than moments of pictures away.
    """
    first: dict[str, float] = {}
    for result in rig.witness.results():
        if rig.session_after <= result.session < 1000 * ended_s:
            first[result.camera] = min(first.get(result.camera, result.captured_at), result.captured_at)
    sessions = range(rig.session_after, int(1000 * ended_s))
    logged = [
        event
        for events in rig.witness.events().values()
        for event in events
        if "track" in event["data"] and int(event["data"]["track"]["id"].split(":")[1]) in sessions
    ]
    return compare(expected_episodes(rig.plan.cameras, (max(first.values()), ended_s)), logged)


def _place(result: FrameResult) -> tuple[int, int]:
    return result.session, result.seq + 1
