"""Versions change while frames are looked at: nothing is lost, doubled or mixed."""

from __future__ import annotations

import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.models.shadowreports import ShadowReports
from common.errors import StaleGenerationError
from common.metrics import CollectorRegistry
from common.models.manifest import bundled, load_version
from common.models.registry import Rollout, VersionRef
from common.schema import Outcome
from common.settings import ModelsSettings
from tests.brokers import Brokers
from tests.hotswap_site import Models, account, traffic, versions_of
from tests.infer_site import Site, wait_finished
from tests.waiting import until
from workers.infer.metrics import InferMetrics
from workers.infer.versions.models import opened_models

OWN = tuple(load_version(bundled(kind), kind).manifest.version for kind in ("detector", "classifier"))
CAMERAS = ("east", "west")


@pytest.fixture
def site(brokers: Brokers, broker_pair: EmbeddedPair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(brokers, broker_pair, tmp_path_factory.getbasetemp())
    made.plan(*CAMERAS)
    return made


@pytest.fixture
def models(site: Site, tmp_path: Path) -> Models:
    return Models(site, tmp_path)


def made_by(site: Site) -> list[tuple[str, str]]:
    return versions_of([result for camera in CAMERAS for result in site.results(camera)])


def wait_made_by(site: Site, version: str) -> None:
    until(lambda: version in made_by(site)[-1], 10)


def test_five_swaps_under_load_lose_and_double_nothing(site: Site, models: Models) -> None:
    refs = [models.version("d1"), models.version("c1", "classifier"), models.version("d2")]
    refs.append(models.version("c2", "classifier"))
    with site.worker(), traffic(site, CAMERAS):
        models.wait_generation(0)
        for number, ref in enumerate(refs, 1):
            models.promote(ref)
            models.wait_generation(number)
            wait_made_by(site, ref.version)
        models.registry.rollback("test", "", to=1)
        models.wait_generation(5)
        until(lambda: made_by(site)[-1] == ("d1", OWN[1]), 10)
    results = account(site, CAMERAS)
    assert {r.outcome for r in results} <= {Outcome.OK, Outcome.SKIPPED}
    assert versions_of(results) == [OWN, ("d1", OWN[1]), ("d1", "c1"), ("d2", "c1"), ("d2", "c2"), ("d1", OWN[1])]


def test_networks_of_another_size_take_over_and_give_way_again(site: Site, models: Models) -> None:
    """Both kinds at once, the classifier with crops of 64 px."""
    small = _small_classifier(models)
    with site.worker(), traffic(site, CAMERAS):
        models.wait_generation(0)
        models.promote(models.version("d1"), small)
        models.wait_generation(1)
        until(lambda: made_by(site)[-1] == ("d1", "small"), 10)
        models.registry.rollback("test", "", to=0)
        models.wait_generation(2)
        until(lambda: made_by(site)[-1] == OWN, 10)
    assert versions_of(account(site, CAMERAS)) == [OWN, ("d1", "small"), OWN]


def _small_classifier(models: Models) -> VersionRef:
    from common.models.networks import build_classifier
    from trainer.release.version import ReleaseNotes, release_classifier

    notes = ReleaseNotes("small", "2026-01-01T00:00:00Z", "a test")
    facts = {
        "architecture": "mobilenet_v2",
        "side": 64,
        "margin": 0.1,
        "temperature": 1.0,
        "dense": 128,
        "dropout": 0.5,
    }
    release_classifier(build_classifier().eval(), models.folder / "small", notes, **facts)
    return models.registry.publish(models.folder / "small", "test")


def test_metrics_name_what_serves_and_nothing_else(site: Site, models: Models) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    def samples() -> dict[str, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    with site.worker(site.connection(metrics_port=port)):
        models.wait_generation(0)
        models.promote(models.version("d1"))
        models.wait_generation(1)
        found = samples()
    assert found["maskwatch_model_generation"] == "1.0"
    assert found["maskwatch_model_swaps_total"] == "1.0"
    shown = sorted(name for name in found if name.startswith("maskwatch_model_info"))
    assert len(shown) == 2
    assert sum('kind="classifier"' in name for name in shown) == 1
    assert sum('version="d1"' in name for name in shown) == 1


def test_two_processes_end_on_one_generation_after_a_hundred_races(site: Site, models: Models) -> None:
    """Two people promote and roll back at once; one wins each round, and nobody is left behind."""
    refs = [models.version("d1"), models.version("d2")]

    def push(number: int) -> None:
        registry = models.registry
        for round_ in range(50):
            generation = registry.current().generation
            try:
                if round_ % 5 == 4 and generation:
                    registry.rollback(f"p{number}", "", expected=generation)
                else:
                    registry.promote([refs[(round_ + number) % 2]], generation, f"p{number}", "")
            except StaleGenerationError as error:
                lost.append(error.by)

    lost: list[str] = []
    with site.process(name="one", block_s=0.2), site.process(name="two", block_s=0.2), traffic(site, CAMERAS, 3):
        models.wait_generation(0, 2, 60)
        threads = [threading.Thread(target=push, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        final = models.registry.current()
        assert final.generation == 100 - len(lost)
        models.wait_generation(final.generation, 2, 60)
        assert {w.detector for w in models.workers().values()} == {final.detector}
        later = {camera: site.published[camera] for camera in CAMERAS}
        until(lambda: all(site.published[camera] > later[camera] + 2 for camera in CAMERAS), 20)
    results = [result for result in account(site, CAMERAS) if result.seq >= later[result.camera]]
    assert final.detector is not None
    assert versions_of(results) == [(final.detector.version, OWN[1])]


def test_a_pointer_that_goes_back_is_not_followed(site: Site, models: Models) -> None:
    """As a broker would show it that was restored from an old copy."""
    with site.worker():
        models.wait_generation(0)
        models.promote(models.version("d1"))
        models.promote(models.version("d2"))
        models.wait_generation(2)
        call(site.brokers.state, "DEL", site.brokers.keys.site("models"))
        models.wait_state("ahead")
        site.publish("east")
        wait_finished(site, "east")
    assert made_by(site) == [("d2", OWN[1])]


def test_with_the_registry_away_a_worker_starts_with_what_it_served_last(
    site: Site, models: Models, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with site.worker(model_cache=cache):
        models.wait_generation(0)
        models.promote(models.version("d1"))
        models.wait_generation(1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        away = site.connection().model_copy(update={"state_url": nowhere})
        for folder, expected in ((cache, (1, "d1")), (tmp_path / "empty", (0, OWN[0]))):
            settings = site.settings(model_cache=folder)
            with opened_models(ModelsSettings(), away, settings, InferMetrics(CollectorRegistry())) as opened:
                served = opened.serving.current
                opened.serving.close()
            assert (served.choice.generation, served.signature.detector.version) == expected


def test_a_restarted_worker_begins_with_the_promoted_version(site: Site, models: Models) -> None:
    models.promote(models.version("d1"))
    site.publish("east")
    with site.worker():
        wait_finished(site, "east")
    assert made_by(site) == [("d1", OWN[1])]


def test_a_candidate_in_the_shadow_is_compared_and_never_heard(site: Site, models: Models) -> None:
    """Its threshold is so low that it sees faces where there are none."""
    eager = models.version("eager", thresholds={"score": 0.01, "iou": 0.3})
    rollout = Rollout((eager,), "shadow", 0, 0, "test", 5.0)
    reports = ShadowReports(site.brokers.state, site.brokers.keys.prefix)
    with site.worker(max_wait_s=0.0), traffic(site, CAMERAS, 10):
        models.wait_generation(0)
        models.registry.set_rollout(rollout)
        models.wait_state("shadow")
        stored = models.registry.rollout()
        assert stored is not None
        report = until(lambda: next((r for r in reports.of(stored) if r.frames > 10), None), 40)
        assert report is not None
        models.registry.set_rollout(None)
        models.wait_state("serving")
    assert report.agreed + sum(report.disagreed.values()) >= report.frames > report.agreed
    assert set(report.disagreed) == {"extra"}
    assert report.faces_candidate > report.faces_base == 0
    assert report.cost_ratio is not None
    assert 0.3 < report.cost_ratio < 3
    assert set(versions_of(account(site, CAMERAS))) == {OWN}


def test_a_canary_serves_on_one_worker_until_it_is_called_off(site: Site, models: Models) -> None:
    with site.worker(name="one"), site.worker(name="two"), traffic(site, CAMERAS):
        models.wait_generation(0, 2)
        models.registry.set_rollout(Rollout((models.version("d1"),), "canary", 1, 0, "test", 5.0))
        models.wait_state("canary")
        until(lambda: "d1" in _by_worker(site).get("one", ()), 30)
        until(lambda: _by_worker(site).get("two") == {OWN[0]}, 10)
        assert models.workers()["two"].state == "serving"
        models.registry.set_rollout(None)
        until(lambda: {w.state for w in models.workers().values()} == {"serving"}, 30)
        assert models.workers()["one"].detector is None
    account(site, CAMERAS)


def _by_worker(site: Site) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for camera in CAMERAS:
        for result in site.results(camera):
            if result.detector:
                found.setdefault(result.worker, set()).add(result.detector.version)
    return found
