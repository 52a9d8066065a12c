"""Each role manages with the narrow broker user that it gets in production, and with no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.events.log import EventLog
from common.broker.feedback import Erasure, FeedbackDesk
from common.broker.fitness import probe
from common.broker.frames.janitor import Janitor
from common.broker.frames.pictureaccess import AccessLog
from common.broker.frames.pictures import PictureStore
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.layout import agreed_layout, ensure_layout
from common.broker.models.news import announce_last
from common.broker.models.shadowreports import ShadowReports
from common.broker.models.store import BrokerRegistry
from common.broker.ownership import Commit, EventRecord, PartitionStore
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.broker.results import DeadLetters, ResultWriter
from common.broker.siteinbox import SiteInbox
from common.errors import BrokerRefusedError, BrokerUnavailableError, LayoutMismatchError
from common.feedback import FeedbackEntry
from common.lifecycle import StopSignal
from common.models.registry import Rollout, WorkerModels
from common.partition import SITE, Keys
from common.pictures import PictureRef
from common.siteplan import SitePlan
from common.zones import Zone
from maskwatch.rights import ENDPOINTS, gateway, rules
from maskwatch.rights import ROLES as RIGHTS
from tests.brokers import Brokers
from tests.model_versions import make_version
from trainer.service.lease import TrainerLease
from trainer.service.live import LiveFigures
from trainer.service.progress import ProgressStore
from trainer.service.requests import RequestBox
from workers.judge.seats import seat_keys
from workers.site.loop import SiteLoop, SiteSurroundings
from workers.site.metrics import SiteMetrics
from workers.site.streams import SiteStreams

MIB = 1 << 20
KEYS = Keys("mw", 2)
ROLES = RIGHTS | {"gateway": gateway("east", ("cam42",))}
"""The users of `docs/security.md`, and a producer that has one camera."""


def user(broker: EmbeddedBroker, role: str, blocking_s: float | None = None) -> Client:
    """Make the role's user, on one server with its rights at both endpoints, and connect as it."""
    parts = dict.fromkeys(part for endpoint in ENDPOINTS for part in rules(ROLES[role], endpoint))
    call(connect(broker.url), "ACL SETUSER", role, "reset", "on", ">pw", *parts)
    url = broker.url.replace(f":{broker.password}@", f"{role}:pw@")
    return connect(url, blocking_s=blocking_s)


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

    east = user(private_broker, "gateway")
    assert probe(east, "frames").policy == "noeviction"
    assert PlanStore(east, "mw").load() == (1, b"plan")
    for number in range(3):
        FrameWriter(east, KEYS).append("cam42", b"%d" % number, b"x", 10)

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


def test_pictures_are_put_by_workers_and_seen_by_operators_only(private_broker: EmbeddedBroker) -> None:
    """Not even a worker can read a picture back; operators see and erase; nobody else can reach one in any way."""
    ref, data = PictureRef("snapshot", "cam42", 1, 2, 0), b"\xff\xd8\xff\xe0 small \xff\xd9"
    operator = user(private_broker, "operator")
    infer, key = PictureStore(user(private_broker, "infer"), KEYS), KEYS.picture("snapshot", "cam42", (1, 2, 0))
    assert infer.put(ref, data, 60_000)
    assert infer.extend(ref, 90_000)
    assert [stored.ref for stored in infer.refs()] == [ref]
    assert EventLog(user(private_broker, "infer"), user(private_broker, "infer"), KEYS).read({0: "0-0"}, 0, 1) == []
    assert denied(user(private_broker, "infer"), "GET", key)
    assert AccessLog(operator, KEYS).note(ref, "ana", "e1") == 1
    assert PictureStore(operator, KEYS).get(ref) == data
    assert denied(operator, "SET", key, b"x")
    for role in ("gateway", "judge", "subscriber"):
        client = user(private_broker, role)
        assert denied(client, "GET", key)
        assert denied(client, "SET", key, b"x")
        assert denied(client, "ZRANGEBYSCORE", KEYS.pictures("snapshot", KEYS.partition_of("cam42")), "-inf", "+inf")
    assert PictureStore(operator, KEYS).delete(ref)


