"""One attempt to deliver: by TLS to a pinned address under the name's certificate, and never longer than allowed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from common.subscription import Event
from tests.webhook_receiver import SECRET, Receiver
from workers.notify.outcome import Outcome
from workers.notify.receivers import Webhook
from workers.notify.webhook import WebhookSender, open_webhook

NAME = "hooks.test"
RAW = b'{"id":"one","partitionkey":"gate-1"}'
EVENT = Event({}, RAW, "one", "t", "gate-1", 0, "1-0")  # type: ignore[typeddict-item]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for ``hooks.test`` that is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the test's certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem"
    more = ["-out", "cert.pem", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command.split(), *more], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes every name lead to loopback, and records who was looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, *more: object, **named: object) -> object:
        asked.append(host)
        return real("127.0.0.1", *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.fixture
def secure(certificates: Path) -> Iterator[Receiver]:
    """A receiver with TLS."""
    with Receiver(SECRET, tls=(certificates / "cert.pem", certificates / "key.pem")) as made:
        yield made


def sender(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str = NAME, **more: object) -> WebhookSender:
    """A way to the receiver under a name."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    url = receiver.url.replace("127.0.0.1", host)
    settings = {"url": url, "secrets": ["env:HOOK_SECRET"], "allow_private": True, "timeout_s": 5, **more}
    return open_webhook(Webhook.model_validate(settings), "room.webhook")


def test_tls_goes_to_the_checked_address_under_the_name(
    secure: Receiver, certificates: Path, lookups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is looked up once; nobody can change its address between the check and the connection."""
    way = sender(secure, monkeypatch, ca_file=certificates / "cert.pem")
    assert way.send(EVENT, time.time()) is Outcome.DELIVERED
    assert [host for host in lookups if host == NAME] == [NAME]
    assert secure.headers[0]["host"] == f"{NAME}:{secure.port}"


@pytest.mark.parametrize(("host", "trusted"), [("other.test", True), (NAME, False)])
def test_a_certificate_of_another_name_or_authority_gets_nothing(
    secure: Receiver,
    certificates: Path,
    lookups: list[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    trusted: bool,
) -> None:
    more: dict[str, Any] = {"ca_file": certificates / "cert.pem"} if trusted else {}
    way = sender(secure, monkeypatch, host, **more)
    assert way.send(EVENT, time.time()) is Outcome.TLS
    assert secure.attempts == []


def test_a_private_address_behind_a_name_gets_no_connection(
    secure: Receiver, lookups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    way = sender(secure, monkeypatch, allow_private=False)
    assert way.send(EVENT, time.time()) is Outcome.REFUSED_ADDRESS


@pytest.mark.parametrize("mood", ["silent", "drip"])
@pytest.mark.parametrize("tls", [True, False])
def test_an_attempt_never_takes_longer_than_allowed(
    certificates: Path, lookups: list[str], monkeypatch: pytest.MonkeyPatch, mood: str, tls: bool
) -> None:
    """Also where a byte comes now and then, which would renew a timeout of the socket each time."""
    files = (certificates / "cert.pem", certificates / "key.pem") if tls else None
    with Receiver(SECRET, tls=files, mood=mood) as receiver:
        more: dict[str, Any] = {"ca_file": certificates / "cert.pem"} if tls else {}
        way = sender(receiver, monkeypatch, timeout_s=0.6, **more)
        began = time.monotonic()
        assert way.send(EVENT, time.time()) is Outcome.TIMEOUT
        assert time.monotonic() - began < 2


def test_an_endless_body_is_read_no_further_than_its_cap(lookups: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(SECRET, mood="endless") as receiver:
        way = sender(receiver, monkeypatch)
        began = time.monotonic()
        assert way.send(EVENT, time.time()) is Outcome.DELIVERED
        assert time.monotonic() - began < 2, "it did not wait for the deadline, so it stopped at the cap"


def test_nobody_listening_and_no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(SECRET) as receiver:
        way = sender(receiver, monkeypatch, "127.0.0.1")
        nameless = sender(receiver, monkeypatch, "nowhere.invalid")
    assert way.send(EVENT, time.time()) is Outcome.UNREACHABLE
    assert nameless.send(EVENT, time.time()) is Outcome.UNREACHABLE


def test_a_secret_kept_in_a_file_that_is_not_there_is_said() -> None:
    webhook = Webhook(url="https://hooks.example/", secrets=["file:/nowhere/secret"])
    with pytest.raises(ConfigError, match=r"room\.webhook\.secrets\[0\]: /nowhere/secret cannot be read"):
        open_webhook(webhook, "room.webhook")
