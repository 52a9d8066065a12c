"""Each role manages with the narrow broker user that it gets in production, and with no more."""

from __future__ import annotations

import pytest

from common.broker.client import Client, call, connect
from common.broker.embedded import EmbeddedBroker
from common.broker.eventlog import EventLog
from common.broker.fitness import probe
from common.broker.frames import FrameReader, FrameWriter, Janitor
from common.broker.layout import ensure_layout
from common.broker.ownership import Commit, EventRecord, PartitionStore
from common.broker.plans import PlanStore
from common.broker.results import DeadLetters, ResultWriter
from common.errors import BrokerRefusedError
from common.partition import Keys

MIB = 1 << 20
KEYS = Keys("mw", 2)
EVERYBODY = "resetchannels +ping +hello"
SITE_READER = "(%R~mw:{site}:* +get +hget +hmget)"

ROLES = {
    "gateway": f"{EVERYBODY} %W~mw:{{*}}:f:cam42 +xadd {SITE_READER}",
    "infer": f"{EVERYBODY} %RW~mw:{{*}}:f:* +xreadgroup +xack +xautoclaim +xclaim +xpending +xtrim +xlen +time "
    "+xgroup|create +xinfo|groups +xinfo|stream "
    f"(%W~mw:{{*}}:res %W~mw:{{*}}:dlq +xadd) {SITE_READER}",
    "judge": f"{EVERYBODY} %RW~mw:{{*}}:res %RW~mw:{{*}}:own %RW~mw:{{*}}:st %RW~mw:{{*}}:ev "
    "+xread +evalsha +script|load +hget +hmget +hset +hdel +hgetall +time +xadd +xtrim "
    f"{SITE_READER}",
    "subscriber": f"{EVERYBODY} %R~mw:{{*}}:ev +xread +xrange +xrevrange {SITE_READER}",
    "operator": f"{EVERYBODY} %RW~mw:{{site}}:* +get +set +evalsha +script|load +hset +hget +hmget "
    "+xadd +xrange +xrevrange +time",
}
"""The users of `docs/streams.md`, in the words of ACL SETUSER."""


def user(broker: EmbeddedBroker, role: str, blocking_s: float | None = None) -> Client:
    """Make the role's user and connect as it."""
    rules = ROLES[role].replace(" (", "\n(").split("\n")
    parts = [part for rule in rules for part in split_rule(rule)]
    call(connect(broker.url), "ACL SETUSER", role, "reset", "on", ">pw", *parts)
    url = broker.url.replace(f":{broker.password}@", f"{role}:pw@")
    return connect(url, blocking_s=blocking_s)


def split_rule(rule: str) -> list[str]:
    """Split rules at blanks; a selector in round brackets is one argument."""
    if not rule.startswith("("):
        return rule.split()
    selector, _, rest = rule.partition(")")
    return [selector + ")", *rest.split()]


def denied(client: Client, *command: str | bytes) -> bool:
    """Say whether the user may not do this."""
    with pytest.raises(BrokerRefusedError) as caught:
        call(client, *command)
    return caught.value.code == "noperm"


def test_every_role_works_with_its_narrow_user(private_broker: EmbeddedBroker) -> None:
    """From the plan to the subscriber, each step is done by the user meant for it."""
    operator = user(private_broker, "operator")
    assert ensure_layout(operator, "mw", 2) == 2
    assert PlanStore(operator, "mw").publish(b"plan") == 1

    gateway = user(private_broker, "gateway")
    assert probe(gateway, "frames").policy is None
    assert PlanStore(gateway, "mw").load() == (1, b"plan")
    for number in range(3):
        FrameWriter(gateway, KEYS).append("cam42", b"%d" % number, b"x", 10)

    infer = user(private_broker, "infer")
    reader = FrameReader(infer, user(private_broker, "infer", 1), KEYS, "w")
    reader.set_cameras(["cam42"])
    entries = reader.read(2, 2, MIB, 1)
    reader.keepalive(entries)
    assert reader.backlog()["cam42"] >= 0
    assert reader.reclaim(10, 1) == []
    partition = KEYS.partition_of("cam42")
    ResultWriter(infer, KEYS).append_many([(partition, b"r")])
    DeadLetters(infer, KEYS).add(partition, {"reason": "test"})
    assert reader.ack(entries[:1]) == 1
    reader.hand_over(entries[1:])
    assert [entry.deliveries for entry in reader.reclaim(10, 1)] == [2]
    Janitor(infer, KEYS).trim(["cam42"], 60)

    judge = user(private_broker, "judge")
    store = PartitionStore(judge, user(private_broker, "judge", 1), KEYS, "one")
    lease = store.acquire(partition)
    assert lease is not None
    assert store.renew(lease)
    ((entry, _),) = store.read({partition: store.load(partition).offset}, 10, 1)[partition]
    event = EventRecord(b"{}", "violation.started", "cam42", "id")
    store.commit(lease, Commit("0-0", entry, [event], {"cam42": b"s"}, ["old"], trim_before_ms=1))
    assert store.owners()
    assert store.release(lease)

    subscriber = user(private_broker, "subscriber")
    log = EventLog(subscriber, user(private_broker, "subscriber", 1), KEYS)
    assert [item.id for item in log.read(log.start_cursors("0"), 0, 10)] == ["id"]
    assert log.gaps(log.rewind(log.start_cursors("now"))) == {}


def test_no_role_reaches_what_is_not_its_own(private_broker: EmbeddedBroker) -> None:
    """Frames cannot be injected by a worker, read by a judge or a subscriber, or sent for another camera."""
    frames, results = KEYS.frames("cam42"), KEYS.results(0)
    gateway, infer = user(private_broker, "gateway"), user(private_broker, "infer")
    judge, subscriber = user(private_broker, "judge"), user(private_broker, "subscriber")
    assert denied(gateway, "XADD", KEYS.frames("cam43"), "*", "h", "x")
    assert denied(gateway, "XRANGE", frames, "-", "+")
    assert denied(infer, "XADD", frames, "*", "h", "x")
    assert denied(infer, "XADD", KEYS.events(0), "*", "event", "x")
    assert denied(infer, "XRANGE", frames, "-", "+")
    assert denied(judge, "XREAD", "STREAMS", frames, "0")
    assert denied(judge, "HSET", KEYS.site("plan"), "payload", "x")
    assert denied(subscriber, "XREAD", "STREAMS", results, "0")
    assert denied(subscriber, "XADD", KEYS.events(0), "*", "event", "x")
    for client in (gateway, infer, judge, subscriber):
        for command in (("KEYS", "*"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("EVAL", "return 1", "0"), ("SAVE",)):
            assert denied(client, *command)
