"""Versions that are damaged, foreign or hostile: refused with a reason, while what serves goes on."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.models.blobs import CHUNK_BYTES
from common.models.manifest import bundled, read_manifest
from common.models.registry import LogEntry, VersionRef
from common.schema import Outcome
from tests.brokers import Brokers
from tests.hotswap_site import Models, account, traffic, versions_of
from tests.infer_site import Site
from tests.model_versions import edit_manifest, make_version
from tests.waiting import until

CAMERAS = ("east", "west")


@pytest.fixture
def site(brokers: Brokers, broker_pair: EmbeddedPair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(brokers, broker_pair, tmp_path_factory.getbasetemp())
    made.plan(*CAMERAS)
    return made


@pytest.fixture
def models(site: Site, tmp_path: Path) -> Models:
    return Models(site, tmp_path)


def with_header(data: bytes, change: Callable[[dict[str, object]], dict[str, object]]) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(change(json.loads(data[8 : 8 + length]))).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def flipped(data: bytes) -> bytes:
    harmed = bytearray(data)
    harmed[len(data) // 2] ^= 0x40
    return bytes(harmed)


def many_tensors(data: bytes) -> bytes:
    entry = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
    return with_header(data, lambda _: {f"t{number}": entry for number in range(200_000)})


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": flipped,
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "a pickle renamed": lambda _: pickle.dumps({"weights": [1.0]}),
    "a renamed tensor": lambda data: with_header(data, lambda header: {f"{name}x": header[name] for name in header}),
    "a huge header": lambda data: struct.pack("<Q", 1 << 40) + data[8:],
    "two hundred thousand tensors": many_tensors,
}


def damage(site: Site, change: Callable[[bytes], bytes]) -> None:
    """Replace the stored weights of the bundled detector, which all versions of this test share."""
    blob = read_manifest(bundled("detector") / "manifest.json").blobs["safetensors"]
    content = change((bundled("detector") / blob.file).read_bytes())
    key = site.brokers.keys.site(f"models:blob:{blob.sha256}")
    call(site.brokers.state, "DEL", key)
    for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
        call(site.brokers.state, "HSET", key, number, content[start : start + CHUNK_BYTES])
    if not content:
        call(site.brokers.state, "HSET", key, 0, b"")


def refusal(models: Models, generation: int) -> str:
    """Wait until the worker refused a generation, and give its reason by the registry's log."""

    def entry() -> LogEntry | None:
        entries = models.registry.log(50)
        return next((one for one in entries if (one.action, one.generation) == ("refused", generation)), None)

    return until(entry, 60).why.split(":")[0]  # type: ignore[union-attr]


def test_whatever_lies_in_the_registry_in_place_of_weights_is_refused_by_its_hash(site: Site, models: Models) -> None:
    """And once it is whole again, a new promotion is served."""
    with site.worker(), traffic(site, CAMERAS):
        models.wait_generation(0)
        for number, (name, change) in enumerate(DAMAGES.items(), 1):
            ref = models.version(f"d{number}")
            damage(site, change)
            models.promote(ref)
            assert refusal(models, number) == ("files" if name == "empty" else "hash"), name
            assert {w.generation for w in models.workers().values()} == {0}
        damage(site, lambda data: data)
        generation = models.promote(models.version("good")).generation
        models.wait_generation(generation)
    results = account(site, CAMERAS)
    assert {result.outcome for result in results} <= {Outcome.OK, Outcome.SKIPPED}  # a busy machine may skip some
    own = read_manifest(bundled("detector") / "manifest.json").version
    assert {detector for detector, _ in versions_of(results)} <= {own, "good"}


def replaced_graph(folder: Path, content: bytes) -> Path:
    (folder / "model.onnx").write_bytes(content)
    promised = {"file": "model.onnx", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return edit_manifest(folder, lambda old: old | {"blobs": old["blobs"] | {"onnx": promised}})


def graph_with_nan(folder: Path) -> bytes:
    model = onnx.load(folder / "model.onnx")
    weights = max(model.graph.initializer, key=lambda one: int(np.prod(one.dims)))
    values = numpy_helper.to_array(weights).copy()
    values.flat[7] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    return bytes(model.SerializeToString())


def made_wrong(models: Models, name: str) -> VersionRef:
    folder = make_version(models.folder, name)
    if name == "nan":
        replaced_graph(folder, graph_with_nan(folder))
    elif name == "no-graph":
        replaced_graph(folder, b"\x80\x04 this is no graph at all" * 20)
    elif name == "other-kind":
        replaced_graph(folder, (bundled("classifier") / "model.onnx").read_bytes())
    else:
        probe = json.loads((folder / "manifest.json").read_text("utf-8"))["probe"]
        expected = [[value + 5 for value in row] for row in probe["expected"]]
        edit_manifest(folder, lambda old: old | {"probe": probe | {"expected": expected}})
    return models.registry.publish(folder, "test")


def test_networks_that_do_not_compute_what_their_manifest_says_never_serve(site: Site, models: Models) -> None:
    reasons = {"nan": {"manifest"}, "no-graph": {"manifest"}, "other-kind": {"probe", "failed", "manifest"}}
    reasons["other-answers"] = {"probe"}
    with site.worker(), traffic(site, CAMERAS):
        models.wait_generation(0)
        for number, (name, expected) in enumerate(reasons.items(), 1):
            models.promote(made_wrong(models, name))
            assert refusal(models, number) in expected, name
        assert {w.generation for w in models.workers().values()} == {0}
    results = account(site, CAMERAS)
    assert {result.outcome for result in results} <= {Outcome.OK, Outcome.SKIPPED}  # a busy machine may skip some
    assert len(versions_of(results)) == 1


def test_a_candidate_that_kills_its_process_harms_nobody(site: Site, models: Models) -> None:
    """The backend of this test kills its process on any network that is not the bundled one."""
    with site.worker(backend="tests.infer_backends:killing_on_candidates"), traffic(site, CAMERAS):
        models.wait_generation(0)
        models.promote(models.version("d1"))
        assert refusal(models, 1) == "killed"
    account(site, CAMERAS)
