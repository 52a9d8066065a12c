"""Numbers, limits and outages on the way from a frame to the broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.frames.flow import outstanding
from common.broker.frames.writer import FrameWriter
from common.errors import BrokerUnavailableError
from common.schema import CameraMark, CameraState, FrameHeader, read_frame_message
from common.siteplan import Camera
from common.trace import traceparent_of
from producers.ledger import Drop, Ledger
from producers.link import RETRY_MOST_S, BrokerLink
from producers.metrics import ProducerMetrics
from producers.picture_state import Condition
from producers.publisher import FramePublisher, Parcel, Word
from producers.sources.source import SourceFrame
from tests.brokers import Brokers, fresh_keys
from tests.proxy import Proxy
from tests.video_material import jpegs, pictures
from tests.waiting import until

CAMERA = Camera(id="cam", source="x", fps=5, width=160)
PARCEL = Parcel(1e9, 320, 240, jpegs()[0])


class Clock:
    """Monotonic seconds that stand still until moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(url: str, clock: Clock | None = None) -> tuple[FramePublisher, Ledger, BrokerLink, FrameWriter, str]:
    keys = fresh_keys()
    writer = FrameWriter(connect(url, timeout_s=1.0), keys)
    metrics = ProducerMetrics(CollectorRegistry())
    link = BrokerLink(writer, metrics.broker, clock or Clock())
    ledger = Ledger("cam", metrics)
    return FramePublisher(CAMERA, link, ledger, 7, 2.0), ledger, link, writer, keys.frames("cam")


def messages(url: str, key: str) -> list[FrameHeader | CameraMark]:
    client = connect(url)
    entries = call(client, "XRANGE", key, "-", "+")
    client.close()
    return [read_frame_message(_content(fields)[b"h"]) for _, fields in entries]


def _content(fields: Any) -> dict[bytes, bytes]:
    return fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))


def test_a_frame_that_may_have_been_written_uses_up_its_number(broker_pair: EmbeddedPair) -> None:
    clock = Clock()
    with Proxy(broker_pair.frames.url) as proxy:
        publisher, ledger, _, _, key = make(proxy.url, clock)
        assert publisher.send(PARCEL) is None
        proxy.lose_next_reply()
        assert publisher.send(PARCEL) is None
        clock.now += RETRY_MOST_S
        assert publisher.send(PARCEL) is None
        headers = [one for one in messages(broker_pair.frames.url, key) if isinstance(one, FrameHeader)]
        assert [header.seq for header in headers] == [0, 1, 2]
        assert [header.traceparent for header in headers] == [traceparent_of("cam", 7, seq) for seq in range(3)]
        assert (ledger.captured, ledger.published) == (3, 3)


def test_a_frame_that_was_refused_leaves_its_number_to_the_next(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, persist=False, name="full") as broker:
        client = connect(broker.url)
        publisher, ledger, link, _, key = make(broker.url)
        call(client, "CONFIG SET", "maxmemory", "1000")
        assert publisher.send(PARCEL) is Drop.OOM
        assert link.up
        call(client, "CONFIG SET", "maxmemory", "0")
        assert publisher.send(PARCEL) is None
        assert [message.seq for message in messages(broker.url, key) if isinstance(message, FrameHeader)] == [0]
        assert ledger.published == 1
        client.close()


def test_while_the_broker_is_away_frames_are_turned_away_at_once_and_it_is_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    with EmbeddedBroker(tmp_path, persist=False, name="away") as broker:
        publisher, _, link, _, _ = make(broker.url, clock)
        assert publisher.send(PARCEL) is None
        broker.kill()
        # The first may be in doubt, since the connection broke under it; the next finds the door closed.
        publisher.send(PARCEL)
        assert publisher.send(PARCEL) is Drop.BROKER
        assert not link.up
        broker.restart()
        assert publisher.send(PARCEL) is Drop.BROKER  # still within the pause
        clock.now += RETRY_MOST_S
        until(lambda: publisher.send(PARCEL) is None, 5)
        assert link.up


