"""The file of receivers: what is refused, in which words, and where a webhook may lead."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from common.errors import ConfigError
from workers.notify.addresses import RefusedAddressError, objection, resolve
from workers.notify.receivers import load_receivers

GOOD = "receivers: [{name: room, webhook: {url: 'https://hooks.example/a', secrets: ['env:S']}}]"


def load(tmp_path: Path, text: str) -> str:
    """Load a file and give the complaint; empty where there is none."""
    path = tmp_path / "receivers.yaml"
    path.write_text(text)
    try:
        load_receivers(path)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_good_file_is_taken(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == ""
    assert load(tmp_path, "receivers: [{name: bus, mqtt: {url: 'mqtt://broker:1883'}, start: 0}]") == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("secrets:", "secret:", "receivers[0].webhook.secret: unknown key; did you mean 'secrets'?"),
        ("name: room", "name: room, sevrity: alert", "receivers[0].sevrity: unknown key; did you mean 'severity'?"),
        ("env:S", "whsec_AAAAAAAAAAAA", "secrets[0]: no secrets in this file; give env:NAME or file:PATH"),
        ("https://hooks.example/a", "ftp://hooks.example/a", "url: must begin with https:// or http://"),
        ("https://hooks.example/a", "http://10.1.2.3/a", "10.1.2.3 is not a public address"),
        ("https://hooks.example/a", "http://localhost:8080/", "127.0.0.1 is not a public address"),
        ("https://hooks.example/a", "https://[fe80::1]/a", "fe80::1 is not a public address"),
        ("https://hooks.example/a", "https://a b/", "url: no host, or characters in it that must be escaped"),
        ("https://hooks.example/a", "https://h:99999/", "url: not a URL"),
        ("webhook:", "mqtt: {url: 'mqtt://b'}, webhook:", "give either webhook or mqtt"),
        ("['env:S']", "[]", "receivers[0].webhook.secrets"),
        ("receivers:", "receiver:", "receiver: unknown key; did you mean 'receivers'?"),
        ("[{name", "[{name: room, webhook: {url: 'env:U', secrets: ['env:S']}}, {name", "is already receivers[0]"),
        (GOOD, "receivers: [", "no YAML (line 1)"),
    ],
)
def test_bad_input_is_refused_in_clear_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    complaint = load(tmp_path, GOOD.replace(old, new, 1))
    assert words in complaint
    assert "whsec_" not in complaint


def test_a_password_in_a_url_is_not_shown_in_a_complaint(tmp_path: Path) -> None:
    complaint = load(tmp_path, GOOD.replace("https://hooks.example/a", "http://me:hunter2@10.0.0.1/?token=hunter3"))
    assert "10.0.0.1 is not a public address" in complaint
    assert "hunter" not in complaint


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ],
)
def test_a_private_address_is_refused_in_every_dress(address: str) -> None:
    assert objection(address, allow_private=False)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::808:808"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert objection(address, allow_private=False) == ""


def test_allow_private_allows_private_hosts_and_nothing_stranger() -> None:
    assert objection("10.0.0.1", allow_private=True) == ""
    assert objection("127.0.0.1", allow_private=True) == ""
    assert objection("224.0.0.1", allow_private=True)
    assert objection("0.0.0.0", allow_private=True)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
def test_loopback_written_as_a_number_is_found_out(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        resolve(host, 80, allow_private=False)


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(RefusedAddressError, match=r"10\.0\.0\.1"):
        resolve("hooks.example", 443, allow_private=False)
