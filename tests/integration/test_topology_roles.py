"""All roles on clusters and behind sentinels, with the users of production: they lack no right while it changes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.crc import key_slot

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.events.log import EventLog
from common.broker.fitness import probe
from common.broker.frames.pictures import PictureStore
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.layout import ensure_layout
from common.broker.models.store import BrokerRegistry
from common.broker.ownership import Commit, EventRecord, PartitionStore
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.broker.siteinbox import SiteInbox, SiteNews
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.partition import Keys
from common.pictures import PictureRef
from maskwatch.rights.topology import Form
from tests.integration.test_role_processes import EVENT, desk_commands, start, violations
from tests.spread_site import ROOT_PASSWORD, SpreadSite, spread_site
from tests.topologies import SLOTS, bus_of, cluster_node, port_of, replication_of, sentinels
from tests.waiting import until

MIB = 1 << 20
CAMERAS = [f"cam{number}" for number in range(6)]
SHORT = (("site", "rollback"), ("status", "--json"), ("events", "snapshot"), ("feedback", "queue"))
"""What reaches keys of many kinds; each command takes seconds, and its rights to keys are the same as on one server."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("form", ["cluster", "sentinel"])
def test_every_role_lacks_no_right_on_several_servers(tmp_path: Path, form: Form) -> None:
    """Nothing in any server's log of denied attempts, from the first frame to the end of the last role."""
    with spread_site(tmp_path, form) as site:
        site.publish(privacy={"mode": "full", "snapshots": True}, policies=[{"training": {"consent": True}}])
        with ExitStack() as stack:
            start(site, stack)
            found = until(lambda: violations(site), 300)
            for words in (words for words in desk_commands(found[0]) if words[:2] in SHORT):
                done = site.command(*words)
                assert done.returncode in (0, 1), f"{words}: {done.stderr}"
                assert "noperm" not in done.stdout + done.stderr, words
            if form == "sentinel":
                hand_over(site)
            tail = site.command("events", "tail", "--from", "0", "--json", "--no-follow", user="subscriber")
            assert EVENT in tail.stdout, tail.stderr
        assert site.denied() == []
        assert {name: role.process.returncode for name, role in site.roles.items()} == dict.fromkeys(site.roles, 0)
        assert "noperm" not in "".join(role.text for role in site.roles.values())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", ["cluster", "sentinel"])
def test_every_user_does_its_work_on_several_servers(tmp_path: Path, form: Form) -> None:
    """From the plan to the subscriber, by the library itself; behind sentinels once more after a failover."""
    with spread_site(tmp_path, form) as site:
        work(site, "first")
        if form == "sentinel":
            fail_over(site)
            until(lambda: _answer(site.as_user("state", "operator")), 20)
            work(site, "second")
        assert site.denied() == []
        with pytest.raises(BrokerRefusedError):
            call(site.as_user("state", "reader"), "GET", Keys(site.prefix).site("plan"))
        assert {entry[1] for entry in site.denied()} == {"reader"}


def work(site: SpreadSite, name: str) -> None:
    """Let each user do what it is for, from a frame to an event of this name."""
    operator = site.as_user("state", "operator")
    keys = Keys(site.prefix, ensure_layout(operator, site.prefix, 4))
    assert PlanStore(operator, site.prefix).publish(name.encode()) > 0
    assert PlanStore(site.as_user("state", "producer"), site.prefix).load()
    send(site, keys)
    judge = site.as_user("state", "judge")
    store = PartitionStore(judge, site.as_user("state", "judge", 1), keys, "one")
    found = store.read({number: store.load(number).offset for number in range(keys.partitions)}, 10, 1)
    for number, results in found.items():
        lease = store.acquire(number)
        assert lease is not None
        event = EventRecord(b"{}", "violation.started", "cam", f"{name}{number}")
        store.commit(lease, Commit(store.load(number).offset, results[-1][0], [event]))
    assert PartitionStore(operator, operator, keys, "desk").owners()
    for user in ("subscriber", "notify", "reader"):
        client = site.as_user("state", user)
        log = EventLog(client, client, keys)
        ids = {item.id for item in log.read(log.start_cursors("0"), 0, 100)}
        assert {f"{name}{number}" for number in found} <= ids
    notify, trainer = site.as_user("state", "notify"), site.as_user("state", "trainer")
    assert PartitionStore(notify, notify, Keys(f"{site.prefix}:notify", 1), "one").acquire(0) is not None
    assert BrokerRegistry(trainer, site.prefix).current().generation == 0


