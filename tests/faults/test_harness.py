"""The campaign's own tools: the go-between harms as it says, and the checks see what they are there to see."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.frames.writer import FrameWriter
from common.broker.results import ResultWriter
from common.errors import BrokerUnavailableError
from common.log import configure
from common.metrics import BrokerMetrics, CollectorRegistry
from common.partition import Keys
from common.schema import encode
from producers.link import BrokerLink
from tests.brokers import Brokers
from tests.faults.feeding import CAMERAS, PLAN, SECONDS, script
from tests.faults.invariants import grown, other_than_oracle, out_of_order, pixels_on_disk
from tests.faults.role import Size
from tests.faults.witness import Witness
from tests.infer_site import a_jpeg
from tests.proxy import Proxy
from workers.judge.context import context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

CAMERA = CAMERAS[0]


@pytest.fixture
def proxy(broker_pair: EmbeddedPair) -> Iterator[Proxy]:
    with Proxy(broker_pair.state.url) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    made = connect(proxy.url, timeout_s=0.5)
    call(made, "PING")
    yield made
    made.close()


def counted(brokers: Brokers, name: str) -> int:
    return int(call(brokers.state, "LLEN", name))


@pytest.mark.parametrize(("toxics", "arrived"), [({"drop_replies": True}, 1), ({"blackhole": True}, 0)])
def test_what_is_swallowed_arrives_or_not_and_the_network_heals(
    proxy: Proxy, client: Client, brokers: Brokers, toxics: dict[str, Any], arrived: int
) -> None:
    name = brokers.keys.site("list")
    proxy.harm(**toxics)
    with pytest.raises(BrokerUnavailableError) as caught:
        call(client, "RPUSH", name, "x")
    assert caught.value.in_doubt
    assert counted(brokers, name) == arrived
    proxy.heal()
    assert call(client, "RPUSH", name, "x") == arrived + 1


def test_a_network_that_refuses_leaves_nothing_in_doubt(proxy: Proxy, client: Client) -> None:
    proxy.harm(refuse=True)
    proxy.cut()
    with pytest.raises(BrokerUnavailableError):
        call(client, "PING")  # the connection that was cut
    with pytest.raises(BrokerUnavailableError):
        call(client, "PING")
    proxy.heal()
    assert call(client, "PING")


def test_a_slow_network_takes_its_time(proxy: Proxy, client: Client) -> None:
    proxy.harm(latency_s=0.1)
    began = time.monotonic()
    call(client, "PING")
    assert time.monotonic() - began >= 0.2
    proxy.heal()
    proxy.harm(bytes_per_s=100_000)
    began = time.monotonic()
    call(client, "ECHO", b"x" * 20_000)
    assert time.monotonic() - began >= 0.3


def test_a_request_that_is_reset_in_the_middle_is_never_carried_out(
    proxy: Proxy, client: Client, brokers: Brokers
) -> None:
    proxy.harm(reset_after=10_000)
    with pytest.raises(BrokerUnavailableError):
        call(client, "RPUSH", brokers.keys.site("list"), b"x" * 50_000)
    assert counted(brokers, brokers.keys.site("list")) == 0


def judged(brokers: Brokers, witness: Witness) -> list[dict[str, Any]]:
    """Write one camera's results, and give the events that a judge makes of them."""
    writer, home = ResultWriter(brokers.state, brokers.keys), brokers.keys.partition_of(CAMERA)
    writer.append_many([(home, encode(message)) for message in script(CAMERA, 0)])
    judge = CameraJudge(context_of(PLAN, CAMERA), CameraState())
    events = [e for entry in witness.entries(home) for e in judge.accept(entry.message, entry.id[0], entry.id)]
    return [json.loads(event.to_json()) for event in events]


@pytest.fixture
def witness(brokers: Brokers, broker_pair: EmbeddedPair) -> Iterator[Witness]:
    keys = Keys(brokers.keys.prefix, brokers.keys.partitions)
    made = Witness(broker_pair.frames.url, broker_pair.state.url, keys, PLAN)
    yield made
    made.close()


def test_the_oracle_sees_an_event_that_is_missing_doubled_or_out_of_order(brokers: Brokers, witness: Witness) -> None:
    events = judged(brokers, witness)
    assert len(events) > SECONDS / 10
    assert not other_than_oracle(witness, {CAMERA: events})
    assert not out_of_order({CAMERA: events})
    assert "missing" in other_than_oracle(witness, {CAMERA: events[:-1]})
    assert "more than told" in other_than_oracle(witness, {CAMERA: [*events, events[-1]]})
    assert out_of_order({CAMERA: [events[1], events[0], *events[2:]]})
    assert out_of_order({CAMERA: events[:3] + events[4:]})


def test_growth_and_pixels_are_seen(tmp_path: Path) -> None:
    small, large, many = Size(100 << 20, 20), Size(150 << 20, 20), Size(100 << 20, 40)
    name = ("infer-0", 1)
    assert not grown({name: small}, {name: small})
    assert "MiB" in grown({name: small}, {name: large})
    assert "open files" in grown({name: small}, {name: many})
    assert not grown({name: small}, {("infer-0", 2): large})
    (tmp_path / "role.log").write_bytes(b"a line\n")
    assert not pixels_on_disk(tmp_path, None)
    (tmp_path / "other.log").write_bytes(a_jpeg())
    assert "other.log" in pixels_on_disk(tmp_path)


def test_many_cameras_that_reach_the_broker_at_once_say_so_once(capfd: pytest.CaptureFixture[str]) -> None:
    """Found by `thousand_cameras`: each of them announced the broker."""
    together = threading.Barrier(20)

    class Writer:
        def append(self, camera: str, header: bytes, jpeg: bytes | None, maxlen: int) -> str:  # noqa: ARG002
            together.wait(10)
            return "1-0"

    configure("info")
    link = BrokerLink(Writer(), BrokerMetrics(CollectorRegistry()))
    threads = [threading.Thread(target=link.send, args=(f"cam-{n}", b"", None, 1)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert capfd.readouterr().err.count("frames_broker_answers") == 1


def test_more_cameras_than_connections_wait_for_their_turn(brokers: Brokers, proxy: Proxy) -> None:
    """Found by `thousand_cameras`: beyond a hundred at once the broker was taken for down, and frames were dropped."""
    client = connect(proxy.url)
    link = BrokerLink(FrameWriter(client, brokers.keys), BrokerMetrics(CollectorRegistry()))
    proxy.harm(latency_s=0.1)
    answers: list[object] = []
    start = threading.Barrier(150)

    def send(number: int) -> None:
        start.wait(10)
        answers.append(link.send(f"cam-{number}", b"{}", None, 10))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    client.close()
    assert answers == [None] * 150
