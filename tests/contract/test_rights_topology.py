"""The matrix of rights where an endpoint is of several servers: a cluster's node, a watched server, a sentinel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.errors import BrokerError, BrokerRefusedError
from maskwatch.rights import ENDPOINTS, ROLES, Topology, fitted, rules
from maskwatch.rights.secretfolder import acl_file, fill, known_topology
from tests.contract.test_rights import KEYLESS, Attempt, allowed, as_user, attempts, made, spoken, wanted
from tests.rights_intent import CLUSTER_WAY, GREETING, INTENT, NODES, SENTINELS, WATCHED
from tests.topologies import SLOTS, cluster_node, port_of, sentinels
from tests.waiting import until

NODE = "0" * 40
HELLO = "__sentinel__:hello"
MORE = {
    "CLUSTER_SLOTS": "", "CLUSTER_NODES": "", "CLUSTER_SHARDS": "", "CLUSTER_MYID": "", "CLUSTER_KEYSLOT": "x",
    "CLUSTER_COUNTKEYSINSLOT": "1", "CLUSTER_GETKEYSINSLOT": "1 1", "CLUSTER_ADDSLOTS": "1",
    "CLUSTER_ADDSLOTSRANGE": "1 2", "CLUSTER_DELSLOTS": "1", "CLUSTER_DELSLOTSRANGE": "1 2", "CLUSTER_FLUSHSLOTS": "",
    "CLUSTER_SETSLOT": "1 STABLE", "CLUSTER_SET-CONFIG-EPOCH": "1", "CLUSTER_BUMPEPOCH": "", "CLUSTER_SAVECONFIG": "",
    "CLUSTER_MEET": "127.0.0.1 1", "CLUSTER_FORGET": NODE, "CLUSTER_REPLICATE": NODE, "CLUSTER_REPLICAS": NODE,
    "CLUSTER_FAILOVER": "", "CLUSTER_RESET": "", "CLUSTER_LINKS": "", "COMMAND": "", "COMMAND_GETKEYS": "GET x",
    "COMMAND_DOCS": "GET", "COMMAND_INFO": "GET", "COMMAND_LIST": "", "ASKING": "", "READONLY": "", "READWRITE": "",
    "REPLCONF": "listening-port 1", "ROLE": "", "SLAVEOF": "NO ONE", "CONFIG_REWRITE": "", "CLIENT_SETNAME": "x",
    "CLIENT_PAUSE": "1", "CLIENT_NO-EVICT": "on", "WAIT": "0 1", "DISCARD": "", "FCALL": "f 0",
}  # fmt: skip
ALONE = {
    "MULTI": "MULTI", "EXEC": "EXEC", "PSYNC": "PSYNC ? -1", "SYNC": "SYNC", "SUBSCRIBE": "SUBSCRIBE channel",
    "PUBLISH_HELLO": f"PUBLISH {HELLO} x", "SUBSCRIBE_HELLO": f"SUBSCRIBE {HELLO}", "MONITOR": "MONITOR",
    "PSUBSCRIBE": "PSUBSCRIBE *",
}  # fmt: skip
"""They change what a connection is, or go to the channel of the sentinels."""
ON_SENTINELS = {
    "MASTERS": "", "MASTER": "state", "REPLICAS": "state", "SLAVES": "state", "SENTINELS": "state", "MYID": "",
    "GET-MASTER-ADDR-BY-NAME": "state", "CKQUORUM": "state", "FAILOVER": "state", "RESET": "nobody",
    "REMOVE": "nobody", "MONITOR": "x 127.0.0.1 1 1", "SET": "nobody quorum 1", "CONFIG": "GET loglevel",
    "IS-MASTER-DOWN-BY-ADDR": "127.0.0.1 1 0 *", "PENDING-SCRIPTS": "", "FLUSHCONFIG": "", "INFO-CACHE": "state",
    "DEBUG": "", "SIMULATE-FAILURE": "help",
}  # fmt: skip
SENTINEL_KEYLESS = (
    *GREETING.split(), "INFO", "ROLE", "SHUTDOWN", "SUBSCRIBE", "PSUBSCRIBE", "CLIENT_LIST", "CLIENT_KILL",
    "CLIENT_SETNAME", "COMMAND_COUNT", "ACL_LOG", "ACL_LOAD", "ACL_WHOAMI", "ACL_LIST", "ACL_SETUSER", "ACL_GETUSER",
    "PUBLISH", "PUBLISH_HELLO",
)  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A cluster of one node, so that every key is at home there."""
    with cluster_node(tmp_path_factory.mktemp("cluster"), "node") as broker:
        root = connect(broker.url)
        call(root, "CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        until(lambda: call(root, "CLUSTER INFO")["cluster_state"] == "ok", 20)
        yield broker


def everything() -> list[Attempt]:
    """Give all that is tried in one go."""
    return [*attempts("state"), *(("", name, (name.replace("_", " "), *rest.split())) for name, rest in MORE.items())]


def carried_out(broker: EmbeddedBroker, name: str) -> set[tuple[str, str]]:
    """Try everything on a server as a user, and give what was not refused for lack of rights."""
    singly = {word for word, words in ALONE.items() if not denied(as_user(broker, name), *words.split())}
    return allowed(as_user(broker, name), everything()) | {("", word) for word in singly}


def denied(client: Client, *words: str) -> bool:
    """Say whether a command is refused for lack of rights."""
    try:
        call(client, *words)
    except BrokerError as error:
        return error.code == "noperm" or "NOPERM" in str(error)  # what EXEC is refused for stands in its words only
    finally:
        client.close()
    return False


def keyless(words: str) -> set[tuple[str, str]]:
    return {("", word) for word in words.split()}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", sorted(INTENT))
def test_a_client_of_a_cluster_finds_its_way_and_may_do_nothing_else_more(
    node: EmbeddedBroker, name: str, endpoint: str
) -> None:
    (role, *_) = fitted([ROLES[name]], Topology("cluster", "cluster"))
    (place,) = (one for one in ENDPOINTS if one == endpoint)
    if INTENT[name][place] is None:
        assert rules(role, place) == []
        return
    made(connect(node.url), role, place)
    meant = wanted(name, place) | (set() if name == "guard" else keyless(CLUSTER_WAY))
    found = carried_out(node, name)
    assert found - meant == set(), "may do more than is meant"
    assert meant - found == set(), "may do less than is meant"


@pytest.mark.parametrize(("form", "intent"), [("cluster", NODES), ("sentinel", WATCHED)])
def test_servers_among_themselves_may_do_what_is_meant_and_reach_no_key(
    node: EmbeddedBroker, private_broker: EmbeddedBroker, form: str, intent: dict[str, str]
) -> None:
    broker = node if form == "cluster" else private_broker
    topology = Topology(state="cluster") if form == "cluster" else Topology(state="sentinel")
    roles = {role.name: role for role in fitted([], topology) if role.state is not None}
    assert set(roles) == set(intent)
    assert not any(rules(role, "frames") for role in roles.values())
    for name, role in roles.items():
        made(connect(broker.url), role, "state")
        meant = keyless(GREETING) | keyless(intent[name])
        found = carried_out(broker, name)
        assert found - meant == set(), f"{name} may do more than is meant"
        assert meant - found == set(), f"{name} may do less than is meant"


def test_users_of_sentinels_may_do_what_is_meant_and_attempts_are_logged(
    private_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Sentinels have a file of users of their own; the guard reads there too what was denied."""
    fill(ROLES.values(), tmp_path / "secrets", "mw", Topology("sentinel", "sentinel"))
    roles = fitted(ROLES.values(), Topology("sentinel", "sentinel"))
    assert {role.name for role in roles if role.sentinels is not None} == set(SENTINELS)
    users = tmp_path / "sentinels.users"
    root = f"user default on #{hashlib.sha256(b'root').hexdigest()} ~* &* +@all\n"
    users.write_text(root + (tmp_path / "secrets" / "sentinels.acl").read_text().partition("\n")[2])
    settings = (f"aclfile {users}", f"sentinel auth-pass {{service}} {private_broker.password}")
    with sentinels(tmp_path, {"state": port_of(private_broker)}, settings, count=1) as (port,):
        until(lambda: answers(port), 20)
        for name, words in SENTINELS.items():
            password = (tmp_path / "secrets" / name).read_text().strip()
            tried = dict(_sentinel_attempts())
            found = {
                word for word, sent in tried.items() if not denied(connect(_at(name, port), password=password), *sent)
            }
            meant = {*GREETING.split(), *words.split()}
            assert found == meant, name
            assert len(tried) > 30
        guard = connect(_at("guard", port), password=(tmp_path / "secrets" / "guard").read_text().strip())
        assert "'username': 'steward'" in str(call(guard, "ACL LOG"))


def test_who_has_no_user_at_a_watched_endpoint_has_none_on_the_sentinels(tmp_path: Path) -> None:
    """A judge has no business at the frames broker, nor at those who watch it."""
    topology = Topology(frames="sentinel", state="single")
    named = {role.name for role in fitted(ROLES.values(), topology) if role.sentinels is not None}
    assert named == {"producer", "infer", "trainer", "operator", "guard", "sentinel", "steward"}
    fill(ROLES.values(), tmp_path, "mw", topology)
    written = acl_file(fitted(ROLES.values(), topology), "state", tmp_path, "mw")
    assert "cluster" not in written
    assert not any(f"user {name} " in written for name in ("replica", "sentinel", "steward"))


def test_the_folder_remembers_of_how_many_servers_an_endpoint_is(tmp_path: Path) -> None:
    fill(ROLES.values(), tmp_path, "mw", Topology("sentinel", "cluster"))
    assert known_topology(tmp_path) == Topology("sentinel", "cluster")
    assert "+psync" in (tmp_path / "frames.acl").read_text()
    assert "+cluster|slots" in (tmp_path / "state.acl").read_text()
    assert fill(ROLES.values(), tmp_path, "mw", Topology()) == []
    assert known_topology(tmp_path) == Topology()
    assert not (tmp_path / "sentinels.acl").exists()
    assert not any(word in (tmp_path / "state.acl").read_text() for word in ("psync", "cluster", "command", "asking"))


def test_the_command_makes_users_for_sentinels_and_refuses_other_forms(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    said = spoken("secrets", str(folder), "--topology", "sentinel", "--topology", "state=cluster")
    assert all(name in said for name in ("replica", "sentinel", "steward", "sentinels.acl"))
    assert known_topology(folder) == Topology("sentinel", "cluster")
    shown = spoken("acl", "--endpoint", "sentinels", "--secrets", str(folder))
    assert shown == (folder / "sentinels.acl").read_text()
    assert "did you mean 'cluster'" in spoken("secrets", str(folder), "--topology", "state=clutser", status=2)
    (folder / "topology").unlink()
    assert "--topology state=sentinel" in spoken("acl", "--endpoint", "sentinels", "--secrets", str(folder), status=2)


def answers(port: int) -> bool:
    try:
        return bool(call(connect(f"redis://:root@127.0.0.1:{port}"), "PING"))
    except BrokerRefusedError:
        raise
    except BrokerError:
        return False


def _at(name: str, port: int) -> str:
    return f"redis://{name}@127.0.0.1:{port}"


def _sentinel_attempts() -> Iterator[tuple[str, tuple[str, ...]]]:
    for word, rest in ON_SENTINELS.items():
        yield f"SENTINEL_{word}", (f"SENTINEL {word}", *rest.split())
    known = KEYLESS | MORE
    for name in SENTINEL_KEYLESS:
        words = ALONE[name] if name in ALONE else f"{name.replace('_', ' ')} {known[name]}"
        first, _, rest = words.partition(" ") if name in ALONE else (name.replace("_", " "), "", known[name])
        yield name, (first, *rest.split())