def test_the_site_stage_manages_with_the_judges_user(private_broker: EmbeddedBroker) -> None:
    operator, judge = user(private_broker, "operator"), user(private_broker, "judge")
    ensure_layout(operator, "mw", 2)
    PlanStore(operator, "mw").publish(SitePlan(site="s", zones=[Zone(id="z")]).to_bytes())
    around = SiteSurroundings(
        PartitionStore(judge, judge, KEYS, "one"),
        SiteStreams(judge, KEYS, 10),
        EventLog(judge, judge, KEYS),
        PlanFeed(PlanStore(judge, "mw")),
        SiteMetrics(CollectorRegistry()),
    )
    stop = StopSignal()
    stop.set()
    SiteLoop(around, 1.0, 1000).run(stop)

    assert PartitionStore(judge, judge, KEYS, "two").load(SITE).offset == "1-0"


def test_no_role_reaches_what_is_not_its_own(private_broker: EmbeddedBroker) -> None:
    """Frames cannot be injected by a worker, read by a judge or a subscriber, or sent for another camera."""
    frames, results = KEYS.frames("cam42"), KEYS.results(0)
    east, infer = user(private_broker, "gateway"), user(private_broker, "infer")
    judge, subscriber = user(private_broker, "judge"), user(private_broker, "subscriber")
    assert denied(east, "XADD", KEYS.frames("cam43"), "*", "h", "x")
    assert denied(east, "XRANGE", frames, "-", "+")
    assert denied(infer, "XADD", frames, "*", "h", "x")
    assert denied(infer, "XADD", KEYS.events(0), "*", "event", "x")
    assert denied(infer, "XRANGE", frames, "-", "+")
    assert denied(judge, "XREAD", "STREAMS", frames, "0")
    assert denied(judge, "HSET", KEYS.site("plan"), "payload", "x")
    assert denied(subscriber, "XREAD", "STREAMS", results, "0")
    assert denied(subscriber, "XADD", KEYS.events(0), "*", "event", "x")
    for client in (east, infer, judge, subscriber):
        for command in (("KEYS", "*"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("EVAL", "return 1", "0"), ("SAVE",)):
            assert denied(client, *command)


def test_models_are_moved_by_operator_and_trainer_and_followed_by_workers(
    private_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """A worker fetches, reports and refuses; it can neither publish nor move the pointer."""
    operator, trainer, infer = (user(private_broker, name) for name in ("operator", "trainer", "infer"))
    worker = BrokerRegistry(infer, "mw")
    refs = [
        BrokerRegistry(one, "mw").publish(make_version(tmp_path, name))
        for one, name in ((trainer, "7"), (operator, "8"))
    ]
    BrokerRegistry(trainer, "mw").promote([refs[0]], 0, "trainer", "")
    announce_last(SiteInbox(trainer, KEYS), BrokerRegistry(trainer, "mw"), "promoted")
    BrokerRegistry(operator, "mw").set_rollout(Rollout((refs[1],), "shadow", 1, 1, "ana", 0.0))
    rollout = worker.rollout()
    assert rollout is not None
    assert worker.current().detector == refs[0]
    assert worker.fetch(refs[0], tmp_path / "cache").is_dir()
    worker.report("w", WorkerModels(1, refs[0], None, "openvino-cpu", "serving"))
    worker.refused([refs[1]], "w", "probe: off by 0.2")
    assert announce_last(SiteInbox(infer, KEYS), worker, "refused")
    for reader in (trainer, operator):
        assert ShadowReports(reader, "mw").of(rollout) == []
        assert list(BrokerRegistry(reader, "mw").workers()) == ["w"]
    with pytest.raises(BrokerRefusedError):
        worker.promote([refs[1]], 1, "w", "")
    with pytest.raises(BrokerRefusedError):
        worker.set_rollout(None)
    BrokerRegistry(operator, "mw").rollback("ana", "")
    BrokerRegistry(operator, "mw").retire(refs[1], "ana", "")
    assert BrokerRegistry(trainer, "mw").sweep() == 0


def test_feedback_is_recorded_by_the_desk_taken_in_by_the_judge_and_read_by_the_trainer(
    private_broker: EmbeddedBroker,
) -> None:
    from tests.integration.test_feedback_desk import alarm  # it takes users from here

    operator, judge, trainer = (user(private_broker, name) for name in ("operator", "judge", "trainer"))
    root = connect(private_broker.url)
    episode, _ = alarm(Brokers(root, root, root, root, KEYS))
    assert FeedbackDesk(operator, KEYS).record(FeedbackEntry(episode, "mask", "ana")).changed
    assert FeedbackDesk(judge, KEYS).record(FeedbackEntry(episode, "no_mask", "ben")).changed
    for number in FeedbackDesk(judge, KEYS).busy():
        FeedbackDesk(judge, KEYS).settle(number, ["0-1"])
    assert len(FeedbackDesk(trainer, KEYS).records()) == 1
    assert FeedbackDesk(judge, KEYS).prune() == 0
    assert FeedbackDesk(operator, KEYS).erase(Erasure(subject=episode))
    assert FeedbackDesk(trainer, KEYS).erasures()
    assert denied(judge, "XADD", KEYS.site("feedback:erasures"), "*", "subject", "x")
    assert denied(trainer, "HSET", KEYS.feedback(0, "rec"), "x", "y")


def test_the_trainer_holds_its_lease_and_the_desk_asks_it(private_broker: EmbeddedBroker) -> None:
    operator, trainer = user(private_broker, "operator"), user(private_broker, "trainer")
    ensure_layout(operator, "mw", 2)
    assert agreed_layout(trainer, "mw", None) == 2
    lease = TrainerLease(trainer, KEYS, "one", 6.0)
    assert lease.acquire()
    lease.check()
    assert TrainerLease(operator, KEYS, "desk", 1.0).holder() is not None
    asked = RequestBox(operator, KEYS).ask("ana", "now")
    assert RequestBox(trainer, KEYS).waiting() == asked
    RequestBox(trainer, KEYS).answer(asked.id)
    LiveFigures(trainer, KEYS).look()
    assert ProgressStore(trainer, KEYS).load() is None
    assert PictureStore(trainer, KEYS).get(PictureRef("crop", "cam42", 1, 2, 0)) is None
    lease.release()
    with pytest.raises(BrokerRefusedError):
        TrainerLease(operator, KEYS, "desk", 1.0).acquire()


def test_a_role_waits_until_an_operator_has_chosen_the_partitions(private_broker: EmbeddedBroker) -> None:
    """It neither chooses by itself nor fails for good; another count than the stored one is refused."""
    operator = user(private_broker, "operator")
    for name in ("producer", "infer", "judge", "trainer", "subscriber", "notify"):
        with pytest.raises(BrokerUnavailableError, match="site publish"):
            agreed_layout(user(private_broker, name), "mw", None)
    ensure_layout(operator, "mw", 2)
    for name in ("producer", "infer", "judge", "trainer", "subscriber", "notify"):
        assert agreed_layout(user(private_broker, name), "mw", 2) == 2
        with pytest.raises(LayoutMismatchError):
            agreed_layout(user(private_broker, name), "mw", 3)


def test_one_notifier_takes_its_turn(private_broker: EmbeddedBroker) -> None:
    notify = user(private_broker, "notify")
    turns = PartitionStore(notify, notify, Keys("mw:notify", 1), "one")
    lease = turns.acquire(0)
    assert lease is not None
    assert turns.renew(lease)
    assert [
        one.owner
        for one in PartitionStore(user(private_broker, "operator"), notify, Keys("mw:notify", 1), "status")
        .owners()
        .values()
    ] == ["one"]
    assert turns.release(lease)
    assert denied(notify, "HSET", KEYS.owner(0), "owner", "x")
    assert PartitionStore(user(private_broker, "judge"), notify, seat_keys(KEYS), "one").acquire(0) is not None
