"""What is wrong with a broker or a clock is said at the start or in `maskwatch status`, with what to do about it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.broker.vitals import VitalSigns
from common.errors import BrokerRefusedError, BrokerUnfitError
from common.lifecycle import StopSignal
from common.metrics import BrokerMetrics, CollectorRegistry
from common.partition import Keys
from common.schema import CameraMark, CameraState, MarkResult, encode
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from maskwatch.status.page import look
from maskwatch.status.troubles import Trouble, troubles
from tests.brokers import Brokers
from tests.faults.disks import fill, small_disk
from tests.faults.trial import NotHereError
from tests.integration.test_broker_tls import make_authority, make_server, terminator, tls_url
from tests.waiting import until


@pytest.fixture
def private_pair(tmp_path: Path) -> Iterator[EmbeddedPair]:
    """Two brokers of the test's own."""
    with EmbeddedPair(tmp_path) as pair:
        yield pair


def status(pair: EmbeddedPair, **settings: object) -> list[Trouble]:
    """What `maskwatch status` calls wrong, brokers first."""
    urls: dict[str, object] = {"frames_url": pair.frames.url, "state_url": pair.state.url}
    return troubles(look(ServiceSettings(**urls | settings)))  # type: ignore[arg-type]


def bare(url: str, credentials: str = "") -> str:
    """The URL of a broker with other credentials."""
    parts = urlsplit(url)
    return f"redis://{credentials}{parts.hostname}:{parts.port}/0"


@pytest.mark.parametrize("endpoint", ["frames", "state"])
@pytest.mark.parametrize(
    ("credentials", "words"),
    [(":wrong@", "invalid username-password pair"), ("nobody:wrong@", "invalid username-password pair"), ("", "asks")],
)
def test_a_wrong_or_missing_password_is_named_with_the_variables_to_look_at(
    broker_pair: EmbeddedPair, endpoint: str, credentials: str, words: str
) -> None:
    url = bare(getattr(broker_pair, endpoint).url, credentials)
    found = [one for one in status(broker_pair, **{f"{endpoint}_url": url}) if one.alert == "BrokerDown"]
    assert len(found) == 1
    assert found[0].words.startswith(f"{endpoint} broker: ")
    assert words in found[0].words
    assert "MASKWATCH_…_PASSWORD_FILE" in found[0].words
    assert "wrong@" not in found[0].words


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the test's certificates")
def test_an_expired_certificate_and_a_stranger_are_named_as_what_they_are(
    broker_pair: EmbeddedPair, tmp_path: Path
) -> None:
    make_authority(tmp_path, "ca")
    make_authority(tmp_path, "stranger")
    make_server(tmp_path, "expired", "IP:127.0.0.1", days=-1)
    make_server(tmp_path, "other", "DNS:other.example")
    url = broker_pair.state.url
    cases = (("expired", "ca", "renew"), ("expired", "stranger", "ssl_ca_certs"), ("other", "ca", "this name"))
    for server, authority, remedy in cases:
        with terminator(tmp_path, server, url) as port:
            (found,) = [
                one
                for one in status(broker_pair, state_url=tls_url(url, port, tmp_path / f"{authority}.pem"))
                if one.alert == "BrokerDown"
            ]
        assert remedy in found.words
        assert str(urlsplit(url).password) not in found.words