def send(site: SpreadSite, keys: Keys) -> None:
    """Send a frame of each camera, and leave a result of each."""
    users = {one: site.as_user("frames", one) for one in ("producer", "infer", "operator", "trainer")}
    reader = FrameReader(users["infer"], site.as_user("frames", "infer", 1), keys, "w")
    reader.set_cameras(CAMERAS)
    assert reader.read(1, 8, MIB, 0) == []
    for camera in CAMERAS:
        FrameWriter(users["producer"], keys).append(camera, b"0", b"x", 10)
    entries = [entry for _ in CAMERAS for entry in reader.read(1, 8, MIB, 1)]
    assert {entry.camera for entry in entries} == set(CAMERAS)
    ResultWriter(site.as_user("state", "infer"), keys).append_many([(entry.partition, b"r") for entry in entries])
    assert reader.ack(entries) == len(CAMERAS)
    for user in ("producer", "infer", "operator"):
        assert probe(users[user], "frames").policy == "noeviction"
    assert PictureStore(users["trainer"], keys).get(PictureRef("crop", "cam", 1, 2, 0)) is None


def hand_over(site: SpreadSite) -> None:
    """Have a failover of the state servers, and wait until the roles work on the new primary."""
    fail_over(site)
    offset = judged(site)
    until(lambda: judged(site) > offset, 60)


def fail_over(site: SpreadSite) -> None:
    """Have the steward order a failover of the state servers."""
    before = site.primary("state")
    steward = connect(f"redis://steward@127.0.0.1:{site.sentinel_ports[0]}", password=site.password("steward"))
    call(steward, "SENTINEL FAILOVER", "state")
    until(lambda: site.primary("state") not in (None, before), 30)
    until(lambda: before is not None and replication_of(before).get("role") == "slave", 30)


def judged(site: SpreadSite) -> str:
    """Say how far the judge has come, over all partitions."""
    try:
        root = site.root("state")
        keys = Keys(site.prefix, int(call(root, "GET", Keys(site.prefix).site("layout"))))
        offsets = [call(root, "HGET", keys.state(number), "offset") for number in range(keys.partitions)]
        return str(max((offset or b"").decode() for offset in offsets))
    except BrokerError:
        return ""


def test_a_sentinel_with_users_of_its_own_is_asked_as_the_url_says(tmp_path: Path) -> None:
    """A user with the servers' password, or one from a file; who is turned away is told so, without secrets."""
    with spread_site(tmp_path, "sentinel") as site:
        judge, right = site.password("judge"), site.sentinel_url("state", "judge")
        (tmp_path / "guard").write_text(f"{site.password('guard')}\n")
        (tmp_path / "steward").write_text(f"{site.password('steward')}\n")
        for asked in ("sentinel_user=judge", f"sentinel_user=steward&sentinel_password_file={tmp_path}/steward"):
            client = connect(f"{right}?{asked}", password=judge)
            assert call(client, "TIME")
            with pytest.raises(BrokerRefusedError) as caught:
                call(client, "KEYS", "*")
            assert caught.value.code == "noperm"
        turned_away = {"noauth": "", "wrongpass": "?sentinel_user=judge&", "noperm": "?sentinel_user=guard&"}
        for code, asked in turned_away.items():
            file = f"sentinel_password_file={tmp_path}/guard" if asked else ""
            with pytest.raises(BrokerRefusedError) as caught:
                call(connect(right + asked + file, password=judge), "TIME")
            assert caught.value.code == code
            assert not any(site.password(name) in str(caught.value) for name in ("judge", "guard"))
        for port in site.sentinel_ports:
            with pytest.raises(BrokerRefusedError):
                call(connect(f"redis://judge@127.0.0.1:{port}", password=judge), "SENTINEL FAILOVER", "state")


