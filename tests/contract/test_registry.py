"""What every model registry does, tried on the state broker and in a folder."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.models.store import BrokerRegistry
from common.errors import StaleGenerationError, UnknownVersionError, VersionRefusedError
from common.models.directory import DirectoryRegistry
from common.models.manifest import load_version
from common.models.registry import Pointer, Registry, Rollout, VersionRef, WorkerModels, check_follows
from common.models.retention import DEFAULT_RULES, GENERATIONS_KEPT, RegistryRules
from tests.brokers import fresh_keys
from tests.model_versions import edit_manifest, make_version
from tests.waiting import until

NOBODY = VersionRef("detector", "none", "0" * 64)


@dataclass(frozen=True)
class Place:
    """Where a registry lies, so that several objects can use it as several processes would."""

    folder: Path | None
    url: str
    prefix: str
    stack: ExitStack

    def open(self, rules: RegistryRules = DEFAULT_RULES) -> Registry:
        if self.folder is not None:
            return DirectoryRegistry(self.folder, rules)
        client = connect(self.url)
        self.stack.callback(client.close)
        return BrokerRegistry(client, self.prefix, rules)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A state broker of the other kind."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    broker = EmbeddedBroker(tmp_path_factory.mktemp("redis"), persist=True, name="state")
    broker.program = Path(program)
    with broker:
        yield broker.url


@pytest.fixture(params=["valkey", "redis", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        if request.param == "folder":
            yield Place(tmp_path / "registry", "", "", stack)
        elif request.param == "redis":
            yield Place(None, request.getfixturevalue("redis_url"), fresh_keys().prefix, stack)
        else:
            yield Place(None, request.getfixturevalue("broker_pair").state.url, fresh_keys().prefix, stack)


@pytest.fixture
def registry(place: Place) -> Registry:
    return place.open()


def publish(registry: Registry, folder: Path, *versions: str) -> list[VersionRef]:
    return [registry.publish(make_version(folder, version), "ana", "for a test") for version in versions]


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def test_an_empty_registry_means_the_bundled_release(registry: Registry) -> None:
    assert registry.current() == Pointer()
    assert registry.versions() == []
    assert registry.log(10) == []
    assert registry.rollout() is None
    assert registry.workers() == {}


def test_a_published_version_is_fetched_as_it_was(registry: Registry, tmp_path: Path) -> None:
    made = make_version(tmp_path)
    ref = registry.publish(made, "ana", "first")

    found = registry.fetch(ref, tmp_path / "cache")

    assert found == tmp_path / "cache" / ref.folder
    assert load_version(found, "detector").manifest == load_version(made, "detector").manifest
    assert (found / "README.md").read_bytes() == (made / "README.md").read_bytes()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [ref.folder]
    (summary,) = registry.versions()
    assert (summary.ref, summary.architecture, summary.signed_by) == (ref, "yunet_n", "")
    assert summary.size_bytes > 300_000
    assert registry.manifest(ref).version == "7"
    (entry,) = registry.log(10)
    assert (entry.action, entry.refs, entry.by, entry.why) == ("published", (ref,), "ana", "first")


def test_the_same_content_again_is_the_same_version(registry: Registry, tmp_path: Path) -> None:
    made = make_version(tmp_path)
    ref = registry.publish(made)
    content = json.loads((made / "manifest.json").read_text("utf-8"))
    (made / "manifest.json").write_text(json.dumps(dict(reversed(content.items())), indent=3), "utf-8")

    assert registry.publish(made) == ref
    assert len(registry.versions()) == 1
    assert len(registry.log(10)) == 1


def test_a_name_stands_for_one_content_only(registry: Registry, tmp_path: Path) -> None:
    made = make_version(tmp_path)
    ref = registry.publish(made)
    edit_manifest(made, lambda manifest: manifest | {"command": "another"})

    with pytest.raises(VersionRefusedError, match="other content") as caught:
        registry.publish(made)

    assert caught.value.reason == "taken"
    assert [version.ref for version in registry.versions()] == [ref]


def test_a_good_copy_is_used_again_and_a_damaged_one_replaced(registry: Registry, tmp_path: Path) -> None:
    (ref,) = publish(registry, tmp_path, "7")
    folder = registry.fetch(ref, tmp_path / "cache")
    before = (folder / "model.onnx").stat()
    assert registry.fetch(ref, tmp_path / "cache") == folder
    assert (folder / "model.onnx").stat().st_mtime_ns == before.st_mtime_ns

    (folder / "model.onnx").write_bytes(b"x" * before.st_size)
    registry.fetch(ref, tmp_path / "cache")

    load_version(folder, "detector")


def test_a_version_that_is_not_there_is_not_fetched_or_promoted(registry: Registry, tmp_path: Path) -> None:
    (ref,) = publish(registry, tmp_path, "7")
    other = replace(ref, digest="1" * 64)
    for wanted in (NOBODY, other):
        with pytest.raises(UnknownVersionError):
            registry.fetch(wanted, tmp_path / "cache")
        with pytest.raises(UnknownVersionError):
            registry.promote([wanted], 0, "ana", "")
        with pytest.raises(UnknownVersionError):
            registry.retire(wanted, "ana", "")
    assert registry.current() == Pointer()
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_a_promotion_needs_the_generation_it_was_thought_of(registry: Registry, tmp_path: Path) -> None:
    seven, eight = publish(registry, tmp_path, "7", "8")
    first = registry.promote([seven], 0, "ana", "better at night")

    with pytest.raises(StaleGenerationError, match="ana made it: better at night") as caught:
        registry.promote([eight], 0, "ben", "too late")

    assert caught.value.generation == 1
    assert registry.current() == first
    assert (first.generation, first.detector, first.classifier) == (1, seven, None)
    assert registry.promote([eight], 1, "ben", "again").generation == 2


def test_a_promotion_leaves_the_other_kind_as_it_is(registry: Registry, tmp_path: Path) -> None:
    (seven,) = publish(registry, tmp_path, "7")
    other = registry.publish(make_version(tmp_path, "a", "classifier"))
    registry.promote([seven], 0, "ana", "")

    now = registry.promote([other], 1, "ana", "")

    assert (now.detector, now.classifier) == (seven, other)


def test_a_rollback_is_a_new_generation(registry: Registry, tmp_path: Path) -> None:
    seven, eight = publish(registry, tmp_path, "7", "8")
    registry.promote([seven], 0, "ana", "")
    registry.promote([eight], 1, "ana", "")

    third = registry.rollback("ben", "false alarms")
    fourth = registry.rollback("ben", "all the way", to=0)

    assert (third.generation, third.detector) == (3, seven)
    assert (fourth.generation, fourth.refs) == (4, ())
    assert registry.current() == fourth
    entry = registry.log(1)[0]
    assert (entry.action, entry.refs, entry.previous) == ("rolled_back", (), (seven,))
    with pytest.raises(StaleGenerationError):
        registry.rollback("ben", "", expected=3)
    for wanted in (99, -1):
        with pytest.raises(UnknownVersionError, match="not kept"):
            registry.rollback("ben", "", to=wanted)
    assert registry.current() == fourth


def test_there_is_nothing_to_roll_back_at_first(registry: Registry) -> None:
    with pytest.raises(UnknownVersionError):
        registry.rollback("ben", "")
    assert registry.current() == Pointer()


def test_a_rollout_belongs_to_its_generation(registry: Registry, tmp_path: Path) -> None:
    seven, eight = publish(registry, tmp_path, "7", "8")
    registry.promote([seven], 0, "ana", "")
    trial = Rollout((eight,), "shadow", 0, 1, "trainer", 0.0, "gate passed")
    with pytest.raises(StaleGenerationError):
        registry.set_rollout(replace(trial, base_generation=0))
    with pytest.raises(UnknownVersionError):
        registry.set_rollout(replace(trial, candidate=(NOBODY,)))
    assert registry.rollout() is None

    registry.set_rollout(trial)
    registry.set_rollout(replace(trial, stage="canary", workers=2))
    found = registry.rollout()
    assert found is not None
    assert replace(found, at_s=0.0) == replace(trial, stage="canary", workers=2)
    assert found.at_s > 0

    registry.promote([eight], 1, "trainer", "canary went well")

    assert registry.rollout() is None
    actions = [entry.action for entry in reversed(registry.log(20))]
    assert actions == ["published"] * 2 + ["promoted", *["rollout_started"] * 2, "rollout_ended", "promoted"]


def test_a_rollout_can_be_called_off(registry: Registry, tmp_path: Path) -> None:
    (seven,) = publish(registry, tmp_path, "7")
    registry.set_rollout(Rollout((seven,), "shadow", 0, 0, "trainer", 0.0))
    registry.set_rollout(None, "ana", "worse at the north gate")
    registry.set_rollout(None, "ana", "twice is nothing new")

    assert registry.rollout() is None
    entry, started = registry.log(2)
    assert (entry.action, entry.by, entry.why) == ("rollout_ended", "ana", "worse at the north gate")
    assert started.action == "rollout_started"


def test_a_refusal_is_logged_and_changes_nothing(registry: Registry, tmp_path: Path) -> None:
    (seven,) = publish(registry, tmp_path, "7")
    registry.promote([seven], 0, "ana", "")
    registry.refused([seven], "infer-3", "probe: off by 0.2")

    entry = registry.log(1)[0]
    assert (entry.action, entry.refs, entry.by, entry.generation) == ("refused", (seven,), "infer-3", 1)
    assert registry.current().generation == 1


def test_workers_are_listed_while_they_report(place: Place) -> None:
    registry = place.open(RegistryRules(report_ttl_s=1.0))
    said = WorkerModels(4, NOBODY, None, "openvino-cpu", "serving")
    registry.report("hall-1", said)
    found = registry.workers()["hall-1"]

    assert replace(found, at_s=0.0) == said
    assert found.at_s > 0
    until(lambda: not registry.workers(), 5)


def test_what_somebody_may_need_is_kept(place: Place, tmp_path: Path) -> None:
    registry = place.open(RegistryRules(keep=1000, report_ttl_s=30))
    refs = publish(registry, tmp_path, *(f"v{number}" for number in range(7)))
    registry.promote([refs[0]], 0, "ana", "")
    registry.promote([refs[1]], 1, "ana", "")
    registry.set_rollout(Rollout((refs[2],), "shadow", 0, 2, "ana", 0.0))
    registry.report("w", WorkerModels(1, refs[3], None, "b", "serving"))

    gone = registry.delete_unused(1)

    assert gone == [refs[5], refs[4]]
    assert [version.ref for version in registry.versions()] == [refs[6], *refs[3::-1]]
    for ref, words in zip(refs, ("rollback to generation 1", "in service", "on trial", "worker w"), strict=False):
        with pytest.raises(VersionRefusedError, match=words) as caught:
            registry.retire(ref, "ana", "")
        assert caught.value.reason == "needed"
        registry.fetch(ref, tmp_path / "cache")
    with pytest.raises(UnknownVersionError):
        registry.fetch(refs[4], tmp_path / "cache")
    registry.retire(refs[6], "ana", "a mistake")
    assert registry.log(1)[0].action == "retired"


def test_publishing_keeps_the_number_of_versions_within_bounds(place: Place, tmp_path: Path) -> None:
    registry = place.open(RegistryRules(keep=3))
    refs = publish(registry, tmp_path, "a", "b", "c", "d", "e")
    assert [version.ref for version in registry.versions()] == refs[:1:-1]


def test_generations_are_kept_in_bounds_and_free_their_versions(registry: Registry, tmp_path: Path) -> None:
    old, new = publish(registry, tmp_path, "old", "new")
    registry.promote([old], 0, "ana", "")
    for number in range(GENERATIONS_KEPT):
        assert registry.promote([new], 1 + number, "ana", "").generation == 2 + number
    registry.retire(old, "ana", "")
    with pytest.raises(UnknownVersionError):
        registry.rollback("ana", "", to=1)
    assert registry.rollback("ana", "", to=2).detector == new


def test_two_promoters_and_a_rollback_have_one_winner_each_round(place: Place, tmp_path: Path) -> None:
    """100 rounds: each generation was made once, every loser was told by whom, and the log has all of it in order."""
    seven, eight = publish(place.open(), tmp_path, "7", "8")
    racers = {"ana": place.open(), "ben": place.open(), "cleo": place.open()}
    wins: list[tuple[int, str]] = []
    told: list[tuple[int, str]] = []
    rounds = threading.Barrier(len(racers))

    def race(name: str, registry: Registry) -> None:
        for _ in range(100):
            rounds.wait(30)
            at = registry.current().generation
            rounds.wait(30)
            try:
                if name == "cleo":
                    won = registry.rollback(name, "race", to=0, expected=at)
                else:
                    won = registry.promote([seven if name == "ana" else eight], at, name, "race")
            except StaleGenerationError as error:
                told.append((error.generation, error.by))
            else:
                wins.append((won.generation, name))

    threads = [threading.Thread(target=race, args=pair) for pair in racers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)

    assert [generation for generation, _ in sorted(wins)] == list(range(1, 101))
    assert sorted(told) == sorted([win for win in wins for _ in range(2)])
    moves = [entry for entry in reversed(place.open().log(1000)) if entry.action in ("promoted", "rolled_back")]
    assert [(entry.generation, entry.by) for entry in moves] == sorted(wins)
    for before, after in itertools.pairwise(moves):
        assert after.previous == before.refs


def test_an_old_copy_of_the_pointer_is_not_followed(registry: Registry, tmp_path: Path) -> None:
    (seven,) = publish(registry, tmp_path, "7")
    old, new = registry.current(), registry.promote([seven], 0, "ana", "")
    check_follows(0, new)
    check_follows(1, new)
    with pytest.raises(StaleGenerationError):
        check_follows(1, old)


def test_harm_done_to_a_stored_version_is_found(place: Place, tmp_path: Path) -> None:
    registry = place.open()
    (ref,) = publish(registry, tmp_path, "7")
    if place.folder is not None:
        path = place.folder / "versions" / "detector" / "7" / "weights.safetensors"
        path.write_bytes(flipped(path.read_bytes()))
    else:
        client = connect(place.url)
        place.stack.callback(client.close)
        manifest = json.loads((tmp_path / "detector-7-made" / "manifest.json").read_text("utf-8"))
        key = f"{place.prefix}:{{site}}:models:blob:{manifest['blobs']['safetensors']['sha256']}"
        call(client, "HSET", key, 0, flipped(call(client, "HGET", key, 0)))

    with pytest.raises(VersionRefusedError) as caught:
        registry.fetch(ref, tmp_path / "cache")

    assert caught.value.reason == "hash"
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_versions_that_share_a_file_do_not_lose_it(registry: Registry, tmp_path: Path) -> None:
    one, two = publish(registry, tmp_path, "7", "8")
    registry.retire(one, "ana", "")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    load_version(registry.fetch(two, tmp_path / "cache"), "detector")
