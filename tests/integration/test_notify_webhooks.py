"""``maskwatch notify`` against real receivers that are down, slow, hostile or gone, and killed in the middle."""

from __future__ import annotations

import base64
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from tests.brokers import Brokers
from tests.event_writing import STATUS, EventWriter
from tests.notifier import Start, notifiers
from tests.waiting import until
from tests.webhook_receiver import SECRET, Receiver

OTHER = "whsec_" + base64.b64encode(b"b" * 32).decode()


@pytest.fixture
def start(tmp_path: Path, brokers: Brokers, broker_pair: EmbeddedPair) -> Iterator[Start]:
    """Starts notifiers on the test's own log; none outlives the test."""
    with notifiers(tmp_path, brokers, broker_pair.state.url) as make:
        yield make


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that behaves."""
    with Receiver(SECRET) as made:
        yield made


@pytest.fixture
def writer(brokers: Brokers) -> EventWriter:
    """Writes into the test's own log."""
    return EventWriter(brokers.state, brokers.keys)


def hook(receiver: Receiver, name: str = "room", **more: Any) -> dict[str, Any]:
    """An entry of the file of receivers."""
    webhook = {"url": receiver.url, "secrets": ["env:HOOK_SECRET"], "allow_private": True, "timeout_s": 0.5}
    outer: dict[str, Any] = {
        key: more.pop(key) for key in ("types", "cameras", "severity", "retry_for_s") if key in more
    }
    return {"name": name, "start": "0", "webhook": webhook | more, **outer}


def test_events_arrive_signed_as_the_bytes_of_the_log(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    made = writer.write("a", 3) + writer.write("b", 2)
    notifier = start(hook(receiver))
    until(lambda: len(receiver.accepted) == 5, 20)
    headers = receiver.headers[0]
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == receiver.accepted[0]["id"]
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert sorted(receiver.ids()) == sorted(made)
    assert receiver.ids("a") == made[:3]
    assert receiver.errors == []
    until(lambda: notifier.metric("maskwatch_webhook_pending", receiver="room") == 0, 5)
    assert notifier.metric("maskwatch_deliveries_total", outcome="delivered", receiver="room") == 5
    assert notifier.page("/readyz") == "ok\n"
    assert notifier.end() == 0


def test_two_live_secrets_let_either_side_change_first(start: Start, writer: EventWriter) -> None:
    (identity,) = writer.write("a")
    with Receiver(OTHER) as receiver:
        start(hook(receiver, secrets=["env:HOOK_SECRET", "env:HOOK_OTHER"]), HOOK_OTHER=OTHER)
        until(lambda: receiver.ids() == [identity], 20)
        assert receiver.headers[0]["webhook-signature"].count("v1,") == 2


def test_filters_by_type_camera_and_severity(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    writer.write("a", 1, severity="warning")
    writer.write("a", 1, STATUS)
    wanted = writer.write("a", 1, severity="alert")
    writer.write("b", 1)
    last = writer.write("a", 1)
    start(hook(receiver, types=["violation"], cameras=["a"], severity="alert"))
    until(lambda: last[0] in receiver.ids(), 20)
    assert receiver.ids() == wanted + last


def test_nothing_is_lost_while_a_receiver_is_down_and_others_go_on(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    """Down, then 500s, then back: all events come, in order per camera; the other receiver waits for nothing."""
    with Receiver(SECRET) as broken:
        notifier = start(hook(receiver, "good"), hook(broken, "broken"))
        made = {camera: writer.write(camera, 3) for camera in "abcd"}
        until(lambda: len(broken.ids()) == 12, 20)
        broken.down()
        for camera in "abcd":
            made[camera] += writer.write(camera, 3)
        until(lambda: len(receiver.ids()) == 24, 20)
        until(lambda: notifier.metric("maskwatch_webhook_pending", receiver="broken") == 12, 5)
        until(lambda: notifier.metric("maskwatch_webhook_oldest_seconds", receiver="broken") > 0, 5)
        broken.mood = "500"
        broken.up()
        until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="http_error", receiver="broken") > 3, 20)
        broken.mood = "ok"
        until(lambda: len(broken.ids()) == 24, 20)
        assert {camera: broken.ids(camera) for camera in "abcd"} == made
        assert {camera: receiver.ids(camera) for camera in "abcd"} == made
        assert len(receiver.accepted) == 24, "the good one got each event once"
        assert notifier.metric("maskwatch_deliveries_total", outcome="unreachable", receiver="broken") > 0
    assert notifier.end() == 0


@pytest.mark.parametrize(
    ("mood", "outcome"),
    [
        ("silent", "timeout"),
        ("drip", "timeout"),
        ("redirect", "redirect"),
        ("404", "http_error"),
        ("garbage", "http_error"),
    ],
)
def test_misbehaviour_is_counted_as_what_it_is_and_tried_again(
    start: Start, receiver: Receiver, writer: EventWriter, mood: str, outcome: str
) -> None:
    (identity,) = writer.write("a")
    receiver.mood = mood
    notifier = start(hook(receiver))
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome=outcome, receiver="room") >= 2, 20)
    receiver.mood = "ok"
    until(lambda: receiver.ids() == [identity], 20)
    assert {webhook_id for _, webhook_id in receiver.attempts} == {identity}, "a repeat has the same id"


