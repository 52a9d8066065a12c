"""What is installed is pinned by hash, from no index in particular."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-train.lock")
MACHINE_BRINGS = re.compile(r"torch|torchvision|triton|nvidia-|cuda-")


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Read a lock: package to version and number of hashes."""
    text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+)(?: ;[^-]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line)
        assert match, f"{name}: not a pinned requirement with hashes: {line[:80]}"
        found[_plain(match[1])] = (match[2], match[3].count("--hash"))
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_pinned_by_hash_and_names_no_host(name: str) -> None:
    assert len(locked(name)) > 20
    assert "://" not in (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_the_versions_that_were_tested(name: str) -> None:
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line]
    tested = {_plain(package): version for package, version in lines}
    found = {package: version for package, (version, _) in locked(name).items() if package in tested}
    assert found == {package: tested[package] for package in found}


def test_everything_that_is_asked_for_is_in_it_but_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for name, asked in zip(LOCKS, (project["dependencies"], [*extras["train"], *extras["signed"]]), strict=True):
        wanted = {_plain(re.split(r"[<>=~ ;\[]", line)[0]) for line in asked}
        assert {one for one in wanted if not MACHINE_BRINGS.match(one)} <= set(locked(name))
        assert [one for one in locked(name) if MACHINE_BRINGS.match(one)] == []
