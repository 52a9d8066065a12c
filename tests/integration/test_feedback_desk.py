"""Verdicts on alarms over a real broker: found, stored, told once, contested, erased, and refused with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from common.broker import feedback as desk_module
from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.feedback import Erasure, FeedbackDesk
from common.broker.frames.pictures import PictureStore
from common.broker.plans import PlanStore
from common.broker.siteinbox import SiteNews
from common.broker.verdicts import VerdictStore
from common.errors import BrokerRefusedError, FeedbackRefusedError
from common.events import FEEDBACK_TYPE, FeedbackData
from common.feedback import FeedbackEntry
from common.jpeg import encode
from common.partition import Keys
from common.pictures import PictureRef
from common.siteplan import parse_plan
from tests.brokers import Brokers
from tests.event_writing import STATUS, EventWriter
from tests.integration.test_broker_roles import KEYS, user
from workers.feedback.stage import FeedbackStage

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = json.loads((ROOT / "docs/schemas/examples/maskwatch.violation.started.v1.json").read_text("utf-8"))
REF = PictureRef("crop", "gate-1", 1_790_000_000_000, 3, 0)
GREY = encode(np.full((64, 64, 3), 128, np.uint8))


def alarm(
    brokers: Brokers, camera: str = "gate-1", verdict: str = "no_mask", episode: str = "", **data: Any
) -> tuple[str, str]:
    """Log a violation event as the judge does; gives its episode and its id."""
    event = json.loads(json.dumps(EXAMPLE))
    event["id"], event["subject"], event["partitionkey"] = str(uuid.uuid4()), episode or str(uuid.uuid4()), camera
    event["data"] |= {"verdict": verdict} | data
    event["data"]["camera"]["id"] = camera
    EventWriter(brokers.state, brokers.keys).append(camera, event)
    return event["subject"], event["id"]


def the_desk(brokers: Brokers) -> FeedbackDesk:
    return FeedbackDesk(brokers.state, brokers.keys)


def news(brokers: Brokers) -> list[SiteNews]:
    """What was posted to the site stage."""
    entries = call(brokers.state, "XRANGE", brokers.keys.site("in"), "-", "+")
    return [SiteNews.from_bytes(fields[b"n"] if isinstance(fields, dict) else fields[1]) for _, fields in entries]


def refused(desk: FeedbackDesk, **entry: Any) -> FeedbackRefusedError:
    with pytest.raises(FeedbackRefusedError) as caught:
        desk.record(FeedbackEntry(**({"label": "mask", "by": "ana"} | entry)))
    return caught.value


def publish(brokers: Brokers, **plan: Any) -> None:
    cameras = [{"id": "gate-1", "source": "x.mp4"}, {"id": "gate-2", "source": "y.mp4"}]
    whole = parse_plan({"site": "west", "cameras": cameras} | plan, "plan")
    PlanStore(brokers.state, brokers.keys.prefix).publish(whole.to_bytes())


CONSENT = {"policies": [{"id": "default", "training": {"consent": True, "share": 0.5}}]}


@pytest.mark.parametrize("given", ["episode", "event", "short", "upper"])
def test_an_alarm_is_found_by_episode_or_event(any_brokers: Brokers, given: str) -> None:
    alarm(any_brokers)
    episode, event_id = alarm(any_brokers)
    alarm(any_brokers, camera="gate-2")
    about = {"episode": episode, "event": event_id, "short": event_id[:8], "upper": episode.upper()}[given]

    done = the_desk(any_brokers).record(FeedbackEntry(about, "mask", "ana"))

    assert done.changed
    assert (done.record.subject, done.record.event_id) == (episode, event_id)
    assert (done.record.outcome, done.record.right) == ("mask", False)


def test_it_becomes_one_event_with_the_episode_as_its_subject(brokers: Brokers) -> None:
    episode, event_id = alarm(brokers)
    entry = FeedbackEntry(episode, "no_mask", "ana", "2026-01-01T10:00:00Z")

    assert the_desk(brokers).record(entry).changed
    assert not the_desk(brokers).record(entry).changed

    (told,) = news(brokers)
    assert (told.kind, told.subject, told.camera) == (FEEDBACK_TYPE, episode, "gate-1")
    data = FeedbackData.model_validate(told.data)
    assert (data.event_id, data.label, data.agreed, data.right) == (event_id, "no_mask", True, True)
    assert data.model.classifier is not None


def test_after_the_end_with_a_mask_the_alarm_before_it_is_judged(brokers: Brokers) -> None:
    episode, started = alarm(brokers)
    alarm(brokers)
    alarm(brokers, verdict="mask", episode=episode, lifecycle="ended")

    record = the_desk(brokers).record(FeedbackEntry(episode, "no_mask", "ana")).record

    assert (record.event_id, record.verdict, record.right) == (started, "no_mask", True)


def test_what_is_not_there_is_refused_and_counted(brokers: Brokers) -> None:
    publish(brokers)
    episode, _ = alarm(brokers)
    EventWriter(brokers.state, brokers.keys).write("gate-1", kind=STATUS)
    status = EventWriter(brokers.state, brokers.keys).write("gate-1", kind=STATUS)[0]
    desk = the_desk(brokers)

    unknown = refused(desk, about=str(uuid.uuid4()))
    assert unknown.reason == "unknown_event"
    assert "among the 3 events of all cameras that are kept, back to 20" in str(unknown)
    assert "may have been trimmed" in str(unknown)
    assert "no event of camera 'gate-2'" in str(refused(desk, about=episode, camera="gate-2")) or (
        brokers.keys.partition_of("gate-1") == brokers.keys.partition_of("gate-2")
    )
    assert "did you mean 'gate-1'" in str(refused(desk, about=episode, camera="gate1"))
    assert "only violations can be judged" in str(refused(desk, about=status))
    assert refused(desk, about=episode, label="masc").reason == "label"
    assert desk.records() == []
    assert news(brokers) == []
    assert sum(desk.refusals().values()) == 5
    assert desk.refusals()["unknown_event"] >= 1


def test_an_event_of_another_camera_is_refused(brokers: Brokers) -> None:
    number = brokers.keys.partition_of("gate-1")
    neighbour = next(f"c{n}" for n in range(100) if brokers.keys.partition_of(f"c{n}") == number)
    episode, _ = alarm(brokers)

    assert "is of camera 'gate-1', not of" in str(refused(the_desk(brokers), about=episode, camera=neighbour))


def test_people_who_speak_at_the_same_moment_are_all_heard(brokers: Brokers) -> None:
    episode, _ = alarm(brokers)
    labels = ("mask", "no_mask", "incorrect")

    def speak(number: int) -> None:
        the_desk(brokers).record(FeedbackEntry(episode, labels[number % 3], f"p{number}"))

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (stored,) = the_desk(brokers).records()
    assert len(stored.record.given) == 9
    assert (stored.record.state, stored.record.outcome) == ("contested", None)
    assert len({told.id for told in news(brokers)}) == 9


def test_news_that_a_kill_left_unposted_are_posted_later(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    episode, _ = alarm(brokers)
    with monkeypatch.context() as patch:
        patch.setattr(desk_module.FeedbackDesk, "post_news", lambda *_: 0)  # killed before it
        the_desk(brokers).record(FeedbackEntry(episode, "mask", "ana"))
    assert news(brokers) == []

    FeedbackStage(brokers.state, brokers.keys, CollectorRegistry()).turn()

    assert [told.subject for told in news(brokers)] == [episode]
    assert VerdictStore(brokers.state, brokers.keys).pending(brokers.keys.partition_of("gate-1")) == []


def test_only_so_many_records_are_kept_and_only_for_so_long(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VerdictStore(brokers.state, brokers.keys, kept=3)
    desk = the_desk(brokers)
    monkeypatch.setattr(desk, "_store", store)
    episodes = [alarm(brokers)[0] for _ in range(5)]
    for episode in episodes:
        desk.record(FeedbackEntry(episode, "mask", "ana"))

    assert [one.record.subject for one in desk.records()] == episodes[2:]
    assert store.prune(days=1) == 0
    assert store.prune(days=-1) == 3
    assert desk.records() == []


def write(brokers: Brokers, **fields: str) -> None:
    """Write feedback as another tool does."""
    key = brokers.keys.feedback(brokers.keys.partition_of("gate-1"))
    call(brokers.state, "XADD", key, "*", *[part for pair in fields.items() for part in pair])


def test_other_tools_are_taken_with_the_same_checks(brokers: Brokers) -> None:
    episode, _ = alarm(brokers)
    registry = CollectorRegistry()
    stage = FeedbackStage(brokers.state, brokers.keys, registry)
    stage.turn()
    write(brokers, event=episode, label="mask", by="desk-tool")
    write(brokers, event=episode, label="maks", by="desk-tool")
    write(brokers, event="0" * 36, label="mask", by="desk-tool")
    write(brokers, label="mask", by="desk-tool")
    write(brokers, event=episode, label="mask", by="x" * 300)

    assert stage.turn() == 5
    assert stage.turn() == 0

    (stored,) = the_desk(brokers).records()
    assert [(one.label, one.by) for one in stored.record.given] == [("mask", "desk-tool")]
    for reason, count in {"label": 1, "unknown_event": 1, "fields": 2}.items():
        assert registry.get_sample_value("maskwatch_feedback_refused_total", {"reason": reason}) == count
    assert the_desk(brokers).refusals() == {"fields": 2, "label": 1, "unknown_event": 1}
    notes = call(brokers.state, "XRANGE", brokers.keys.dead_letters(brokers.keys.partition_of("gate-1")), "-", "+")
    assert len(notes) == 4
    labels = {"camera": "gate-1", "label": "mask", "verdict": "no_mask"}
    assert registry.get_sample_value("maskwatch_feedback_total", labels) == 1


def test_a_tool_that_repeats_itself_is_heard_once(brokers: Brokers) -> None:
    episode, _ = alarm(brokers)
    stage = FeedbackStage(brokers.state, brokers.keys, CollectorRegistry())
    for _ in range(3):
        write(brokers, event=episode, label="mask", by="tool", at="2026-01-01T10:00:00Z")
    stage.turn()

    assert len(news(brokers)) == 1


def test_precision_follows_what_people_say(brokers: Brokers) -> None:
    registry = CollectorRegistry()
    stage, desk = FeedbackStage(brokers.state, brokers.keys, registry), the_desk(brokers)
    episodes = [alarm(brokers)[0] for _ in range(4)]
    for episode, label in zip(episodes, ("no_mask", "incorrect", "mask", "not_a_face"), strict=True):
        desk.record(FeedbackEntry(episode, label, "ana"))
    stage.turn()

    def figures() -> list[float | None]:
        names = ("precision", "judged", "contested")
        return [registry.get_sample_value(f"maskwatch_alarm_{name}", {"camera": "gate-1"}) for name in names]

    assert figures() == [0.5, 4, 0]

    desk.record(FeedbackEntry(episodes[2], "no_mask", "ben"))  # undecided now
    stage.turn()
    assert figures() == pytest.approx([2 / 3, 3, 1])

    desk.erase(Erasure(subject=episodes[3]))
    stage.turn()
    assert figures() == [1.0, 2, 1]

    again = CollectorRegistry()  # as after a restart
    FeedbackStage(brokers.state, brokers.keys, again).turn()
    assert again.get_sample_value("maskwatch_alarm_precision", {"camera": "gate-1"}) == 1.0
    labels = {"camera": "gate-1", "label": "mask", "verdict": "no_mask"}
    assert again.get_sample_value("maskwatch_feedback_total", labels) is None


def test_statistics_mode_keeps_nothing_of_single_persons(brokers: Brokers) -> None:
    episode, _ = alarm(brokers)
    publish(brokers, privacy={"mode": "statistics"})

    assert refused(the_desk(brokers), about=episode).reason == "privacy"
    assert the_desk(brokers).records() == []


def test_a_face_crop_can_be_labelled_where_the_policy_consents(brokers: Brokers) -> None:
    pictures = PictureStore(brokers.frames, brokers.keys)
    pictures.put(REF, GREY, 60_000)
    desk = FeedbackDesk(brokers.state, brokers.keys, lambda ref: pictures.get(ref) is not None)
    assert "no policy that lets face crops be kept" in str(refused(desk, about=REF.uri))
    publish(brokers)
    assert "no policy that lets face crops be kept" in str(refused(desk, about=REF.uri))
    publish(brokers, **CONSENT)
    assert "no such face crop" in str(refused(desk, about=REF._replace(seq=4).uri))
    assert refused(desk, about="maskwatch:crop/../../etc").reason == "picture"

    record = desk.record(FeedbackEntry(REF.uri, "mask", "ana")).record

    assert (record.picture, record.verdict, record.right) == (REF.uri, None, None)
    assert record.origin in ("random", "uncertain")
    assert news(brokers)[0].data["episode"] is None


def test_erased_is_gone_and_the_order_is_left(brokers: Brokers) -> None:
    desk = the_desk(brokers)
    for camera in ("gate-1", "gate-2"):
        desk.record(FeedbackEntry(alarm(brokers, camera)[0], "mask", "ana"))

    (gone,) = desk.erase(Erasure(camera="gate-1", by="ana"))

    assert gone.camera.id == "gate-1"
    assert [one.record.camera.id for one in desk.records()] == ["gate-2"]
    assert {order.camera for _, order in desk.erasures()} == {"gate-1"}
    assert desk.erase(Erasure()) == []


def test_the_role_that_records_needs_no_more_than_it_says(private_broker: EmbeddedBroker) -> None:
    """The user of `docs/feedback.md` can judge alarms, but neither write events nor read frames."""
    keys = Keys("mw", 2)
    root = connect(private_broker.url)
    rules = (ROOT / "docs/feedback.md").read_text("utf-8").partition("```\nresetchannels")[2].partition("```")[0]
    call(root, "ACL SETUSER", "feedback", "reset", "on", ">pw", "resetchannels", *rules.split())
    client = connect(private_broker.url.replace(f":{private_broker.password}@", "feedback:pw@"))
    brokers = Brokers(root, root, root, root, keys)
    episode, _ = alarm(brokers)

    desk = FeedbackDesk(client, keys)
    assert desk.record(FeedbackEntry(episode, "mask", "ana")).changed
    assert desk.records()
    assert refused(desk, about="12345678").reason == "unknown_event"
    assert desk.erase(Erasure(subject=episode))
    assert desk.erasures()
    for command in (("XADD", keys.events(0), "*", "event", "x"), ("HSET", keys.site("plan"), "payload", "x")):
        with pytest.raises(BrokerRefusedError):
            call(client, *command)
    root.close()
    client.close()


def test_the_judges_user_may_take_in_what_other_tools_write(private_broker: EmbeddedBroker) -> None:
    root = connect(private_broker.url)
    brokers = Brokers(root, root, root, root, KEYS)
    episode, _ = alarm(brokers)
    write(brokers, event=episode, label="mask", by="tool")
    write(brokers, event=episode, label="maks", by="tool")
    judge = user(private_broker, "judge")

    assert FeedbackStage(judge, KEYS, CollectorRegistry()).turn() == 2
    assert [told.subject for told in news(brokers)] == [episode]
    assert the_desk(brokers).refusals() == {"label": 1}
    root.close()
    judge.close()


def maskwatch(brokers: Brokers, pair: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "MASKWATCH_STATE_URL": pair.state.url,
        "MASKWATCH_FRAMES_URL": pair.frames.url,
        "MASKWATCH_PREFIX": brokers.keys.prefix,
        "MASKWATCH_PARTITIONS": str(brokers.keys.partitions),
    }
    command = [sys.executable, "-m", "maskwatch", "feedback", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_says_what_it_did(brokers: Brokers, broker_pair: Any, tmp_path: Path) -> None:
    publish(brokers, **CONSENT)
    episode, event_id = alarm(brokers)
    PictureStore(brokers.frames, brokers.keys).put(REF, GREY, 60_000)

    done = maskwatch(brokers, broker_pair, event_id[:8], "--label", "mask", "--by", "ana@desk")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"gate-1  {episode}  alarm no_mask: mask by ana@desk → mask, alarm wrong" in done.stdout

    done = maskwatch(brokers, broker_pair, event_id, "--label", "maks")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "maskwatch: there is no label 'maks'; did you mean 'mask'?\n"

    done = maskwatch(brokers, broker_pair, "list", "--json")
    said = json.loads(done.stdout)
    assert (said["feedback"][0]["outcome"], said["refused"]) == ("mask", {"label": 1})
    assert "gate-1: 0 of 1 judged alarms were right" in maskwatch(brokers, broker_pair, "list").stdout
    assert "nobody contradicts anybody" in maskwatch(brokers, broker_pair, "list", "--contested").stdout
    assert REF.uri in maskwatch(brokers, broker_pair, "queue").stdout

    done = maskwatch(brokers, broker_pair, "erase")
    assert (done.returncode, "name what to erase" in done.stderr) == (2, True)
    done = maskwatch(brokers, broker_pair, "erase", "--camera", "gate-1", "--samples", str(tmp_path / "samples"))
    assert done.stdout.startswith("erased: 1 records, 1 pictures on the frames broker\nerased: 0 samples")
    assert "no face crop waits" in maskwatch(brokers, broker_pair, "queue").stdout
