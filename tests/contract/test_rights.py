"""Every broker user tries every command on every key of a real server: what is meant works, all else is refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.client import Client, call, call_many, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.errors import BrokerError, BrokerRefusedError, ConfigError
from common.partition import SITE, Keys
from maskwatch.rights import ENDPOINTS, ROLES, Endpoint, Role, gateway, rules
from maskwatch.rights.secretfolder import acl_file, fill, retire, rotate
from tests.rights_intent import FOREIGN_KEYS, FRAMES_KEYS, GREETING, INTENT, STATE_KEYS
from workers.judge.seats import seat_keys

ROOT = Path(__file__).resolve().parents[2]
SHA = "0" * 40
FORMS = {
    "XADD": "* a b", "XTRIM": "MAXLEN 9", "XLEN": "", "XRANGE": "- +", "XREVRANGE": "+ -", "XDEL": "0-1",
    "XACK": "infer 0-1", "XAUTOCLAIM": "infer me 9 0", "XCLAIM": "infer me 9 0-1", "XPENDING": "infer - + 1",
    "GET": "", "SET": "v", "DEL": "", "EXISTS": "", "TYPE": "", "DUMP": "", "GETRANGE": "0 9", "STRLEN": "",
    "TTL": "", "PTTL": "", "EXPIRE": "999", "PEXPIRE": "999000", "PERSIST": "", "UNLINK": "", "COPY": "elsewhere",
    "HGET": "f", "HSET": "f v", "HMGET": "f g", "HGETALL": "", "HDEL": "g", "HLEN": "", "HVALS": "", "HKEYS": "",
    "HSTRLEN": "f", "HINCRBY": "n 1", "HSCAN": "0", "ZADD": "1 a", "ZREM": "b", "ZCARD": "", "ZRANGE": "0 -1",
    "ZRANGEBYSCORE": "-inf +inf", "ZREMRANGEBYSCORE": "1 2", "ZREMRANGEBYRANK": "5 6", "ZSCAN": "0",
    "LRANGE": "0 -1", "RPUSH": "a", "SADD": "a", "RESTORE": "0 x", "RENAME": "elsewhere", "APPEND": "a",
}  # fmt: skip
"""Commands whose first argument is the key, with what follows it."""
PLACED = {
    "XREAD": "COUNT 1 STREAMS {key} 0-0",
    "XREADGROUP": "GROUP infer me COUNT 1 STREAMS {key} >",
    "XGROUP_CREATE": "{key} infer 0 MKSTREAM",
    "XGROUP_DESTROY": "{key} infer",
    "XINFO_STREAM": "{key}",
    "XINFO_GROUPS": "{key}",
    "XINFO_CONSUMERS": "{key} infer",
    "EVALSHA": f"{SHA} 1 {{key}}",
    "EVALSHA_RO": f"{SHA} 1 {{key}}",
    "EVAL": "return_1 1 {key}",
    "MEMORY_USAGE": "{key}",
    "OBJECT_ENCODING": "{key}",
}
KEYLESS = {
    "PING": "", "HELLO": "", "CLIENT_SETINFO": "LIB-NAME x", "TIME": "", "INFO": "", "SCRIPT_LOAD": "return_1",
    "ACL_LOG": "", "ACL_LOAD": "", "ACL_WHOAMI": "", "ACL_LIST": "", "ACL_SETUSER": "x on nopass +@all ~*",
    "ACL_GETUSER": "default", "KEYS": "*", "SCAN": "0", "RANDOMKEY": "", "DBSIZE": "", "CONFIG_GET": "*",
    "CONFIG_SET": "save 1", "FLUSHALL": "", "FLUSHDB": "", "MODULE_LIST": "", "SAVE": "",
    "BGSAVE": "", "BGREWRITEAOF": "", "REPLICAOF": "NO ONE", "CLIENT_LIST": "", "CLIENT_KILL": "TYPE normal",
    "MONITOR": "", "SLOWLOG_GET": "", "LATENCY_LATEST": "", "FUNCTION_LIST": "", "SCRIPT_FLUSH": "",
    "SCRIPT_KILL": "", "PUBLISH": "channel x", "SUBSCRIBE": "channel", "SHUTDOWN": "NOSAVE", "SWAPDB": "0 1",
    "SELECT": "1", "CLUSTER_INFO": "", "COMMAND_COUNT": "", "FAILOVER": "", "LASTSAVE": "",
}  # fmt: skip
LOOSE = ("SUBSCRIBE", "MONITOR")
"""They change what a connection is, so that they go last and alone."""

Attempt = tuple[str, str, tuple[str, ...]]
"""Kind of key ("" without), command, words that are sent."""


def keys_of(endpoint: Endpoint) -> dict[str, str]:
    """Both endpoints' keys: a user may reach none of the other one's, even where one server holds both."""
    return FRAMES_KEYS | STATE_KEYS | FOREIGN_KEYS


def attempts(endpoint: Endpoint) -> Iterator[Attempt]:
    """Give (kind of key, command, words) of everything that is tried; no key for commands without."""
    for kind, key in keys_of(endpoint).items():
        for name, rest in FORMS.items():
            yield kind, name, (name, key, *rest.split())
        for name, form in PLACED.items():
            yield kind, name, (name.replace("_", " ") if name != "EVALSHA_RO" else name, *form.format(key=key).split())
    for name, rest in KEYLESS.items():
        if name not in LOOSE:
            yield "", name, (name.replace("_", " "), *rest.split())


def made(client: Client, role: Role, endpoint: Endpoint, password: str = "pw") -> None:
    call(client, "ACL SETUSER", role.name, "reset", "on", f">{password}", *rules(role, endpoint))


def as_user(broker: EmbeddedBroker, name: str, password: str = "pw") -> Client:
    return connect(broker.url.replace(f":{broker.password}@", f"{name}@"), password=password)


def allowed(client: Client, tried: list[Attempt]) -> set[tuple[str, str]]:
    """Carry everything out and give what was not refused for lack of rights."""
    found: set[tuple[str, str]] = set()
    for batch in _batches(tried):
        answers = call_many(client, [words for _, _, words in batch])
        for (kind, name, _), answer in zip(batch, answers, strict=True):
            assert "wrong number" not in str(answer), f"{name} was not tried"
            if not (isinstance(answer, BrokerError) and answer.code == "noperm"):
                found.add((kind, name))
    return found


def _batches(tried: list[Attempt]) -> Iterator[list[Attempt]]:
    for start in range(0, len(tried), 400):
        yield tried[start : start + 400]


def wanted(name: str, endpoint: Endpoint) -> set[tuple[str, str]]:
    intent = INTENT[name][endpoint] or {}
    greeting = {("", command) for command in GREETING.split()}
    return greeting | {(kind, command) for kind, commands in intent.items() for command in commands.split()}


def test_every_user_has_an_intent() -> None:
    assert set(INTENT) == set(ROLES)
    for name, role in ROLES.items():
        for endpoint in ENDPOINTS:
            assert (role.on(endpoint) is None) == (INTENT[name][endpoint] is None)
            assert {*(INTENT[name][endpoint] or {})} <= {"", *keys_of(endpoint)}


def test_every_key_that_the_code_names_is_in_the_matrix() -> None:
    """A new key of the site must say here who may reach it."""
    known = "\n".join(STATE_KEYS.values())
    for folder in ("common", "producers", "workers", "trainer", "maskwatch"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"\bsite\(f?\"([^\"{]+)", path.read_text("utf-8")):
                assert f"{{site}}:{name}" in known, f"{path.name}: {name}"
    keys = Keys("mw", 1)
    made = [keys.results(0), keys.tallies(0), keys.owner(0), keys.state(0), keys.events(0), keys.dead_letters(0)]
    made += [keys.feedback(0), keys.site_events(), keys.results(SITE), seat_keys(keys).owner(0)]
    assert set(made) <= set(STATE_KEYS.values())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_user_can_do_what_is_meant_and_nothing_else(
    private_broker: EmbeddedBroker, name: str, endpoint: Endpoint
) -> None:
    if INTENT[name][endpoint] is None:
        assert rules(ROLES[name], endpoint) == []
        return
    made(connect(private_broker.url), ROLES[name], endpoint)
    tried = list(attempts(endpoint))
    assert len(tried) > 2500
    found, meant = allowed(as_user(private_broker, name), tried), wanted(name, endpoint)
    assert found - meant == set(), "may do more than is meant"
    assert meant - found == set(), "may do less than is meant"
    for loose in LOOSE:
        with pytest.raises(BrokerRefusedError) as caught:
            call(as_user(private_broker, name), loose, *KEYLESS[loose].split())
        assert caught.value.code == "noperm"


def test_the_matrix_would_see_one_command_too_many(private_broker: EmbeddedBroker) -> None:
    made(connect(private_broker.url), ROLES["reader"], "state")
    call(connect(private_broker.url), "ACL SETUSER", "reader", "(%R~mw:{p*}:st +hgetall)")
    found = allowed(as_user(private_broker, "reader"), list(attempts("state")))
    assert found - wanted("reader", "state") == {("state", "HGETALL")}


def test_a_script_cannot_join_what_two_grants_allow(private_broker: EmbeddedBroker) -> None:
    """A judge runs scripts on its partitions, and reads the plan; a script over both is refused."""
    made(connect(private_broker.url), ROLES["judge"], "state")
    judge = as_user(private_broker, "judge")
    both = ("EVALSHA", SHA, "2", STATE_KEYS["owner"], STATE_KEYS["plan"])
    with pytest.raises(BrokerRefusedError) as caught:
        call(judge, *both)
    assert caught.value.code == "noperm"
    sha = call(judge, "SCRIPT LOAD", "return redis.call('FLUSHALL')")
    with pytest.raises(BrokerRefusedError):
        call(judge, "EVALSHA", sha, "1", STATE_KEYS["owner"])
    with pytest.raises(BrokerRefusedError) as caught:
        call(judge, "SET", FRAMES_KEYS["snapshot"], "v", "GET")
    assert caught.value.code == "noperm"


def test_a_worker_cannot_read_a_picture_by_writing_it(private_broker: EmbeddedBroker) -> None:
    """SET with GET gives out the old value, so it needs the right to read."""
    made(connect(private_broker.url), ROLES["infer"], "frames")
    infer = as_user(private_broker, "infer")
    assert call(infer, "SET", FRAMES_KEYS["snapshot"], "v")
    with pytest.raises(BrokerRefusedError) as caught:
        call(infer, "SET", FRAMES_KEYS["snapshot"], "w", "GET")
    assert caught.value.code == "noperm"


def test_a_gateway_publishes_for_its_own_cameras_only(private_broker: EmbeddedBroker) -> None:
    made(connect(private_broker.url), gateway("east", ("cam42", "cam43")), "frames")
    east = as_user(private_broker, "producer-east")
    for camera in ("cam42", "cam43"):
        assert call(east, "XADD", f"mw:{{p00}}:f:{camera}", "*", "h", "x")
    for camera in ("cam4", "cam421", "cam44"):
        with pytest.raises(BrokerRefusedError) as caught:
            call(east, "XADD", f"mw:{{p00}}:f:{camera}", "*", "h", "x")
        assert caught.value.code == "noperm"


def test_the_files_of_users_work_and_a_denied_attempt_is_logged(tmp_path: Path) -> None:
    """As in production: users from a file, `default` off; the guard sees who tried what."""
    fill(ROLES.values(), tmp_path / "secrets", "mw")
    for endpoint in ENDPOINTS:
        users, used = tmp_path / "secrets" / f"{endpoint}.acl", tmp_path / f"{endpoint}.users"
        assert not any(secret in users.read_text() for secret in _secrets(tmp_path / "secrets"))
        broker = EmbeddedBroker(tmp_path, persist=False, name=endpoint)
        broker.password = "first"
        broker.settings = (f"aclfile {used}",)
        used.write_text("user default on >first ~* &* +@all\n")
        with broker:
            used.write_text(users.read_text())
            call(connect(broker.url), "ACL LOAD")
            with pytest.raises(BrokerError):
                call(connect(broker.url), "PING")
            _denied_and_seen(broker, tmp_path / "secrets")


def _denied_and_seen(broker: EmbeddedBroker, secrets: Path) -> None:
    operator = as_user(broker, "operator", (secrets / "operator").read_text().strip())
    with pytest.raises(BrokerRefusedError):
        call(operator, "XADD", FRAMES_KEYS["frames"], "*", "h", "x")
    guard = as_user(broker, "guard", (secrets / "guard").read_text().strip())
    assert call(guard, "ACL LOAD")
    (entry, *_) = call(guard, "ACL LOG")
    seen = {_text(name): _text(value) for name, value in _pairs(entry)}
    assert (seen["username"], seen["object"]) in (("operator", "xadd"), ("operator", FRAMES_KEYS["frames"]))


def test_a_rotated_password_lets_both_in_until_it_is_retired(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    fill(ROLES.values(), tmp_path, "mw")
    first = (tmp_path / "infer").read_text().strip()
    rotate("infer", tmp_path)
    second = (tmp_path / "infer").read_text().strip()
    assert first != second
    with pytest.raises(ConfigError, match="retire"):
        rotate("infer", tmp_path)
    for opens, shut in (((first, second), ()), ((second,), (first,))):
        _load(private_broker, tmp_path)
        for password in opens:
            assert call(as_user(private_broker, "infer", password), "PING")
        for password in shut:
            with pytest.raises(BrokerError):
                call(as_user(private_broker, "infer", password), "PING")
        if not shut and (tmp_path / "infer.former").exists():
            retire("infer", tmp_path)
    with pytest.raises(ConfigError):
        retire("infer", tmp_path)


def test_the_command_makes_secrets_once_and_shows_none(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    said = spoken("secrets", str(folder))
    passwords = _secrets(folder)
    assert len(set(passwords)) == len(ROLES) + 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert spoken("secrets", str(folder), "--gateway", "east=cam1,cam2").count("producer-east") == 1
    assert _secrets(folder)[:3] == passwords[:3]
    assert "nothing new" in spoken("secrets", str(folder))
    assert "user producer-east " in (folder / "frames.acl").read_text()
    shown = spoken("acl", "--endpoint", "frames", "--secrets", str(folder))
    assert "user default reset off" in shown
    assert "%W~mw:{p*}:f:cam2 +xadd" in shown
    assert not any(secret in said + shown for secret in _secrets(folder))
    spoken("secrets", str(folder), "--mounted")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    folder.chmod(0o755)
    assert "everybody" in spoken("acl", "--endpoint", "state", "--secrets", str(folder), status=2)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    assert "maskwatch broker secrets" in spoken(
        "acl", "--endpoint", "frames", "--secrets", str(tmp_path / "none"), status=2
    )
    assert "frames" in spoken("acl", "--endpoint", "frame", "--secrets", str(tmp_path), status=2)
    assert "infer" in spoken("secrets", str(tmp_path), "--rotate", "infr", status=2)
    assert "NAME=CAMERA" in spoken("secrets", str(tmp_path), "--gateway", "east=*", status=2)


def spoken(*words: str, status: int = 0) -> str:
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "maskwatch", "broker", *words], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def _secrets(folder: Path) -> list[str]:
    names = [*ROLES, "grafana"]
    return [(folder / name).read_text().strip() for name in names]


def _load(broker: EmbeddedBroker, folder: Path) -> None:
    root = connect(broker.url)
    for line in acl_file([ROLES["infer"]], "frames", folder, "mw").splitlines()[1:]:
        _, name, *rest = _words(line)
        call(root, "ACL SETUSER", name, *rest)


def _words(line: str) -> list[str]:
    """Split a line of an ACL file as the broker does: a selector in brackets is one word."""
    words: list[str] = []
    for part in line.split():
        if words and words[-1].startswith("(") and not words[-1].endswith(")"):
            words[-1] += f" {part}"
        else:
            words.append(part)
    return words


def _pairs(entry: object) -> Iterator[tuple[object, object]]:
    if isinstance(entry, dict):
        yield from entry.items()
    elif isinstance(entry, list):
        yield from zip(entry[::2], entry[1::2], strict=True)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
