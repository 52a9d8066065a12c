"""The broker's client: one try per command, deadlines that fit, and errors that say whether something was written."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from redis._parsers.base import BaseParser

from common.broker.client import call, call_many, connect, longest_block_s, mask_url
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.failures import RETRYABLE_CODES, broker_error
from common.broker.fitness import PATCHED, patch_warning, probe
from common.broker.frames.writer import FrameWriter
from common.broker.held import HeldConnection
from common.broker.reading import read_streams
from common.errors import BrokerRefusedError, BrokerUnavailableError, BrokerUnfitError, ConfigError
from common.partition import Keys
from tests.brokers import Brokers
from tests.proxy import Proxy
from tests.waiting import until


def test_b01_blocking_read_outlives_no_socket_timeout(broker_pair: EmbeddedPair) -> None:
    """A read that waits its full time on a healthy broker ends empty and on time, and never asks to wait for ever."""
    client: Any = connect(broker_pair.frames.url, blocking_s=0.4)
    assert client.connection_pool.connection_kwargs["socket_timeout"] == pytest.approx(0.4 + 3)
    started = time.monotonic()
    found = read_streams(client, client, ("XREAD", "COUNT", 1), {"t:nothing": "$"}, 60.0)
    assert found == {}
    assert 0.3 < time.monotonic() - started < 2.0
    assert longest_block_s(client) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="for ever"):
        connect(broker_pair.frames.url, blocking_s=0)


def test_b02_a_stopped_broker_gets_one_write_only(private_broker: EmbeddedBroker) -> None:
    """A write to a broker that hangs fails as in doubt and is not sent twice."""
    keys = Keys("t", 1)
    client = connect(private_broker.url, timeout_s=0.5)
    writer = FrameWriter(client, keys)
    writer.append("cam", b"{}", b"first", 10)
    os.kill(private_broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailableError) as caught:
            writer.append("cam", b"{}", b"second", 10)
    finally:
        os.kill(private_broker.pid, signal.SIGCONT)
    assert (caught.value.code, caught.value.in_doubt) == ("timeout", True)
    assert call(client, "XLEN", keys.frames("cam")) == 2


def test_b02_a_lost_reply_is_in_doubt(brokers: Brokers, broker_pair: EmbeddedPair) -> None:
    """A connection cut after the command was carried out says in doubt; the entry is there once."""
    with Proxy(broker_pair.frames.url) as proxy:
        client = connect(proxy.url)
        writer = FrameWriter(client, brokers.keys)
        call(client, "PING")
        proxy.lose_next_reply()
        with pytest.raises(BrokerUnavailableError) as caught:
            writer.append("cam", b"{}", b"x", 10)
    assert caught.value.in_doubt
    assert call(brokers.frames, "XLEN", brokers.keys.frames("cam")) == 1


def test_b02_a_held_connection_that_was_closed_in_a_pause_loses_nothing(private_broker: EmbeddedBroker) -> None:
    """What the server closed meanwhile is noticed before the next command, so that nothing is in doubt."""
    clock = [0.0]
    client = connect(private_broker.url)
    held = HeldConnection(client, lambda: clock[0])
    assert held.call("SET", "a", b"1") == b"OK"
    call(client, "CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
    clock[0] = 60.0
    assert held.call("GET", "a") == b"1"


def test_a_held_connection_survives_refusals_and_outages(private_broker: EmbeddedBroker) -> None:
    """A reply that is an error ends nothing; without a broker nothing is in doubt; afterwards it is there again."""
    client = connect(private_broker.url)
    held = HeldConnection(client)
    held.call("SET", "a", b"1")
    with pytest.raises(BrokerRefusedError) as refused:
        held.call("XADD", "a", "*", "h", b"")
    assert refused.value.code == "wrongtype"
    private_broker.kill()
    doubts = []
    for _ in range(3):
        with pytest.raises(BrokerUnavailableError) as away:
            held.call("GET", "a")
        doubts.append(away.value.in_doubt)
    assert doubts[1:] == [False, False]


def test_who_is_no_longer_needed_gives_its_connection_back(private_broker: EmbeddedBroker) -> None:
    """A writer for each of many tasks does not use the client's connections up."""
    client = connect(private_broker.url)
    for number in range(200):
        FrameWriter(client, Keys("t", 1)).append("cam", b"{}", b"%d" % number, 10)
    assert call(client, "INFO", "clients")["connected_clients"] == 1


def test_who_finds_a_held_connection_in_use_takes_another(private_broker: EmbeddedBroker) -> None:
    """Threads never wait for one another."""
    held = HeldConnection(connect(private_broker.url))
    waiting = threading.Thread(target=held.call, args=("BLPOP", "list", 5))
    waiting.start()
    until(held._turn.locked, 5)
    until(lambda: held.call("LPUSH", "list", b"x") == 1, 5)
    waiting.join(5)
    assert not waiting.is_alive()


