"""What a larger or smaller crop buys: accuracy and cost of the classifier by input side.

``python -m tests.bench.bench_input_size SCENES CROPS WEIGHTS OUT [--corrections FILE] [--samples N] [--epochs N]``: the
same recipe (``best``), seed, faces and number of steps from the same ImageNet weights for each side; every face is cut
finely enough for the largest. Prints a Markdown table; ``OUT`` keeps ``sizes.json`` and ``models-input-size.png``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from matplotlib import pyplot as plt

from common.models.manifest import bundled, load_version
from common.models.networks import ClassifierGraph, FaceClassifier, build_classifier
from common.models.torch_load import load_graph
from trainer.data.pictures import Portrait, Scene, Skips, read_portraits, read_scenes
from trainer.faces.corrections import correct, read_corrections
from trainer.faces.cuts import FaceSet, cut_all
from trainer.faces.finder import FaceFinder
from trainer.learning.classifier import ClassifierTask, predict
from trainer.learning.fit import fit
from trainer.learning.recipes import recipe_settings
from trainer.learning.weights import start_backbone
from trainer.release.onnx_export import export_onnx
from trainer.scores.report import classifier_report
from trainer.scores.scoring import best_temperature, false_verdicts
from trainer.settings import ClassifierSettings, Schedule

SIDES = (96, 112, 128, 160, 224)
PATCH_PX = 300  # 224 px of it are the crop with its margin
TRAIN_PICTURES = 2500
BATCH = 8
ROUNDS = 40


def faces_of(options: argparse.Namespace) -> FaceSet:
    """Cut all validation faces and those of some training pictures, the same for all sides."""
    items: list[Scene | Portrait] = [*read_scenes(options.scenes), *read_portraits(options.crops)]
    train = [item for item in items if item.split == "train"]
    chosen = np.random.default_rng(1).permutation(len(train))[:TRAIN_PICTURES]
    kept = [train[index] for index in sorted(chosen)] + [item for item in items if item.split == "val"]
    finder = FaceFinder(load_graph(load_version(bundled("detector"), "detector")))
    faces = cut_all(kept, finder, Skips(), lambda _done: None, PATCH_PX)
    return correct(faces, read_corrections(options.corrections))[0] if options.corrections else faces


def train(side: int, faces: FaceSet, options: argparse.Namespace) -> tuple[FaceClassifier, dict[str, Any]]:
    """Train one side for the short budget and score it on the validation faces of at least 24 px."""
    recipe = dict(recipe_settings("best"))
    schedule = Schedule.model_validate({**recipe.pop("schedule"), "epochs": options.epochs, "threads": 1})
    recipe |= {"weights": str(options.weights), "side": side, "samples": options.samples, "doubt": 0.0}
    settings = ClassifierSettings(**recipe, run=options.out / f"side-{side}", schedule=schedule)
    torch.manual_seed(schedule.seed)
    network = build_classifier(settings.architecture, settings.dense, settings.dropout)
    start_backbone(network, settings)
    task = ClassifierTask(network, faces, settings, torch.device("cpu"))
    started = time.monotonic()
    fit(task, schedule, settings.run)
    took = time.monotonic() - started
    plain, val = predict(network, task.val_crops, torch.device("cpu")), task.val_faces
    large = val.sizes >= 24
    scaled = plain.astype(np.float64) ** (1 / best_temperature(plain[large], val.labels[large]))
    report = classifier_report(val, (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32))
    wrong = false_verdicts(val.labels[large], plain[large].argmax(axis=1))
    return network, {
        "side": side, "accuracy": report["accuracy"], **wrong, "calibration_error": report["calibration_error"],
        "incorrect_found": report["classes"]["incorrect"]["recall"], "training_s": round(took),
        "faces": int(large.sum()),
    }  # fmt: skip


def compiled(network: FaceClassifier, side: int, folder: Path) -> tuple[Any, float]:
    """Give the network as a station runs it (bfloat16 where the CPU has it, one thread) and its ONNX size, MB."""
    path = folder / "model.onnx"
    path.write_bytes(export_onnx(ClassifierGraph(network).eval(), "classifier", side))
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1}
    return openvino.Core().compile_model(str(path), "CPU", hints), path.stat().st_size / 1e6


def costs(models: dict[int, Any]) -> dict[int, float]:
    """Give ms a face in batches of 8, one thread: medians of rounds in which the sides take turns."""
    took: dict[int, list[float]] = {side: [] for side in models}
    for number in range(ROUNDS + 5):
        for side, model in models.items():
            crops = np.random.default_rng(side).integers(0, 255, (BATCH, side, side, 3), np.uint8)
            started = time.perf_counter()
            model(crops)
            if number >= 5:
                took[side].append((time.perf_counter() - started) * 1000 / BATCH)
    return {side: statistics.median(values) for side, values in took.items()}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy over cost, with 95 % bars for the number of faces."""
    figure, axes = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    bars = [196 * (row["accuracy"] * (1 - row["accuracy"]) / row["faces"]) ** 0.5 for row in rows]
    base = next(row["ms"] for row in rows if row["side"] == 112)
    beside = [row["ms"] / base for row in rows]
    axes.errorbar(beside, [100 * row["accuracy"] for row in rows], bars, marker="o", capsize=3)
    for row, cost, bar in zip(rows, beside, bars, strict=True):
        top = (cost, 100 * row["accuracy"] + bar)
        axes.annotate(f"{row['side']} px", top, xytext=(0, 4), textcoords="offset points", ha="center")
    axes.margins(x=0.08, y=0.12)
    axes.set(xlabel="time a face beside 112 px, one core, bfloat16, batches of 8", ylabel="right verdicts, %")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def table(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a Markdown table; cost relative to 112 px."""
    base = next(row["ms"] for row in rows if row["side"] == 112)
    head = ("side, px", "accuracy", "masked called unmasked", "unmasked called masked", "incorrect found",
            "calibration error", "ms a face", "cost", "ONNX, MB", "training, s")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        shares = [row[key] for key in ("accuracy", "masked_called_unmasked", "unmasked_called_masked",
                                       "incorrect_found", "calibration_error")]  # fmt: skip
        cells = [str(row["side"]), *(f"{share:.1%}" for share in shares), f"{row['ms']:.2f}",
                 f"{row['ms'] / base:.2f}", f"{row['mb']:.1f}", str(row["training_s"])]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train all sides, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scenes", "crops", "weights", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--corrections", type=Path)
    parser.add_argument("--samples", type=int, default=3500)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faces, rows, models = faces_of(options), [], {}
    for side in SIDES:
        network, row = train(side, faces, options)
        models[side], row["mb"] = compiled(network, side, options.out / f"side-{side}")
        rows.append(row)
        print(row, flush=True)
    for side, ms in costs(models).items():
        next(row for row in rows if row["side"] == side)["ms"] = ms
    (options.out / "sizes.json").write_text(json.dumps(rows, indent=1))
    draw(rows, options.out / "models-input-size.png")
    print(table(rows))


if __name__ == "__main__":
    main()