def test_a_sentinel_with_only_a_password_is_asked_with_that_of_a_file(
    private_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Sentinels with ``requirepass`` have one user, ``default``."""
    (tmp_path / "password").write_text("of the sentinels")
    settings = ('requirepass "of the sentinels"', f"sentinel auth-pass {{service}} {private_broker.password}")
    with sentinels(tmp_path, {"state": port_of(private_broker)}, settings, count=1) as (port,):
        url = f"redis+sentinel://127.0.0.1:{port}/state?sentinel_password_file={tmp_path}/password"
        client = connect(url, password=private_broker.password)
        assert until(lambda: _answer(client), 20)


def _answer(client: Client) -> object:
    try:
        return call(client, "TIME")
    except BrokerUnavailableError:
        return None


def test_a_cluster_that_moves_keys_and_copies_itself_denies_nobody(tmp_path: Path) -> None:
    """A role goes after a key on its way to another node; a replica copies with the servers' own user."""
    with spread_site(tmp_path, "cluster") as site, ExitStack() as stack:
        operator = site.as_user("state", "operator")
        keys = Keys(site.prefix, ensure_layout(operator, site.prefix, 4))
        assert PlanStore(operator, site.prefix).publish(b"plan") == 1
        target = _moving(site, keys.site("plan"))
        assert PlanStore(site.as_user("state", "judge"), site.prefix).load() is None
        assert SiteInbox(site.as_user("state", "infer"), keys).post(SiteNews("k", "id", "s", "site", 0.0, {}))
        assert call(target, "CLUSTER COUNTKEYSINSLOT", key_slot(keys.site("in").encode())) == 1
        with pytest.raises(BrokerUnavailableError) as caught:  # a script needs all its keys at one place
            PlanStore(operator, site.prefix).publish(b"other")
        assert (caught.value.code, caught.value.in_doubt) == ("tryagain", False)
        node = cluster_node(site.folder, "copy", *site.servers["state"][0].settings[2:])
        node.password = ROOT_PASSWORD
        stack.enter_context(node)
        steward = connect(f"redis://steward@127.0.0.1:{port_of(node)}", password=site.password("steward"))
        first = site.servers["state"][0]
        call(steward, "CLUSTER MEET", "127.0.0.1", port_of(first), bus_of(first))
        identity = call(connect(first.url), "CLUSTER MYID").decode()
        until(lambda: _replicates(steward, identity), 20)
        until(lambda: replication_of(node).get("master_link_status") == "up", 30)
        assert [entry for entry in site.denied() if entry[1] != "default"] == []


def _moving(site: SpreadSite, key: str) -> Client:
    """Bring the slot of a key half-way to another node, without its keys: the old one sends everybody on."""
    nodes = [connect(one.url) for one in site.servers["state"]]
    slot = key_slot(key.encode())
    at = next(number for number in range(3) if slot < (number + 1) * SLOTS // 3)
    source, target = nodes[at], nodes[(at + 1) % 3]
    names = [call(one, "CLUSTER MYID").decode() for one in (source, target)]
    call(target, "CLUSTER SETSLOT", slot, "IMPORTING", names[0])
    call(source, "CLUSTER SETSLOT", slot, "MIGRATING", names[1])
    for held in call(source, "CLUSTER GETKEYSINSLOT", slot, 100):
        call(source, "DEL", held)
    return target


def _replicates(steward: Client, primary: str) -> bool:
    try:
        return bool(call(steward, "CLUSTER REPLICATE", primary))
    except BrokerError:
        return False  # the new node does not know the primary yet
