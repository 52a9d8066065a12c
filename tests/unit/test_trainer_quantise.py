"""A version gets ranges, measured on training pictures, and stays the same version otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest
import torch
from typer.testing import CliRunner

from common.models.manifest import Manifest, bundled, load_version
from producers.scene import SceneCamera
from trainer.cli import app
from trainer.release import shown
from trainer.release.ranges import measure_ranges, with_ranges
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.backends.openvino_backend import OpenVinoBackend
from workers.backends.openvino_eight_bits import ranges_of

CORE = openvino.Core()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def hall(folder: Path, count: int = 6) -> Path:
    """A data set of people in a hall, three training pictures of four."""
    lines = []
    for number in range(count):
        scene = SceneCamera(f"quantise-{number}", 0, (640, 360))
        seconds = next(float(t) for t in np.arange(1, 60, 0.5) if sum(f.visible for f in scene.faces(float(t))) > 1)
        cv2.imwrite(str(folder / f"{number}.png"), scene.frame(seconds))
        faces = [{"box": list(face.box), "label": "mask"} for face in scene.faces(seconds) if face.visible]
        lines.append({"file": f"{number}.png", "source": "hall", "group": number, "faces": faces,
                      "split": "val" if number % 4 == 3 else "train"})  # fmt: skip
    (folder / "faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["quantise", *map(str, words)])
    return done.exit_code, done.output


def test_ranges_are_the_least_and_the_most_that_was_read() -> None:
    version = load_version(bundled("classifier"), "classifier")
    data = version.read("quick")
    crops = np.random.default_rng(1).integers(0, 256, (2, 4, 96, 96, 3), np.uint8)
    crops[0] = 0
    ranges = measure_ranges(data, list(crops))
    assert len(ranges) == 10
    assert next(iter(ranges.values())) == pytest.approx((-1.0, 1.0), abs=0.01)
    assert all(low == 0 < high for low, high in list(ranges.values())[1:])  # what rectifiers leave
    alone = [measure_ranges(data, [batch]) for batch in crops]
    assert ranges == {name: (min(one[name][0] for one in alone), max(one[name][1] for one in alone)) for name in ranges}
    held = CORE.read_model(with_ranges(with_ranges(data, {"old": (0.0, 1.0)}), ranges))
    assert ranges_of(held).keys() == ranges.keys()


@pytest.mark.parametrize(("kind", "names"), [("detector", ["glance"]), ("classifier", ["onnx", "quick"])])
def test_a_version_gets_ranges_and_answers_nearly_the_same(tmp_path: Path, kind: str, names: list[str]) -> None:
    folder, into = bundled(kind), tmp_path / "version"  # type: ignore[arg-type]
    code, output = run("--of", folder, "--scenes", hall(tmp_path), "--version", "9", "--into", into)
    assert code == 0, output
    before, after = load_version(folder, kind), load_version(into, kind)  # type: ignore[arg-type]
    assert after.manifest.version == "9"
    assert after.read("safetensors") == before.read("safetensors")
    for name in names:
        held = ranges_of(CORE.read_model(after.read(name)))  # type: ignore[arg-type]
        assert held
        assert held != ranges_of(CORE.read_model(before.read(name)))  # type: ignore[arg-type]
    assert after.manifest.model_dump(exclude=CHANGED) == before.manifest.model_dump(exclude=CHANGED)
    models = load_models(into, None) if kind == "detector" else load_models(None, into)
    backend = open_backend("openvino", *models, BackendOptions(threads=1, eight_bits="on"))
    assert isinstance(backend, OpenVinoBackend)  # and its probes were answered
    assert backend.name.endswith("-int8")


CHANGED = {"version", "created", "command", "blobs", "metrics"} & set(Manifest.model_fields)


def test_a_detector_without_a_glance_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    manifest = json.loads((bundled("detector") / "manifest.json").read_bytes())
    del manifest["blobs"]["glance"], manifest["glance"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for blob in manifest["blobs"].values():
        (folder / blob["file"]).write_bytes((bundled("detector") / blob["file"]).read_bytes())
    code, output = run("--of", folder, "--scenes", hall(tmp_path, 2), "--version", "9", "--into", tmp_path / "version")
    assert code == 1
    assert "without a glance" in output
    assert not (tmp_path / "version").exists()


def test_too_few_pictures_are_said(tmp_path: Path) -> None:
    code, output = run("--of", bundled("detector"), "--scenes", hall(tmp_path, 3), "--version", "9", "--into", tmp_path)
    assert code == 1
    assert f"only 3 training pictures or faces to measure ranges on; {shown.BATCH} are needed" in output
