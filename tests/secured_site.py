"""Every role in a process of its own, each with its narrow broker user and a password file, as in production."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.siteplan import Camera, SitePlan
from maskwatch.rights import ENDPOINTS, ROLES, Endpoint, Place
from maskwatch.rights.secretfolder import fill
from tests.brokers import fresh_keys
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[1]
RECEIVERS = """
receivers:
  - name: nobody
    webhook: {url: "http://127.0.0.1:9/", allow_private: true, secrets: ["env:HOOK_SECRET"]}
    start: 0
"""
HOOK_SECRET = "whsec_" + "Y2FuYXJ5LWhvb2stc2VjcmV0LTEyMzQ1Njc4"


@dataclass
class RoleProcess:
    """A role that runs, and the file that it logs to."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def text(self) -> str:
        """Everything logged so far."""
        return self.log.read_text("utf-8")

    def page(self, path: str) -> str:
        """Fetch a page of its health server."""
        port = until(lambda: re.search(r"metrics(?:_served)?\b.*?port(?:=|\": )(\d+)", self.text), 40)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}{path}", timeout=5) as answer:  # type: ignore[union-attr]
            return str(answer.read().decode())


@dataclass
class SecuredSite:
    """Two brokers with the users of `maskwatch.rights`, and what runs on them.

    Attributes:
        prefix: What its keys begin with.
    """

    folder: Path
    pair: EmbeddedPair
    roles: dict[str, RoleProcess] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: fresh_keys().prefix)

    @property
    def secrets(self) -> Path:
        """The folder of passwords."""
        return self.folder / "secrets"

    def password(self, name: str) -> str:
        """Give a user's password."""
        return (self.secrets / name).read_text("utf-8").strip()

    def make_users(self, password_start: str = "") -> None:
        """Make all users on both brokers; ``password_start`` begins every password."""
        self.secrets.mkdir(mode=0o700)
        for name in ROLES if password_start else ():
            (self.secrets / name).write_text(f"{password_start}-{name}\n")
            (self.secrets / name).chmod(0o600)
        fill(ROLES.values(), self.secrets, self.prefix)
        for endpoint, broker in self.brokers().items():
            broker.settings = (f"aclfile {self.users(endpoint, broker.password)}",)

    def users(self, place: Place, root_password: str) -> Path:
        """Write a file of users: those of the site, and one who may do everything, for the test itself."""
        users = (self.secrets / f"{place}.acl").read_text("utf-8").splitlines()[1:]
        all_rights = f"user default on #{hashlib.sha256(root_password.encode()).hexdigest()} ~* &* +@all"
        path = self.secrets / f"{place}.users"
        path.write_text("\n".join([all_rights, *users, ""]))
        return path

    def brokers(self) -> dict[Any, EmbeddedBroker]:
        """Give the brokers by endpoint."""
        return dict(zip(ENDPOINTS, (self.pair.frames, self.pair.state), strict=True))

    def root(self, endpoint: str) -> Client:
        """Connect as one who may do everything."""
        return connect(self.brokers()[endpoint].url)

    def url(self, endpoint: Endpoint, name: str) -> str:
        """Give the URL at which a user finds an endpoint."""
        broker = self.brokers()[endpoint]
        return broker.url.replace(f":{broker.password}@", f"{name}@")

    def doors(self) -> list[tuple[str, Client]]:
        """Give all servers, by what they are, as one who may do everything sees them."""
        return [(str(endpoint), self.root(endpoint)) for endpoint in self.brokers()]

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """Give a role's environment: URLs with its user's name, passwords in files."""
        found = {key: value for key, value in os.environ.items() if not key.startswith("MASKWATCH_")}
        found |= {"HOME": str(self.folder), "HOOK_SECRET": HOOK_SECRET, "MASKWATCH_GRACE_S": "3"}
        found["MASKWATCH_PREFIX"] = self.prefix
        for endpoint in ENDPOINTS:
            found[f"MASKWATCH_{endpoint.upper()}_URL"] = self.url(endpoint, name)
            found[f"MASKWATCH_{endpoint.upper()}_PASSWORD_FILE"] = str(self.secrets / name)
        found |= more
        return {key: value for key, value in found.items() if value}

    @contextmanager
    def role(self, name: str, *arguments: str, user: str = "", **environment: str) -> Iterator[RoleProcess]:
        """Run a role while the block runs."""
        log = self.folder / f"{name}-{len(self.roles)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "maskwatch", name, *arguments, "--metrics-port", "0"],
                cwd=ROOT,
                env=self.environment(user or name, **environment),
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.roles[f"{name}-{len(self.roles)}"] = running = RoleProcess(process, log)
        try:
            yield running
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def command(self, *words: str, user: str = "operator", **environment: str) -> subprocess.CompletedProcess[str]:
        """Carry out a command as one of the users, the operator unless said otherwise."""
        return subprocess.run(
            [sys.executable, "-m", "maskwatch", *words],
            cwd=ROOT,
            env=self.environment(user, **environment),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def publish(self, **plan: Any) -> None:
        """Let the operator publish a plan of one synthetic camera, drawn to have violations at once."""
        camera = Camera(id="gate-1", source="synthetic:gate-1?seed=1", fps=4, width=640)
        path = self.folder / "site.yaml"
        path.write_text(SitePlan(site="s", cameras=[camera], **plan).model_dump_json(exclude_defaults=True))
        done = self.command("site", "publish", str(path))
        assert done.returncode == 0, done.stderr

    def denied(self) -> list[tuple[str, str, str, str]]:
        """Give the servers' logs of denied attempts: endpoint, user, reason, command or key."""
        found = []
        for place, root in self.doors():
            for entry in call(root, "ACL LOG"):
                told = {_text(name): _text(value) for name, value in _pairs(entry)}
                found.append((place, told["username"], told["reason"], told["object"]))
        return found


@contextmanager
def secured_site(folder: Path, password_start: str = "") -> Iterator[SecuredSite]:
    """Start both brokers with all users."""
    site = SecuredSite(folder, EmbeddedPair(folder / "brokers"))
    site.make_users(password_start)
    (folder / "receivers.yaml").write_text(RECEIVERS)
    with site.pair:
        yield site


def _pairs(entry: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(entry, dict):
        yield from entry.items()
    else:
        yield from zip(entry[::2], entry[1::2], strict=True)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
