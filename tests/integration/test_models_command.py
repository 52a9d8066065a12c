"""``maskwatch models`` as people use it: on a state broker and on a folder, by name, with clear words and statuses."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.broker.client import call
from common.broker.models.store import BrokerRegistry
from common.broker.siteinbox import SiteNews
from common.events.model import ModelStatusData
from common.models.manifest import bundled, load_version
from common.models.registry import Rollout, WorkerModels
from maskwatch import cli
from maskwatch.models.cards import compare, tables
from tests.brokers import Brokers
from tests.model_versions import edit_manifest, make_version
from workers.site.state import SiteState
from workers.site.wording import news_event


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def ask(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["maskwatch", "models", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        found = capsys.readouterr()
        return Done(int(ended.value.code or 0), found.out, found.err)

    return ask


@pytest.fixture
def station(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> Brokers:
    """Variables that point the command at the state broker, as an operator would set them."""
    monkeypatch.setenv("MASKWATCH_STATE_URL", _url(brokers))
    monkeypatch.setenv("MASKWATCH_PREFIX", brokers.keys.prefix)
    return brokers


def _url(brokers: Brokers) -> str:
    at: Any = brokers.state
    options = at.connection_pool.connection_kwargs
    return f"redis://:{options['password']}@{options['host']}:{options['port']}/0"


def posted(brokers: Brokers) -> list[SiteNews]:
    entries = call(brokers.state, "XRANGE", brokers.keys.site("in"), "-", "+")
    return [SiteNews.from_bytes(fields[b"n"]) for _, fields in entries]


def test_a_version_goes_into_service_and_out_again(run: Run, station: Brokers, tmp_path: Path) -> None:
    made = make_version(tmp_path, "7")
    done = run("publish", made, "--backend", "openvino", "--by", "ana", "--why", "night")
    assert (done.status, done.err) == (0, "")
    assert "published detector/7" in done.out
    assert "answered by openvino" in done.out
    assert run("list", "--json").data["in_service"] == ["detector/bundled", "classifier/bundled"]

    done = run("promote", "7", "--backend", "openvino", "--by", "ana", "--why", "fewer scarves", "--json")
    assert (done.status, done.data["generation"], done.data["detector"]["version"]) == (0, 1, "7")
    assert "detector/7*" in run("list").out
    done = run("rollback", "--by", "ben", "--why", "worse at noon")
    assert done.out.startswith("generation 2 is in force: detector/bundled, classifier/bundled\n")
    log = run("log", "--json").data
    assert [(one["action"], one["by"]) for one in log] == [
        ("rolled_back", "ben"),
        ("promoted", "ana"),
        ("published", "ana"),
    ]
    assert "worse at noon" in run("log", "--count", "1").out

    news = posted(station)
    assert [one.kind for one in news] == ["maskwatch.model.status.v1"] * 2
    first, second = (ModelStatusData.model_validate(one.data) for one in news)
    assert (first.action, first.generation, first.refs[0].version, first.previous) == ("promoted", 1, "7", [])
    assert (second.action, second.refs, second.previous) == ("rolled_back", [], first.refs)
    assert len({one.id for one in news}) == 2
    event = news_event(SiteState(), "central", news[0])
    assert (event.source, event.subject, event.data) == ("/sites/central", "models", first)


def test_an_unknown_version_is_refused_with_the_nearest_name(run: Run, station: Brokers, tmp_path: Path) -> None:
    BrokerRegistry(station.state, station.keys.prefix).publish(make_version(tmp_path, "winter-2"))
    done = run("promote", "detector/winter-3")
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'detector/winter-2'?" in done.err


def test_the_loser_of_a_race_is_told_who_won(run: Run, station: Brokers, tmp_path: Path) -> None:
    registry = BrokerRegistry(station.state, station.keys.prefix)
    ref = registry.publish(make_version(tmp_path))
    registry.promote([ref], 0, "cleo", "first come")
    done = run("promote", "7", "--expect", "0", "--backend", "openvino")
    assert done.status == 1
    assert "generation 1 is in force, not 0: cleo made it: first come; nothing was changed" in done.err
    assert run("rollback", "--to", "77").status == 2
    assert run("rollback", "--expect", "5").status == 1
    assert registry.current().generation == 1
    assert posted(station) == []


def test_a_version_that_answers_otherwise_is_neither_published_nor_promoted(
    run: Run, station: Brokers, tmp_path: Path
) -> None:
    def liar(old: dict[str, Any]) -> dict[str, Any]:
        old["probe"]["expected"][0][1] += 0.5
        return old

    made = edit_manifest(make_version(tmp_path), liar)
    done = run("publish", made, "--backend", "openvino")
    assert done.status == 1
    assert "the probe's answer is off by" in done.err
    registry = BrokerRegistry(station.state, station.keys.prefix)
    assert registry.versions() == []

    registry.publish(made)  # as somebody would who does not go through this command
    done = run("promote", "7", "--backend", "openvino", "--by", "ana")
    assert done.status == 1
    assert registry.current().generation == 0
    entry = registry.log(1)[0]
    assert (entry.action, entry.by) == ("refused", "ana")
    assert entry.why.startswith("probe: detector/7 on openvino")
    assert [one.data["action"] for one in posted(station)] == ["refused"]
    assert run("verify", "--backend", "openvino").status == 1


def test_a_graph_that_is_none_is_refused(run: Run, tmp_path: Path) -> None:
    made = make_version(tmp_path)
    content = b"no graph at all, but as long as one" * 10

    def promise(old: dict[str, Any]) -> dict[str, Any]:
        from hashlib import sha256

        old["blobs"]["onnx"] |= {"sha256": sha256(content).hexdigest(), "size": len(content)}
        return old

    (made / "model.onnx").write_bytes(content)
    done = run("publish", edit_manifest(made, promise), "--backend", "openvino", "--registry", tmp_path / "reg")
    assert done.status == 1
    assert "detector/7 on openvino" in done.err


def bundled_version() -> str:
    """The detector version that ships with the package."""
    return load_version(bundled("detector"), "detector").manifest.version


def test_show_and_diff_tell_what_differs(run: Run, tmp_path: Path) -> None:
    place = ("--registry", tmp_path / "reg")
    figures = {"val": {"voc853": {"faces": 397, "recall": 0.9366}, "all": {"faces": 899, "recall": 0.95}}}
    made = make_version(tmp_path, "8", thresholds={"score": 0.6, "iou": 0.3}, metrics=figures)
    assert run("publish", made, "--backend", "openvino", *place).status == 0

    shown = run("show", "detector/8", *place).out
    assert "yunet_n, 75,856 parameters" in shown
    assert "voc853    397  0.9366" in shown
    assert run("show", "detector/8", "--json", *place).data["metrics"] == figures
    assert "bundled with this package" in run("show", "detector/bundled", *place).out
    found = run("diff", "8", "--json", *place).data
    assert (found["from"], found["to"]) == (f"detector/{bundled_version()}", "detector/8")
    assert found["settings"]["thresholds"]["to"] == {"score": 0.6, "iou": 0.3}
    assert found["metrics"]["val.voc853.recall"] == {"from": 0.8866, "to": 0.9366}
    assert "val.voc853.recall" in run("diff", "8", *place).out
    assert "+0.05" in run("diff", "8", *place).out
    assert run("diff", "8", f"{made}", *place).out.splitlines()[-1].strip() == "no figures differ"
    done = run("diff", "detector/8", "classifier/bundled", *place)
    assert (done.status, "nothing to compare" in done.err) == (2, True)


def test_figures_are_found_wherever_they_stand() -> None:
    tree = {"temperature": 0.9, "val": {"a": {"n": 1, "r": None}, "b": {"n": 2, "r": 0.5}}, "matrix": [[1, 2]]}
    assert dict(tables(tree)) == {
        "figures": {"temperature": {"value": 0.9}},
        "val": {"a": {"n": 1, "r": None}, "b": {"n": 2, "r": 0.5}},
    }
    assert compare(tree, {**tree, "temperature": 1}) == {"temperature": (0.9, 1.0)}
    assert compare(tree, {}, every=True)["matrix.0.1"] == (2.0, None)


def test_a_version_travels_as_one_file(run: Run, station: Brokers, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    assert run("keygen", tmp_path / "r.key").status == 0
    signed = run("publish", make_version(tmp_path), "--sign", tmp_path / "r.key", "--backend", "openvino")
    assert "signed by" in signed.out
    for name in ("a.zip", "b.zip"):
        assert run("export", "7", "--out", tmp_path / name).status == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    air_gap = ("--registry", tmp_path / "stick")
    assert run("list", *air_gap).status == 2, "a folder that is not there is a slip of the pen"
    assert run("import", tmp_path / "a.zip", "--backend", "openvino", *air_gap).status == 0
    (row,) = run("list", "--json", *air_gap).data["versions"]
    (original,) = run("list", "--json").data["versions"]
    assert (row["ref"], row["signed_by"]) == (original["ref"], original["signed_by"])
    assert row["signed_by"]


@pytest.mark.parametrize("harm", ["path", "absolute", "packed", "twice", "no zip", "cut", "tampered"])
def test_a_file_that_is_no_bundle_is_refused(run: Run, tmp_path: Path, harm: str) -> None:
    place = ("--registry", tmp_path / "reg")
    run("publish", make_version(tmp_path), "--backend", "openvino", *place)
    run("export", "7", "--out", tmp_path / "good.zip", *place)
    with zipfile.ZipFile(tmp_path / "good.zip") as bundle:
        files = [(name, bundle.read(name)) for name in bundle.namelist()]
    packing = zipfile.ZIP_DEFLATED if harm == "packed" else zipfile.ZIP_STORED
    extra = {"path": "../../up.txt", "absolute": "/tmp/up.txt", "twice": "model.onnx"}.get(harm)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", packing) as bundle:
        for name, content in files:
            bundle.writestr(name, content[:-1] + b"x" if (harm, name) == ("tampered", "model.onnx") else content)
        if extra == "model.onnx":
            with pytest.warns(UserWarning, match="Duplicate"):
                bundle.writestr(extra, b"x")
        elif extra:
            bundle.writestr(extra, b"x")
    bad = (tmp_path / "bad.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes({"no zip": b"hello", "cut": bad[:5000]}.get(harm, bad))

    done = run("import", tmp_path / "bad.zip", "--backend", "openvino", "--registry", tmp_path / "other")

    assert (done.status, done.out) == (1, "")
    assert "Traceback" not in done.err
    assert not (tmp_path / "up.txt").exists()
    assert (
        not (tmp_path / "other").exists()
        or run("list", "--json", "--registry", tmp_path / "other").data["versions"] == []
    )


def test_signatures_are_required_where_the_settings_say_so(
    run: Run, station: Brokers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    run("keygen", tmp_path / "ours.key")
    run("keygen", tmp_path / "theirs.key")
    made = make_version(tmp_path)
    monkeypatch.setenv("MASKWATCH_MODELS_TRUSTED_KEYS", f"{tmp_path / 'ours.pub'}")
    monkeypatch.setenv("MASKWATCH_MODELS_REQUIRE_SIGNATURE", "true")
    ask = ("publish", made, "--backend", "openvino")
    assert "not signed" in run(*ask).err
    assert "trusted are" in run(*ask, "--sign", tmp_path / "theirs.key").err
    assert run(*ask, "--sign", tmp_path / "ours.key").status == 0
    assert run("promote", "7", "--backend", "openvino").status == 0
    secret = (tmp_path / "ours.key").read_text("utf-8").splitlines()[1]
    shown = run("log").out + run("list").out + run("show", "7").out
    assert secret not in shown
    monkeypatch.setenv("MASKWATCH_MODELS_TRUSTED_KEYS", "")
    assert run("list").status == 2


def test_workers_are_shown_with_what_they_serve(run: Run, station: Brokers, tmp_path: Path) -> None:
    assert "no worker has reported" in run("workers").out
    registry = BrokerRegistry(station.state, station.keys.prefix)
    ref = registry.publish(make_version(tmp_path))
    registry.promote([ref], 0, "ana", "")
    registry.report("hall-1", WorkerModels(1, ref, None, "openvino-cpu", "serving"))
    registry.report("hall-2", WorkerModels(0, None, None, "openvino-cpu", "loading"))
    shown = run("workers").out
    assert "hall-1  1           detector/7        classifier/bundled  openvino-cpu  serving" in shown
    assert "hall-2  0!" in shown
    found = run("workers", "--json").data
    assert [one["current"] for one in found["workers"].values()] == [True, False]
    registry.set_rollout(Rollout((ref,), "shadow", 0, 1, "trainer", 0.0))
    assert "on trial (shadow): detector/7, by trainer" in run("list").out


def test_retire_keeps_what_is_needed(run: Run, tmp_path: Path) -> None:
    place = ("--registry", tmp_path / "reg")
    run("publish", make_version(tmp_path), "--backend", "openvino", *place)
    run("promote", "7", "--backend", "openvino", *place)
    done = run("retire", "7", *place)
    assert (done.status, "it is in service" in done.err) == (1, True)
    run("publish", make_version(tmp_path, "8"), "--backend", "openvino", *place)
    assert run("retire", "8", *place).status == 0
