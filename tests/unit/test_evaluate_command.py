"""``maskwatch evaluate`` on a folder of two public-domain portraits and everything that can be wrong with a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError, ManifestError
from common.lifecycle import StopSignal
from common.models.manifest import bundled
from maskwatch.evaluate.evaluating import evaluate
from maskwatch.evaluate.evaluation import Request, examine, score
from maskwatch.evaluate.examinee import release_folders
from trainer.evaluate.examinee import Foreign
from trainer.evaluate.scenes import SceneRecord
from trainer.evaluate.truth import SceneTruth, read_scenes
from workers.infer.vision.canvas import canvases_of

ROOT = Path(__file__).resolve().parents[2]
PORTRAITS = ROOT / "producers" / "portraits"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bare faces that can be read, a picture that is cut off, an empty one and a missing one."""
    folder = tmp_path_factory.mktemp("data")
    names = ("collins", "hopper")
    for name in names:
        shutil.copy(PORTRAITS / f"{name}.jpg", folder / f"{name}.jpg")
    (folder / "cut.jpg").write_bytes((folder / "collins.jpg").read_bytes()[:900])
    (folder / "empty.jpg").touch()
    files = [*names, "cut", "empty", "missing"]
    boxes = {name: json.loads((PORTRAITS / f"{name}.json").read_text())["face"] for name in names}
    with (folder / "faces.jsonl").open("w") as scenes, (folder / "crops.jsonl").open("w") as crops:
        for name in files:
            about = {"file": f"{name}.jpg", "source": name[0], "group": name, "split": "val"}
            face = {"box": boxes.get(name, [0, 0, 50, 50]), "label": "no_mask"}
            scenes.write(json.dumps({**about, "faces": [face]}) + "\n")
            crops.write(json.dumps({**about, "label": "no_mask"}) + "\n")
    return folder