def test_an_endless_body_after_200_is_a_delivery(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    made = writer.write("a", 3)
    receiver.mood = "endless"
    start(hook(receiver))
    until(lambda: receiver.ids() == made, 20)
    assert Counter(event["id"] for event in receiver.accepted) == Counter(made)


def test_one_camera_that_is_refused_and_one_slow_receiver_delay_nobody_else(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    with Receiver(SECRET, mood="silent") as slow:
        receiver.moods["bad"] = "500"
        start(hook(receiver, "good"), hook(slow, "slow", timeout_s=10))
        until(lambda: len(slow.attempts) == 0, 1)
        began = time.monotonic()
        held = writer.write("bad", 3)
        made = writer.write("fine", 50)
        until(lambda: receiver.ids() == made, 20)
        assert time.monotonic() - began < 9
        receiver.moods.clear()
        until(lambda: receiver.ids("bad") == held, 20)


def test_after_kill_9_nothing_is_lost_and_repeats_have_the_same_id(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    """Killed three times in the middle of deliveries."""
    made = writer.write("a", 100) + writer.write("b", 100)
    for goal in (20, 60, 120):
        notifier = start(hook(receiver))
        until(lambda goal=goal: len(receiver.accepted) >= goal, 20)  # type: ignore[misc]
        notifier.end(signal.SIGKILL)
        made += writer.write("c", 5)
    start(hook(receiver))
    until(lambda: len(receiver.ids()) == len(made), 30)
    assert set(receiver.ids()) == set(made)
    for camera in "ab":
        assert receiver.ids(camera) == [identity for identity in made if identity in receiver.ids(camera)]


def test_of_two_notifiers_one_delivers_and_the_other_takes_over(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    """Each event comes once while both run, and all come although the first is killed."""
    first = start(hook(receiver))
    until(lambda: first.metric("maskwatch_notify_on_duty") == 1, 20)
    second = start(hook(receiver))
    until(lambda: "standing_by" in second.text, 20)
    made = writer.write("a", 30)
    until(lambda: receiver.ids() == made, 20)
    assert second.page("/readyz") == "ok\n"
    first.end(signal.SIGKILL)
    made += writer.write("b", 10)
    until(lambda: set(receiver.ids()) == set(made), 20)
    assert second.metric("maskwatch_notify_on_duty") == 1
    assert second.end() == 0


def test_sigterm_stores_the_place_so_that_nothing_is_sent_twice(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    made = writer.write("a", 20)
    first = start(hook(receiver))
    until(lambda: len(receiver.accepted) >= 5, 20)
    assert first.end() == 0
    made += writer.write("b", 5)
    start(hook(receiver))
    until(lambda: len(receiver.ids()) == 25, 20)
    assert Counter(event["id"] for event in receiver.accepted) == Counter(made)


def test_sigterm_in_the_middle_of_a_silent_attempt_ends_in_time(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    writer.write("a")
    receiver.mood = "silent"
    notifier = start(hook(receiver, timeout_s=60), MASKWATCH_GRACE_S="2")
    until(lambda: receiver.attempts, 20)
    began = time.monotonic()
    assert notifier.end() == 0
    assert time.monotonic() - began < 4


def test_410_ends_deliveries_to_that_receiver_only(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    writer.write("a", 3)
    with Receiver(SECRET, mood="410") as gone:
        notifier = start(hook(receiver, "good"), hook(gone, "gone"))
        until(lambda: notifier.metric("maskwatch_receiver_disabled", receiver="gone") == 1, 20)
        until(lambda: len(receiver.ids()) == 3, 20)
        writer.write("a", 2)
        until(lambda: len(receiver.ids()) == 5, 20)
        assert len(gone.attempts) == 1
        assert "receiver_gone" in notifier.text
        assert notifier.end() == 0


def test_an_event_is_given_up_after_its_time_and_said_so(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    writer.write("bad")
    receiver.moods["bad"] = "500"
    notifier = start(hook(receiver, retry_for_s=0.5))
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="expired", receiver="room") == 1, 20)
    until(lambda: "event_given_up" in notifier.text, 5)
    until(lambda: notifier.metric("maskwatch_webhook_pending", receiver="room") == 0, 5)


def test_a_name_that_leads_to_a_private_address_gets_nothing(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    """The form of the URL does not give it away; its address does, when it is looked up."""
    writer.write("a")
    notifier = start(hook(receiver, url=f"http://127.1:{receiver.port}/", allow_private=False))
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="refused_address", receiver="room") >= 2, 20)
    assert receiver.attempts == []


def test_a_cursor_older_than_the_log_is_said_and_counted(start: Start, receiver: Receiver, writer: EventWriter) -> None:
    first = start(hook(receiver))
    writer.write("a")
    until(receiver.ids, 20)
    assert first.end() == 0
    for _ in range(5):
        event = writer._event("a", "maskwatch.violation.started.v1", "alert")
        writer.append("a", event, maxlen=1)
    second = start(hook(receiver))
    until(lambda: event["id"] in receiver.ids(), 20)
    assert second.metric("maskwatch_delivery_gaps_total", receiver="room") == 1
    assert "events_missed receiver=room" in second.text


def test_what_is_secret_in_a_url_is_used_but_never_logged(
    start: Start, receiver: Receiver, writer: EventWriter
) -> None:
    writer.write("a")
    url = f"http://me:hunter2@127.0.0.1:{receiver.port}/hook?token=hunter3"
    notifier = start(hook(receiver, url="env:HOOK_URL"), HOOK_URL=url)
    until(receiver.ids, 20)
    assert receiver.paths == ["/hook?token=hunter3"]
    assert receiver.headers[0]["authorization"] == "Basic " + base64.b64encode(b"me:hunter2").decode()
    receiver.mood = "500"
    writer.write("a")
    until(lambda: "delivery_failed" in notifier.text, 20)
    assert "hunter" not in notifier.text + notifier.page("/metrics")
    assert SECRET not in notifier.text


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"secrets": ["env:HOOK_NONE"]}, "receivers.room.webhook.secrets[0]: env:HOOK_NONE is empty or not set"),
        ({"url": "https://10.0.0.1/"}, "receivers[0].webhook: url: 10.0.0.1 is not a public address"),
        ({"allow_privat": True}, "receivers[0].webhook.allow_privat: unknown key; did you mean 'allow_private'?"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_status_2(
    start: Start, receiver: Receiver, entry: dict[str, Any], words: str
) -> None:
    notifier = start(hook(receiver, **{"allow_private": False, "url": "https://hooks.example/", **entry}))
    assert notifier.process.wait(20) == 2
    until(lambda: words in notifier.text, 5)
    assert "Traceback" not in notifier.text