def test_a_mark_tells_state_numbers_and_drops_and_takes_no_number(broker_pair: EmbeddedPair) -> None:
    publisher, ledger, _, _, key = make(broker_pair.frames.url)
    publisher.send(PARCEL)
    ledger.drop(Drop.MOTION, 3)
    assert publisher.mark(Condition(CameraState.DARK, 0.0, "hardly any light"), Word(1e9, 9e8, fps=4.9, final=True))
    assert publisher.send(PARCEL) is None
    _, mark, after = messages(broker_pair.frames.url, key)
    assert isinstance(mark, CameraMark)
    assert isinstance(after, FrameHeader)
    assert (mark.state, mark.next_seq, mark.dropped, mark.final) == (CameraState.DARK, 1, {"motion": 3}, True)
    assert after.seq == 1


def test_the_stream_holds_no_more_than_its_bound(broker_pair: EmbeddedPair) -> None:
    publisher, _, _, _, key = make(broker_pair.frames.url)
    assert publisher.maxlen == 5 * 2 + 2 * 16
    for _ in range(publisher.maxlen + 10):
        publisher.send(PARCEL)
    assert len(messages(broker_pair.frames.url, key)) == publisher.maxlen


def test_pictures_are_scaled_and_encoded_and_a_fitting_jpeg_is_left_alone(broker_pair: EmbeddedPair) -> None:
    publisher, _, _, _, _ = make(broker_pair.frames.url)
    packed = publisher.pack(SourceFrame(1.0, 320, 240, pictures()[0]))
    assert isinstance(packed, Parcel)
    assert (packed.width, packed.height) == (160, 120)
    small = jpegs(size=(160, 120))[0]
    untouched = publisher.pack(SourceFrame(1.0, 160, 120, jpeg=small))
    assert isinstance(untouched, Parcel)
    assert untouched.jpeg is small
    wide = publisher.pack(SourceFrame(1.0, 320, 240, jpeg=jpegs()[0]))
    assert isinstance(wide, Parcel)
    assert wide.width == 160


def test_a_picture_whose_jpeg_is_too_large_or_impossible_is_a_drop(broker_pair: EmbeddedPair) -> None:
    noisy = Camera(id="cam", source="x", width=4096, jpeg_quality=100)
    publisher, ledger, link, _, _ = make(broker_pair.frames.url)
    large = FramePublisher(noisy, link, ledger, 7, 2.0)
    noise = np.random.default_rng(1).integers(0, 255, (2000, 2000, 3), np.uint8)
    assert large.pack(SourceFrame(1.0, 2000, 2000, noise)) is Drop.TOO_LARGE
    assert publisher.pack(SourceFrame(1.0, 320, 240, jpeg=b"\xff\xd8\xff broken")) is Drop.ENCODE


def test_outstanding_counts_unread_and_unacknowledged_entries(brokers: Brokers) -> None:
    def waiting() -> int | None:
        return outstanding(brokers.frames, brokers.keys, "cam")

    assert waiting() is None
    writer = brokers.writer()
    for _ in range(3):
        writer.append("cam", b"{}", b"jpeg", 100)
    assert waiting() is None
    reader = brokers.reader("one", "cam")
    entries = reader.read(2, 2, 1 << 20, 0.5)
    assert len(entries) == 2
    assert waiting() == 3
    reader.ack(entries)
    assert waiting() == 1
    call(brokers.frames, "XTRIM", brokers.keys.frames("cam"), "MAXLEN", 0)
    assert waiting() == 0


@pytest.mark.parametrize("reason", list(Drop))
def test_captured_is_always_published_plus_dropped(reason: Drop) -> None:
    ledger = Ledger("cam", ProducerMetrics(CollectorRegistry()))
    ledger.publish()
    ledger.drop(reason, 2)
    ledger.drop(reason, 0)
    assert ledger.captured == ledger.published + sum(ledger.dropped.values()) == 3


class NodeAway:
    """A cluster of which one node is away; some cameras live there."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def append(self, camera: str, _header: bytes, _jpeg: bytes | None, _maxlen: int) -> str:
        if camera.startswith("there"):
            raise BrokerUnavailableError("connection", "node b does not answer", node="b")
        self.written.append(camera)
        return "1-0"


def test_a_node_that_is_away_costs_only_its_own_cameras_frames() -> None:
    writer, metrics = NodeAway(), ProducerMetrics(CollectorRegistry())
    link = BrokerLink(writer, metrics.broker, Clock())
    assert [link.send(camera, b"", b"", 10) for camera in ("here", "there", "here 2", "there", "here")] == [
        None,
        Drop.BROKER,
        None,
        Drop.BROKER,
        None,
    ]
    assert writer.written == ["here", "here 2", "here"]
    assert link.up