def run(*arguments: object, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    code = f"import sys\n{prelude}\nfrom maskwatch.cli import main\nmain()\n"
    command = [sys.executable, "-c", code, "evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def last_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_scenes_without_torch_and_matplotlib_give_one_object_and_list_what_is_broken(
    folder: Path, tmp_path: Path
) -> None:
    """The base install can evaluate; the report then has no pictures and says so."""
    prelude = "sys.modules['torch'] = sys.modules['matplotlib'] = None"
    done = run("scenes", folder, "--json", "--out", tmp_path / "report", prelude=prelude)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    result = last_object(done)
    assert result["faces_ap"] == 1
    assert result["class_ap"] == {"mask": None, "no_mask": 1.0, "incorrect": None}
    assert result["recall_by_size"][">64"]["no_mask"] == 1
    assert result["confusion"] == [[0, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert set(result["sources"]) == {"c", "h"}
    assert [remark["file"] for remark in result["skipped"]] == ["cut.jpg", "empty.jpg", "missing.jpg"]
    assert result["skipped_count"] == 3
    assert not result["partial"]
    assert "matplotlib is not installed" in done.stderr
    assert "maskwatch[train]" in done.stderr
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["report.html", "report.json"]


def test_crops_are_judged_and_the_report_has_its_pictures(folder: Path, tmp_path: Path) -> None:
    done = run("crops", folder, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert "| all" in done.stdout
    assert "left out: cut.jpg" in done.stderr
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    for name in ("confusion.png", "reliability.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")
        assert name in page
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    assert result["accuracy"] == 1
    assert result["mistakes"] == {"Wrong verdicts, surest first": []}


def test_saved_predictions_score_as_the_run_that_made_them(folder: Path, tmp_path: Path) -> None:
    """So a foreign system that finds the same gets the same figures."""
    saved = tmp_path / "found.jsonl"
    assert evaluate(Request("scenes", folder, "val", 640, save_predictions=saved), StopSignal()) == 0
    mine = score(Request("scenes", folder, "val", 640), StopSignal()).result
    theirs = score(Request("scenes", folder, "val", 640, predictions=saved, threshold=0.7), StopSignal()).result
    assert theirs["missing_files"] == ["cut.jpg", "empty.jpg", "missing.jpg"]
    assert theirs["confusion"] == mine["confusion"]
    assert theirs["recall"] == pytest.approx(0.4)
    assert theirs["sources"]["c"]["recall"] < mine["sources"]["c"]["recall"] == 1
    assert theirs["sources"]["h"]["faces_ap"] == mine["sources"]["h"]["faces_ap"] == 1


def test_a_comparison_is_on_the_pictures_that_both_answered_for_and_marks_what_is_worse(
    folder: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text(json.dumps({"file": "hopper.jpg", "faces": []}) + "\n")
    scored = score(
        Request("scenes", folder, "val", 640, predictions=nothing, against=bundled("detector")), StopSignal()
    )
    comparison = scored.result["comparison"]
    assert comparison["pictures"] == 2
    assert comparison["all"]["recall"] == {
        "old": 1.0, "new": 0.0, "difference": -1.0, "low": -1.0, "high": -1.0, "change": "worse",
    }  # fmt: skip
    assert "all: recall" in comparison["worse"]
    assert scored.result["against"]["faces_ap"] == 1
    assert any("WORSE" in table.as_markdown() for table in scored.tables)
    assert any('class="worse"' in table.as_html() for table in scored.tables)


class StopsAfterFour(Foreign):
    """Asks for the end while it answers the first four pictures."""

    stop: StopSignal

    def scenes(self, truths: Any) -> list[SceneRecord]:
        self.stop.set()
        return super().scenes(truths)


def test_an_interrupted_run_keeps_what_it_has(folder: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "p.jsonl"
    predictions.write_text("")
    truths: list[SceneTruth] = read_scenes(folder / "faces.jsonl", "val")[0]
    system = StopsAfterFour(predictions, folder, 0.5)
    system.stop = StopSignal()
    examination = examine(system, truths, system.stop)
    assert examination.done == len(examination.records) == 4


def test_ctrl_c_gives_a_partial_report_that_says_so(folder: Path, tmp_path: Path) -> None:
    """A real SIGINT, sent while the networks are loaded: what is there is printed, with the documented exit status."""
    prelude = f"import os, signal\nfrom common import lifecycle\nold = lifecycle.StopSignal.install\n{INTERRUPT}"
    done = run("scenes", folder, "--json", "--out", tmp_path / "r", prelude=prelude)
    assert done.returncode == 130, done.stderr
    result = last_object(done)
    assert result["partial"]
    assert result["pictures_done"] < result["pictures_asked"] == 5
    assert "interrupted after 0 of 5" in done.stderr
    assert "interrupted after 0 of 5" in (tmp_path / "r" / "report.html").read_text()


INTERRUPT = """
def install(self):
    old(self)
    os.kill(os.getpid(), signal.SIGINT)
    return self
lifecycle.StopSignal.install = install
"""


def test_what_cannot_be_used_is_said_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out"):
        evaluate(Request("scenes", folder, "val", 640, out=tmp_path / "file" / "out"), StopSignal())
    with pytest.raises(ConfigError, match="no release"):
        evaluate(Request("scenes", folder, "val", 640, release=tmp_path), StopSignal())
    with pytest.raises(ConfigError, match="no such release"):
        evaluate(Request("scenes", folder, "val", 640, against=tmp_path / "nowhere"), StopSignal())
    with pytest.raises(ConfigError, match="give one of them"):
        evaluate(Request("scenes", folder, "val", 640, release=tmp_path, predictions=tmp_path / "file"), StopSignal())
    done = run("scenes", folder, "--long-side", "650")
    assert done.returncode == 2
    assert "multiple of 32" in done.stderr


def test_a_release_folder_may_hold_one_version_or_both_or_be_one(tmp_path: Path) -> None:
    """What it lacks is the bundled one."""
    both = bundled("detector"), bundled("classifier")
    assert release_folders(None) == both
    assert release_folders(bundled("detector").parent) == both
    assert release_folders(bundled("classifier")) == both
    mine = Path(shutil.copytree(bundled("classifier"), tmp_path / "classifier"))
    assert release_folders(tmp_path) == (both[0], mine)
    (mine / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError):
        release_folders(mine)


def test_canvases_follow_the_long_side_in_multiples_of_32() -> None:
    assert canvases_of(640) == ((640, 384), (640, 480), (640, 640), (384, 640), (480, 640))
    assert {side % 32 for canvas in canvases_of(1000) for side in canvas} == {0}
    assert max(max(canvas) for canvas in canvases_of(320)) == 320


def test_a_full_disk_is_an_error_after_the_figures_not_instead_of_them(folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "out"
    (blocked / "report.json").mkdir(parents=True)
    done = run("crops", folder, "--json", "--out", blocked)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert last_object(done)["accuracy"] == 1