def test_b02_a_refused_connection_is_not_in_doubt(private_broker: EmbeddedBroker) -> None:
    """What could not even be sent was certainly not written, on a new connection and on one that broke."""
    client = connect(private_broker.url)
    call(client, "PING")
    private_broker.kill()
    for client_now in (client, connect(private_broker.url)):
        with pytest.raises(BrokerUnavailableError) as caught:
            call(client_now, "PING")
        with pytest.raises(BrokerUnavailableError) as caught_many:
            call_many(client_now, [("PING",)])
        assert not caught.value.in_doubt
        assert not caught_many.value.in_doubt


def test_b06_connecting_leaves_no_error_on_the_broker(private_broker: EmbeddedBroker) -> None:
    """No handshake of ours fails, so an operator may alert on the broker's error counters."""
    client = connect(private_broker.url)
    call(client, "PING")
    assert call(client, "INFO", "errorstats") == {}


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        ("LOADING Valkey is loading the dataset in memory", BrokerUnavailableError, "loading"),
        ("READONLY You can't write against a read only replica.", BrokerUnavailableError, "readonly"),
        ("UNBLOCKED force unblock from blocking operation", BrokerUnavailableError, "unblocked"),
        ("MASTERDOWN Link with MASTER is down", BrokerUnavailableError, "masterdown"),
        ("CLUSTERDOWN The cluster is down", BrokerUnavailableError, "clusterdown"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", BrokerUnavailableError, "tryagain"),
        ("NOREPLICAS Not enough good replicas to write.", BrokerUnavailableError, "noreplicas"),
        ("MISCONF Errors writing to the AOF file", BrokerRefusedError, "misconf"),
        ("OOM command not allowed when used memory > 'maxmemory'.", BrokerRefusedError, "oom"),
        ("NOPERM User has no permissions", BrokerRefusedError, "noperm"),
        ("NOAUTH Authentication required.", BrokerRefusedError, "noauth"),
        ("WRONGPASS invalid username-password pair", BrokerRefusedError, "wrongpass"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", BrokerRefusedError, "wrongtype"),
        ("ERR syntax error", BrokerRefusedError, "err"),
    ],
)
def test_b07_every_reply_of_the_table_becomes_its_error(reply: str, kind: type, code: str) -> None:
    """A broker's refusal has one meaning: it passes, or nothing was written; never in doubt."""
    parse: Any = BaseParser.parse_error
    error = broker_error(parse(reply))
    assert (type(error), error.code) == (kind, code)
    assert not getattr(error, "in_doubt", False)
    passes = kind is BrokerUnavailableError or code in ("oom", "misconf")
    assert (code in RETRYABLE_CODES) == passes


def test_b07_real_states_of_a_broker_are_recognised(private_broker: EmbeddedBroker) -> None:
    """Read-only, without replicas, out of memory: as the server itself says it."""
    client = connect(private_broker.url)
    seen = []
    for setting, undo in (
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG SET", "min-replicas-to-write", 1), ("CONFIG SET", "min-replicas-to-write", 0)),
        (("CONFIG SET", "maxmemory", 1), ("CONFIG SET", "maxmemory", 0)),
    ):
        call(client, *setting)
        with pytest.raises((BrokerUnavailableError, BrokerRefusedError)) as caught:
            call(client, "SET", "a", "b")
        seen.append((type(caught.value).__name__, caught.value.code))
        call(client, *undo)
    assert seen == [
        ("BrokerUnavailableError", "readonly"),
        ("BrokerUnavailableError", "noreplicas"),
        ("BrokerRefusedError", "oom"),
    ]


def test_one_refused_command_does_not_stop_the_others(brokers: Brokers) -> None:
    """Commands sent together are answered one by one."""
    key = brokers.keys.site("x")
    ok, refused, last = call_many(brokers.state, [("SET", key, "v"), ("XLEN", key), ("GET", key)])
    assert isinstance(refused, BrokerRefusedError)
    assert (refused.code, ok, last) == ("wrongtype", True, b"v")


