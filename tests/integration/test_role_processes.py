"""All roles as processes with the users of production: they lack no right, and no secret turns up anywhere."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from common.broker.client import call
from common.broker.events.log import EventLog
from common.broker.inspection import scan_keys, values_of
from common.partition import Keys
from maskwatch.rights import ROLES
from tests.secured_site import HOOK_SECRET, RoleProcess, SecuredSite, secured_site
from tests.waiting import until

CANARY = "Kanarienvogel%7:@#/Ütter"
EVENT = "maskwatch.violation.started.v1"


def violations(site: SecuredSite) -> list[str]:
    """Give the ids of the violations that have started."""
    root = site.root("state")
    stored = call(root, "GET", Keys(site.prefix).site("layout"))
    log = EventLog(root, root, Keys(site.prefix, int(stored or 1)))
    return [item.id for item in log.read(log.start_cursors("0"), 0, 100) if item.type == EVENT]


def start(site: SecuredSite, stack: ExitStack, *, json_logs: bool = False) -> None:
    """Start every role that needs no training data."""
    more = {"MASKWATCH_LOG_FORMAT": "json"} if json_logs else {}
    stack.enter_context(site.role("judge", **more))
    stack.enter_context(site.role("infer", **more))
    stack.enter_context(site.role("producer", **more))
    receivers = str(site.folder / "receivers.yaml")
    stack.enter_context(site.role("notify", "--receivers", receivers, **more))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_role_and_every_command_of_the_desk_lacks_no_right(tmp_path: Path) -> None:
    """Nothing in either broker's log of denied attempts, from the first frame to the end of the last role."""
    with secured_site(tmp_path) as site:
        site.publish(privacy={"mode": "full", "snapshots": True}, policies=[{"training": {"consent": True}}])
        with ExitStack() as stack:
            start(site, stack)
            folders = {"MASKWATCH_TRAINER_SAMPLES": str(tmp_path / "samples")}
            folders |= {"MASKWATCH_TRAINER_RUNS": str(tmp_path / "runs"), "MASKWATCH_TRAINER_BASE": str(tmp_path)}
            trainer = stack.enter_context(site.role("trainer", **folders))
            found = until(lambda: violations(site), 120)
            for words in desk_commands(found[0]):
                done = site.command(*words)
                assert done.returncode in (0, 1), f"{words}: {done.stderr}"
                assert "noperm" not in done.stdout + done.stderr, words
            tail = site.command("events", "tail", "--from", "0", "--json", "--no-follow", user="subscriber")
            assert EVENT in tail.stdout, tail.stderr
            assert EVENT in site.command("events", "tail", "--from", "0", "--json", "--no-follow", user="reader").stdout
            until(lambda: "metrics_served" in trainer.text, 60)
            until(lambda: "none runs" not in site.command("trainer", "status").stdout, 60)
        assert {name: role.process.returncode for name, role in site.roles.items()} == dict.fromkeys(site.roles, 0)
        assert site.denied() == []
        assert "noperm" not in "".join(role.text for role in site.roles.values())


def desk_commands(event: str) -> Iterator[tuple[str, ...]]:
    """Give what an operator does at the desk."""
    yield from (("site", "show"), ("site", "history"), ("site", "rollback", "1"), ("site", "diff"))
    yield from (("status", "--json"), ("doctor",), ("events", "readers"), ("models", "list"), ("models", "workers"))
    yield from (("models", "log"), ("trainer", "status"), ("events", "tail", "--from", "0", "--no-follow"))
    yield ("events", "snapshot", event, "--out", "/dev/null")
    yield from (("feedback", event, "--label", "mask"), ("feedback", "list"), ("feedback", "queue"))
    yield ("feedback", "erase", event)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("json_logs", [False, True])
