"""Model registries under harm: kill -9 while publishing, no space left, a lock that somebody holds, a full broker."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.models.blobs import ORPHAN_AGE_S, ModelBlobs
from common.broker.models.store import BrokerRegistry
from common.errors import BrokerRefusedError, RegistryUnwritableError, UnknownVersionError
from common.models import cache, directory
from common.models.directory import DirectoryRegistry
from common.models.ledger import Ledger, Mark
from common.models.manifest import load_version
from common.models.registry import Registry, VersionRef
from tests.brokers import Brokers
from tests.model_versions import make_version
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SEED = 28


@contextmanager
def publisher(*lines: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that publishes without end, and kill it outright when the block ends."""
    command = [sys.executable, "-m", "tests.registry_publisher"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write("\n".join(lines) + "\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()


def kill_in_the_middle(*lines: str) -> None:
    with publisher(*lines) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "it never published anything"
        threading.Event().wait(random.Random(SEED).uniform(0.0, 0.03))  # somewhere within the next version


def check_whole(registry: Registry, cache: Path) -> list[VersionRef]:
    """Every version that is listed can be fetched, and passes."""
    refs = [version.ref for version in registry.versions()]
    for ref in refs:
        load_version(registry.fetch(ref, cache), ref.kind)
    return refs


def test_a_killed_publisher_leaves_whole_versions_in_a_folder(tmp_path: Path) -> None:
    place, work = tmp_path / "registry", tmp_path / "work"
    work.mkdir()
    registry = DirectoryRegistry(place)
    for _ in range(3):
        kill_in_the_middle("folder", str(place), "", str(work))
        refs = check_whole(registry, tmp_path / "cache")
        assert refs
        registry.promote([refs[0]], registry.current().generation, "ana", "still works")
    kinds = place / "versions" / "detector"
    (kinds / ".tmp-left-behind").mkdir()
    assert registry.sweep() >= 1
    later = DirectoryRegistry(place, clock=lambda: kinds.stat().st_mtime + ORPHAN_AGE_S + 10)
    assert later.sweep() == 0
    assert not list(place.rglob(".tmp-*"))


def test_a_killed_publisher_leaves_whole_versions_on_the_broker(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    client = connect(private_broker.url)
    registry = BrokerRegistry(client, "k")
    for _ in range(3):
        kill_in_the_middle("broker", "k", private_broker.url, str(work))
        refs = check_whole(registry, tmp_path / "cache")
        assert refs
        registry.promote([refs[0]], registry.current().generation, "ana", "still works")
    client.close()


def test_files_without_a_version_are_never_seen_and_expire(brokers: Brokers, tmp_path: Path) -> None:
    """What a process leaves that dies between the files and the manifest."""
    client, prefix = brokers.state, brokers.keys.prefix
    registry, blobs = BrokerRegistry(client, prefix), ModelBlobs(client, prefix)
    left = blobs.upload(b"left behind" * 50_000)
    ref = registry.publish(make_version(tmp_path))

    assert [version.ref for version in registry.versions()] == [ref]
    assert 0 < int(call(client, "TTL", left.key)) <= ORPHAN_AGE_S
    assert registry.sweep() == 1
    call(client, "HSET", blobs.uploads, left.sha256, 1000)  # as if it had been an hour ago
    assert registry.sweep() == 0
    assert not call(client, "EXISTS", left.key)
    check_whole(registry, tmp_path / "cache")
    names = list(client.scan_iter(f"{prefix}:*blob*", 1000))
    assert all(int(call(client, "TTL", name)) == -1 for name in names)


def test_a_retired_version_leaves_no_file_on_the_broker(brokers: Brokers, tmp_path: Path) -> None:
    registry = BrokerRegistry(brokers.state, brokers.keys.prefix)
    refs = [registry.publish(make_version(tmp_path, name)) for name in ("7", "8")]
    kept = set(brokers.state.scan_iter(f"{brokers.keys.prefix}:*blob*", 1000))
    registry.retire(refs[0], "ana", "")
    assert len(kept) - len(set(brokers.state.scan_iter(f"{brokers.keys.prefix}:*blob*", 1000))) == 1, "its manifest"
    registry.retire(refs[1], "ana", "")
    assert not set(brokers.state.scan_iter(f"{brokers.keys.prefix}:*blob*", 1000))


def test_a_restarted_broker_has_everything(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    client = connect(private_broker.url)
    registry = BrokerRegistry(client, "r")
    ref = registry.publish(make_version(tmp_path))
    pointer = registry.promote([ref], 0, "ana", "")
    # With ``everysec`` the server holds back what it has confirmed while a slow disk is at the last second's.
    until(lambda: call(client, "INFO", "persistence")["aof_buffer_length"] == 0, 20)
    private_broker.kill()
    private_broker.restart()
    assert registry.current() == pointer
    assert check_whole(registry, tmp_path / "cache") == [ref]
    client.close()


def test_a_broker_without_memory_refuses_a_version_but_moves_the_pointer(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, persist=True, name="small", maxmemory_bytes=6 << 20) as broker:
        client = connect(broker.url)
        registry = BrokerRegistry(client, "s")
        small = registry.publish(make_version(tmp_path))
        with pytest.raises(BrokerRefusedError) as caught:
            registry.publish(make_version(tmp_path, "c", "classifier"))
        assert caught.value.code == "oom"
        assert [version.ref for version in registry.versions()] == [small]
        assert registry.promote([small], 0, "ana", "").generation == 1
        assert registry.rollback("ana", "").generation == 2
        client.close()


def test_a_generation_is_never_given_out_again(brokers: Brokers, tmp_path: Path) -> None:
    """Not even where the pointer was lost while what can be rolled back to is still there."""
    registry = BrokerRegistry(brokers.state, brokers.keys.prefix)
    ref = registry.publish(make_version(tmp_path))
    for expected in range(3):
        registry.promote([ref], expected, "ana", "")
    call(brokers.state, "DEL", brokers.keys.site("models"))
    assert registry.current().generation == 0
    assert registry.promote([ref], 0, "ana", "").generation == 4


@contextmanager
def no_space_beyond(size: int) -> Iterator[None]:
    """Let writes fail beyond ``size`` bytes of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    small, large = make_version(tmp_path), make_version(tmp_path, "c", "classifier")
    ref = registry.publish(small)
    pointer = registry.promote([ref], 0, "ana", "")
    books = (tmp_path / "registry" / "ledger.json").read_bytes()

    with no_space_beyond(1 << 20), pytest.raises(RegistryUnwritableError):
        registry.publish(large)
    with no_space_beyond(10), pytest.raises(RegistryUnwritableError):
        registry.rollback("ana", "")

    assert registry.current() == pointer
    assert (tmp_path / "registry" / "ledger.json").read_bytes() == books
    assert not list((tmp_path / "registry").rglob(".tmp-*"))
    assert check_whole(registry, tmp_path / "cache") == [ref]
    assert registry.publish(large).kind == "classifier"


def test_a_version_whose_log_entry_finds_no_space_is_not_published(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    made = make_version(tmp_path)
    ledger = Ledger()
    for _ in range(700):
        ledger = ledger.noted("refused", [VersionRef("detector", "x", "0" * 64)], (), Mark("w", "words " * 100, 1.0))
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "ledger.json").write_bytes(ledger.to_bytes())
    assert len(ledger.to_bytes()) > 400_000, "larger than any file of the version"
    with no_space_beyond(400_000), pytest.raises(RegistryUnwritableError):
        registry.publish(made)
    assert registry.versions() == []


def test_a_cache_without_space_leaves_no_half_copy(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    ref = registry.publish(make_version(tmp_path))
    with no_space_beyond(100_000), pytest.raises(RegistryUnwritableError):
        registry.fetch(ref, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    registry.fetch(ref, tmp_path / "cache")


def test_two_processes_that_fetch_into_one_cache_both_get_it(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    ref = registry.publish(make_version(tmp_path))
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(DirectoryRegistry(tmp_path / "registry").fetch(ref, tmp_path / "cache"))
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [tmp_path / "cache" / ref.folder] * 6
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [ref.folder]


def test_a_cache_keeps_the_copies_that_were_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "COPIES_KEPT", 2)
    registry = DirectoryRegistry(tmp_path / "registry")
    refs = [registry.publish(make_version(tmp_path, name)) for name in ("a", "b", "c")]
    (tmp_path / "cache" / "detector-of-somebody-else").mkdir(parents=True)
    for number, ref in enumerate((refs[0], refs[1], refs[0], refs[2])):
        folder = registry.fetch(ref, tmp_path / "cache")
        os.utime(folder, (number, number) if ref != refs[2] else None)
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {refs[0].folder, refs[2].folder, "detector-of-somebody-else"}


def test_a_lock_that_is_never_given_back_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "LOCK_PATIENCE_S", 0.2)
    registry = DirectoryRegistry(tmp_path / "registry")
    ref = registry.publish(make_version(tmp_path))
    with (tmp_path / "registry" / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RegistryUnwritableError, match="another process"):
            registry.promote([ref], 0, "ana", "")
        assert registry.current().generation == 0
    assert registry.promote([ref], 0, "ana", "").generation == 1


def test_a_damaged_ledger_is_not_guessed_around(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    ref = registry.publish(make_version(tmp_path))
    (tmp_path / "registry" / "ledger.json").write_bytes(b'{"pointer": {}')
    with pytest.raises(Exception, match=r"ledger\.json is damaged"):
        registry.promote([ref], 0, "ana", "")


def test_a_registry_folder_can_be_carried_away(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "registry")
    ref = registry.publish(make_version(tmp_path))
    registry.promote([ref], 0, "ana", "")
    shutil.copytree(tmp_path / "registry", tmp_path / "stick")
    copy = DirectoryRegistry(tmp_path / "stick")
    assert copy.current().detector == ref
    assert check_whole(copy, tmp_path / "cache") == [ref]
    with pytest.raises(UnknownVersionError):
        copy.fetch(VersionRef("detector", "8", ref.digest), tmp_path / "cache")