def test_a_wrong_password_is_refused_and_never_shown(broker_pair: EmbeddedPair) -> None:
    """The error of a bad login names neither the wrong nor the right password."""
    right = broker_pair.state.url.partition(":@")[0].split(":")[2].partition("@")[0]
    client = connect(broker_pair.state.url, password="canary-password")
    with pytest.raises(BrokerRefusedError) as caught:
        call(client, "PING")
    assert caught.value.code == "wrongpass"
    assert "canary-password" not in str(caught.value)
    assert right not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("rediss://:canary@h/0?ssl_cert_reqs=none", "ssl_ca_certs"),
        ("rediss://:canary@h/0?ssl_check_hostname=false", "ssl_ca_certs"),
        ("redis://:canary@h/0?ssl_ca_certs=x", "rediss://"),
        ("redis://:canary@h/0?socket_timeout=1", "unknown option socket_timeout"),
        ("rediss://:canary@h/0?ssl_ca_cert=x", "nearest: ssl_ca_certs"),
        ("redis+clutser://:canary@h", "did you mean redis+cluster"),
        ("redis://:canary@h/zero", "must be a number"),
        ("redis://:canary@h:70000/0", "host:port"),
        ("redis://:canary@", "no host"),
        ("redis+sentinel://:canary@h:26379", "service"),
        ("redis://:canary@h/0?sentinel_user=judge", "redis+sentinel://"),
        ("redis+sentinel://:canary@h/state?sentinel_usr=judge", "nearest: sentinel_user"),
        ("redis+sentinel://:canary@h/state?sentinel_password_file=/not/there", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained_without_its_password(url: str, hint: str) -> None:
    """Every wrong URL says what is wrong with it, and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert hint in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@host:1/0", "redis://user:***@host:1/0"),
        ("redis://:p%40w@host:1", "redis://:***@host:1"),
        ("unix://u@/tmp/s?password=pw&db=1", "unix://u@/tmp/s?password=***&db=1"),
        ("redis://host", "redis://host"),
    ],
)
def test_a_masked_url_shows_everything_but_the_password(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_probe_tells_what_the_broker_is(any_pair: EmbeddedPair) -> None:
    """The start-up check names server and version, and warns of nothing that is as it should be."""
    for role, broker in (("frames", any_pair.frames), ("state", any_pair.state)):
        facts = probe(connect(broker.url), role)  # type: ignore[arg-type]
        assert facts.server in ("valkey", "redis")
        assert facts.policy == "noeviction"
        assert not [text for text in facts.warnings if "security" not in text]


def test_probe_refuses_a_broker_that_evicts(private_broker: EmbeddedBroker) -> None:
    """A broker that may delete whole streams is not used; one that keeps frames on disk is warned of."""
    client = connect(private_broker.url)
    assert any("disk" in text for text in probe(client, "frames").warnings)
    call(client, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(BrokerUnfitError, match="noeviction"):
        probe(client, "frames")


def test_probe_manages_without_the_right_to_ask(private_broker: EmbeddedBroker) -> None:
    """Under a narrow user the policy is unknown, and that is no fault."""
    admin = connect(private_broker.url)
    call(admin, "ACL SETUSER", "narrow", "on", ">pw", "resetchannels", "+ping", "+hello")
    narrow = connect(private_broker.url.replace("redis://:", "redis://narrow:"), password="pw")
    assert probe(narrow, "state").policy is None


def test_a_named_user_is_told_of_the_policy_without_leaving_a_denied_attempt(private_broker: EmbeddedBroker) -> None:
    admin = connect(private_broker.url)
    call(admin, "ACL SETUSER", "narrow", "on", ">pw", "resetchannels", "+ping", "+hello", "+info")
    narrow = connect(private_broker.url.replace("redis://:", "redis://narrow:"), password="pw")
    assert probe(narrow, "state").policy == "noeviction"
    assert any("disk" in text for text in probe(narrow, "frames").warnings)
    assert call(admin, "ACL LOG") == []


def test_a_broker_on_another_machine_is_warned_of_below_the_patch_floor(
    private_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on this machine is the bundled server, whose version nobody here chose."""
    monkeypatch.setitem(PATCHED, "valkey", ((99, 0, 0),))
    here = connect(private_broker.url)
    elsewhere = connect(private_broker.url.replace("127.0.0.1", "127.1"))
    assert not [text for text in probe(here, "state").warnings if "security" in text]
    assert [text for text in probe(elsewhere, "state").warnings if "run 99.0.0 or later" in text]


@pytest.mark.parametrize(
    ("server", "version", "warned"),
    [
        ("redis", (7, 0, 15), True),
        ("redis", (8, 6, 2), True),
        ("redis", (8, 6, 3), False),
        ("redis", (9, 0, 0), False),
        ("valkey", (8, 1, 11), True),
        ("valkey", (8, 1, 12), False),
        ("valkey", (9, 0, 7), True),
        ("valkey", (9, 0, 8), False),
        ("valkey", (9, 1, 2), True),
        ("valkey", (9, 1, 4), False),
        ("valkey", (9, 2, 0), False),
    ],
)
def test_versions_below_the_patch_floor_are_warned_of(server: str, version: tuple[int, int, int], warned: bool) -> None:
    assert (patch_warning(server, version) is not None) == warned