def test_no_secret_turns_up_anywhere(tmp_path: Path, json_logs: bool) -> None:
    """Not in logs, metrics, argument lists, values on the broker or files, whatever goes wrong meanwhile."""
    with secured_site(tmp_path, CANARY) as site:
        site.publish()
        pages, arguments = [], []
        with ExitStack() as stack:
            start(site, stack, json_logs=json_logs)
            until(lambda: violations(site), 120)
            pages += [role.page("/metrics") for role in site.roles.values()]
            arguments += argument_lists(site)
            said = [refused_everywhere(site, json_logs=json_logs)]
            site.pair.state.kill()
            until(lambda: "broker_trouble" in site.roles["judge-0"].text, 30)
            said += [text_of(site.command("status", "--json")), text_of(site.command("events", "tail", "--no-follow"))]
            site.pair.state.restart()
            status = until(lambda: call(site.root("state"), "PING"), 10)
            assert status
            pages += [role.page("/metrics") for role in site.roles.values() if role.process.poll() is None]
        held = [value for key in scan_keys(site.root("state"), "*") for value in values_of(site.root("state"), key)]
        everything = "\n".join(
            [*pages, *arguments, *said, *files(tmp_path), *(value.decode("latin-1") for value in held)]
        )
        assert "wrongpass" in everything
        assert all(role.text in everything for role in site.roles.values())
        for secret in forms(site):
            assert secret not in everything


def refused_everywhere(site: SecuredSite, *, json_logs: bool) -> str:
    """Let roles and commands try a wrong password, one without rights, a URL with the password in it, a wrong URL."""
    (site.secrets / "wrong").write_text(f"{CANARY}-wrong")
    wrong = {"MASKWATCH_STATE_PASSWORD_FILE": str(site.secrets / "wrong")}
    inside = f"redis://operator:{quote(CANARY, safe='')}-wrong@{site.pair.state.url.rpartition('@')[2]}"
    said = [
        text_of(site.command("status", **wrong)),
        text_of(site.command("site", "show", MASKWATCH_STATE_URL=inside, MASKWATCH_STATE_PASSWORD_FILE="")),
        text_of(site.command("site", "show", MASKWATCH_STATE_URL=inside + "?sl_ca=x")),
        text_of(site.command("site", "show", MASKWATCH_STATE_URL=inside.replace("redis:", "rdis:"))),
        text_of(site.command("site", "publish", str(site.folder / "site.yaml"), user="subscriber")),
        text_of(site.command("models", "rollback", user="reader")),
    ]
    log = {"MASKWATCH_LOG_FORMAT": "json"} if json_logs else {}
    for name in ("judge", "infer", "producer"):
        with site.role(name, **wrong, **log) as running:
            until(partial(turned_away, running), 30)
            said += argument_lists(site)
    with site.role("judge", user="reader", **log) as running:
        until(lambda: "noperm" in running.text, 30)
    return "\n".join(said)


def turned_away(role: RoleProcess) -> bool:
    """Say whether a role has met its wrong password, or ended over it."""
    return "wrongpass" in role.text or role.process.poll() is not None


def forms(site: SecuredSite) -> set[str]:
    """Give what to look for: each password, also as it stands in a URL or in JSON, and the canary in them all."""
    plain = {CANARY, HOOK_SECRET, HOOK_SECRET.removeprefix("whsec_"), *(site.password(name) for name in ROLES)}
    return {form for one in plain for form in (one, quote(one, safe=""), json.dumps(one)[1:-1], ascii(one)[1:-1])}


def argument_lists(site: SecuredSite) -> list[str]:
    """Read the arguments of every process of the site."""
    found = []
    for role in site.roles.values():
        if role.process.poll() is None:
            process = psutil.Process(role.process.pid)
            found += [" ".join(one.cmdline()) for one in [process, *process.children(recursive=True)]]
    assert found
    return found


def files(folder: Path) -> Iterator[str]:
    """Read every file beneath a folder, but for the secrets themselves."""
    for path in folder.rglob("*"):
        if path.is_file() and "secrets" not in path.relative_to(folder).parts:
            yield path.read_bytes().decode("utf-8", "replace")


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    """Give all that a command said; it must have failed."""
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr
