"""What serves, what ought to, and what a comparison counts: no broker, no process."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from common.models.manifest import bundled
from common.models.registry import Pointer, Rollout, VersionRef
from common.models.rollout_report import ShadowReport, merged
from tests.waiting import until
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.backends.compiled import MOST_BYTES, CompiledCache
from workers.infer.settings import InferSettings
from workers.infer.versions.comparison import Comparison
from workers.infer.versions.loader import Loader
from workers.infer.versions.models import model_cache
from workers.infer.versions.remembrance import Remembrance
from workers.infer.versions.rollout import wanted
from workers.infer.versions.serving import Choice, Serving
from workers.infer.vision.face import Face
from workers.infer.vision.timing import no_timer

D1, D2 = VersionRef("detector", "d1", "1" * 64), VersionRef("detector", "d2", "2" * 64)
C1, C2 = VersionRef("classifier", "c1", "3" * 64), VersionRef("classifier", "c2", "4" * 64)
POINTER = Pointer(4, D1, C1)


def a_rollout(stage: str = "shadow", workers: int = 1, base: int = 4) -> Rollout:
    return Rollout((C2,), stage, workers, base, "test", 100.0)  # type: ignore[arg-type]


def test_without_a_rollout_everybody_serves_the_pointer() -> None:
    assert wanted(POINTER, None, "b", ["a"]).serve == Choice(4, D1, C1)


def test_a_shadow_is_computed_beside_what_serves() -> None:
    want = wanted(POINTER, a_rollout(), "b", ["a"])
    assert (want.serve, want.shadow) == (Choice(4, D1, C1), Choice(4, D1, C2, "canary"))


def test_the_first_workers_by_name_serve_a_canary_and_nobody_else_does() -> None:
    served = {
        name: wanted(POINTER, a_rollout("canary", 2), name, ["a", "c", "b"]).serve for name in ("a", "b", "c", "d")
    }
    assert {name for name, choice in served.items() if choice.stage == "canary"} == {"a", "b"}
    assert served["a"].classifier == C2
    assert served["c"] == Choice(4, D1, C1)


def test_a_rollout_of_another_generation_is_passed_over() -> None:
    assert wanted(POINTER, a_rollout("canary", base=3), "a", []).serve == Choice(4, D1, C1)
    assert wanted(POINTER, a_rollout(base=5), "a", []).shadow is None


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    settings = InferSettings(backend="openvino", cache_dir=tmp_path_factory.getbasetemp() / "openvino", batch_size=1)
    return Loader(settings, no_timer)


def test_a_batch_keeps_its_networks_until_it_is_done(loader: Loader) -> None:
    first, second = loader.own(1), loader.own(2)
    serving = Serving(first)
    picture = np.zeros((96, 128, 3), np.uint8)
    swapped = threading.Event()

    def swap() -> None:
        serving.swap(second)
        swapped.set()

    with serving.batch() as served:
        threading.Thread(target=swap).start()
        until(lambda: serving.current is second, 5)
        with serving.batch() as later:
            assert later is second
        assert served is first
        assert not swapped.wait(0.1)
        served.pipeline.read([picture])
    assert swapped.wait(5)
    serving.close()


def test_what_served_is_remembered_per_installation(tmp_path: Path) -> None:
    Remembrance(tmp_path, "mw").save(Choice(7, D1, None))
    assert Remembrance(tmp_path, "mw").load() == Choice(7, D1, None)
    assert Remembrance(tmp_path, "other").load() is None
    (tmp_path / "last-mw.json").write_text("{}")
    assert Remembrance(tmp_path, "mw").load() is None
    (tmp_path / "file").touch()
    Remembrance(tmp_path / "file" / "below", "mw").save(Choice(7))


def test_copies_that_nobody_used_for_a_day_are_removed(tmp_path: Path) -> None:
    for ref in (D1, D2):
        (tmp_path / ref.folder).mkdir()
        (tmp_path / ref.folder / "manifest.json").touch()
        os.utime(tmp_path / ref.folder, (1000, 1000))
    Remembrance(tmp_path, "mw").save(Choice(1, D1))
    Remembrance(tmp_path, "mw").tidy(Choice(1, D1), 1000 + 86_399)
    assert (tmp_path / D2.folder).is_dir()
    Remembrance(tmp_path, "mw").tidy(Choice(1, D1), 1000 + 86_401)
    assert (tmp_path / D1.folder).is_dir()
    assert not (tmp_path / D2.folder).exists()
    assert Remembrance(tmp_path, "mw").load() == Choice(1, D1)


def test_what_a_killed_worker_left_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("maskwatch-models-old", "maskwatch-models-live", "somebody-else"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.utime(tmp_path / name, (1000, 1000))
    Remembrance(tmp_path / "maskwatch-models-live", "mw").tidy(Choice(), time.time())
    with model_cache(None) as made:
        assert made.parent == tmp_path
        assert {path.name for path in tmp_path.iterdir()} == {"maskwatch-models-live", "somebody-else", made.name}
    assert not made.exists()


def a_face(label: int = 0, x: float = 0.0, probability: float = 0.9, size: float = 40.0) -> Face:
    rest = (1 - probability) / 2
    chances = tuple(probability if index == label else rest for index in range(3))
    return Face((x, 0.0, x + size, size), 0.9, chances, (), 100.0)  # type: ignore[arg-type]


def test_frames_agree_when_faces_and_labels_do() -> None:
    comparison = Comparison()
    assert comparison.add("a", [a_face(), a_face(1, 100)], [a_face(1, 102), a_face()])
    assert comparison.add("a", [a_face(size=10)], [])  # too small to vote
    assert not comparison.add("a", [a_face(0)], [a_face(1)])
    assert not comparison.add("a", [a_face(0)], [a_face(0, probability=0.5)])
    assert not comparison.add("a", [a_face(0)], [a_face(0), a_face(0, 100)])
    assert not comparison.add("a", [a_face(0)], [])
    tally = comparison.tally
    assert (tally.frames, tally.agreed) == (6, 2)
    assert tally.disagreed == {"mask>no_mask": 1, "mask>undetermined": 1, "extra": 1, "missing": 1}
    assert (tally.undetermined_base, tally.undetermined_candidate) == (0, 1)


def test_a_violation_that_only_one_side_would_raise_is_counted_once() -> None:
    comparison = Comparison()
    bare, masked = [a_face(1)], [a_face(0)]
    for base, candidate in [(bare, masked)] * 4 + [(masked, masked)] * 5 + [(bare, bare)] * 3 + [([], [])] * 5:
        comparison.add("a", base, candidate)
    tally = comparison.tally
    assert (tally.violations_base, tally.violations_candidate, tally.violations_both) == (1, 0, 1)


def test_two_bare_frames_are_no_violation() -> None:
    comparison = Comparison()
    for faces in ([a_face(1)], [a_face(1)], [], [], [], [], []):
        comparison.add("a", faces, [])
    assert comparison.tally.violations_base == 0


def test_reports_of_several_workers_add_up() -> None:
    made = [
        ShadowReport(
            worker=name, base_generation=4, candidate=("classifier/c2",), started_at=1, at_s=2,
            frames=10, agreed=9, disagreed={"extra": 1}, cost_ratio=ratio,
        )
        for name, ratio in (("a", 1.0), ("b", 3.0))
    ]  # fmt: skip
    total = merged(made)
    assert total is not None
    assert (total.frames, total.agreement, total.disagreed, total.cost_ratio) == (20, 0.9, {"extra": 2}, 2.0)
    assert merged([]) is None


def test_a_compiled_network_that_was_damaged_on_disk_is_not_found(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path, "this machine")
    cache.put("key", b"network" * 100)
    assert cache.get("key") == b"network" * 100
    assert CompiledCache(tmp_path, "another machine").get("key") is None
    (file,) = tmp_path.glob("*.net")
    data = bytearray(file.read_bytes())
    data[300] ^= 1
    file.write_bytes(data)
    assert cache.get("key") is None
    file.write_bytes(data[:100])
    assert cache.get("key") is None


def test_a_folder_of_compiled_networks_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.backends.compiled.MOST_BYTES", 1000)
    cache = CompiledCache(tmp_path, "")
    for number in range(20):
        cache.put(str(number), bytes(200))
    assert sum(file.stat().st_size for file in tmp_path.glob("*.net")) <= 1000 + 32
    assert cache.get("19") is not None
    assert MOST_BYTES > 100 << 20


def test_a_start_loads_what_is_kept_compiled_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, options = load_models(), BackendOptions("cpu", 1, tmp_path, load_late=True)
    picture = np.full((1, 192, 320, 3), 90, np.uint8)
    first = open_backend("openvino", *models, options)
    first.warm_up([(320, 192)], 1)
    kept, answer = sorted(tmp_path.glob("*.net")), first.detect(picture)
    first.close()
    asked: list[str] = []
    get = CompiledCache.get

    def noted(cache: CompiledCache, key: str) -> bytes | None:
        asked.append(key)
        return get(cache, key)

    monkeypatch.setattr(CompiledCache, "get", noted)
    again = open_backend("openvino", *models, options)
    asked.clear()
    again.warm_up([(320, 192)], 1)
    assert not asked
    assert np.array_equal(again.detect(picture), answer)
    assert len(asked) == 1
    again.warm_up([(640, 384)], 1)  # compiled now: not kept from before
    assert len(sorted(tmp_path.glob("*.net"))) == len(kept) + 1
    again.close()


def test_damaged_compiled_networks_never_stop_a_start(tmp_path: Path) -> None:
    models, options = load_models(bundled("detector"), bundled("classifier")), BackendOptions("cpu", 0, tmp_path)
    open_backend("openvino", *models, options).close()
    kept = sorted(tmp_path.glob("*.net"))
    assert kept
    for file in kept:
        file.write_bytes(b"junk")
    open_backend("openvino", *models, options).close()
    assert all(file.stat().st_size > 1000 for file in kept)