@pytest.mark.parametrize("endpoint", ["frames", "state"])
def test_an_evicting_broker_is_named_in_status_and_refused_by_whoever_uses_it(
    private_pair: EmbeddedPair, endpoint: str
) -> None:
    from producers import service as producer
    from producers.settings import ProducerSettings
    from workers.infer.service import run as infer
    from workers.infer.settings import InferSettings
    from workers.judge.service import run as judge
    from workers.judge.settings import JudgeSettings

    broker: EmbeddedBroker = getattr(private_pair, endpoint)
    client = connect(broker.url)
    call(client, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
    (found,) = [one for one in status(private_pair) if one.alert == "BrokerDown"]
    assert "set noeviction" in found.words

    def other(connection: ServiceSettings) -> int:
        if endpoint == "state":
            return judge(connection, JudgeSettings(), StopSignal())
        return producer.run(connection, ProducerSettings(), None, StopSignal())

    connection = ServiceSettings(frames_url=private_pair.frames.url, state_url=private_pair.state.url)
    with pytest.raises(BrokerUnfitError, match="set noeviction"):
        infer(connection, InferSettings(), StopSignal())
    with pytest.raises(BrokerUnfitError, match="set noeviction"):
        other(connection)


def test_a_full_disk_is_named_in_status_and_in_the_log_of_a_role(
    tmp_path: Path, broker_pair: EmbeddedPair, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        disk = small_disk(tmp_path / "disk")
        place = disk.__enter__()
    except NotHereError as error:
        pytest.skip(str(error))
    try:
        with EmbeddedBroker(place, persist=True, name="state") as broker:
            client = connect(broker.url)
            ensure_layout(client, "mw", 4)
            fill(place / "filler")
            assert until(lambda: not _writes(broker), 20)
            (found,) = [one for one in status(broker_pair, state_url=broker.url) if one.alert == "BrokerNotPersisting"]
            assert (found.weight, found.words) == ("page", "state broker: it cannot write to its disk")
            VitalSigns(client, "state", BrokerMetrics(CollectorRegistry())).look(0.0)
            assert "broker_not_persisting" in caplog.messages
            (place / "filler").unlink()
            client.close()
    finally:
        disk.__exit__(None, None, None)


def _writes(broker: EmbeddedBroker) -> bool:
    client = connect(broker.url)
    try:
        call(client, "SET", "something", b"x" * 65536)
    except BrokerRefusedError as error:
        return "its disk" not in str(error)
    finally:
        client.close()
    return True


def test_a_producer_whose_clock_is_off_is_named_with_its_camera(brokers: Brokers) -> None:
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    plan = SitePlan(
        site="office", cameras=[Camera(id=name, source="synthetic:x") for name in ("late", "early", "good")]
    )
    PlanStore(brokers.state, brokers.keys.prefix).publish(plan.to_bytes())
    now = time.time()
    for camera, off_s in (("late", -3600), ("early", 3700), ("good", -1)):
        mark = CameraMark(session=1, next_seq=0, at=now + off_s, state=CameraState.ONLINE, since=now)
        payload = encode(MarkResult(camera=camera, mark=mark))
        ResultWriter(brokers.state, brokers.keys).append_many([(brokers.keys.partition_of(camera), payload)])
    found = [one.words for one in _status_of(brokers.keys, brokers) if one.alert == "ClockSkew"]
    assert len(found) == 1
    assert found[0].startswith("the clock of the producer of early and 1 more is +3700 s off the broker's")


def _status_of(keys: Keys, brokers: Brokers) -> list[Trouble]:
    def url(client: object) -> str:
        where = client.connection_pool.connection_kwargs  # type: ignore[attr-defined]
        return f"redis://:{where['password']}@{where['host']}:{where['port']}/0"

    settings = ServiceSettings(
        frames_url=url(brokers.frames), state_url=url(brokers.state), prefix=keys.prefix, partitions=keys.partitions
    )
    return troubles(look(settings))


def test_a_role_whose_own_clock_is_off_says_so_at_its_start(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = time.time
    monkeypatch.setattr("common.broker.vitals.time.time", lambda: right() - 3600)
    signs = VitalSigns(brokers.state, "state", BrokerMetrics(CollectorRegistry()))
    signs.look(0.0)
    signs.look(100.0)
    assert caplog.messages.count("clock_skew") == 1
    fields = next(record for record in caplog.records if record.message == "clock_skew").__dict__["maskwatch_fields"]
    assert fields["ahead_s"] == pytest.approx(-3600, abs=5)
    assert "set the time" in fields["advice"]
