"""``maskwatch train``: train the classifier, the detector, and make releases of finished runs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from common.errors import ConfigError, MaskwatchError
from common.lifecycle import StopSignal
from common.models.manifest import Kind

app = typer.Typer(help="Train the networks and make releases of them.", no_args_is_help=True)

Scenes = Annotated[list[Path], typer.Option("--scenes", help="faces.jsonl of pictures with boxes; may be given again.")]
Crops = Annotated[list[Path], typer.Option("--crops", help="crops.jsonl of one-person pictures; may be given again.")]
Run = Annotated[Path, typer.Option("--run", help="Run folder: checkpoints, curves, reports.")]
Weights = Annotated[Path | None, typer.Option("--weights", help="Weights (safetensors) to start from.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training data.")]
Batch = Annotated[int, typer.Option(help="Pictures a step.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Optimiser = Annotated[str, typer.Option(help="adam, sgd or rmsprop.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Half = Annotated[bool, typer.Option("--half", help="Compute in bfloat16 where that is safe.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last finished epoch.")]


@app.command()
def classifier(
    run: Run,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    crops: Crops = [],  # noqa: B006 (typer copies it)
    weights: Weights = None,
    detector: Annotated[
        Path | None, typer.Option(help="Detector version that cuts the faces; the bundled one if not given.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Where cut faces are kept between runs (.npz).")] = None,
    architecture: Annotated[str, typer.Option(help="mobilenet_v2 or resnet50.")] = "mobilenet_v2",
    start: Annotated[Path | None, typer.Option(help="Run folder whose whole classifier is the start.")] = None,
    backbone: Annotated[
        str, typer.Option(help="frozen, unfrozen, or staged: head first, then all slowly.")
    ] = "unfrozen",
    head_epochs: Annotated[int, typer.Option(help="staged: epochs of the head alone.")] = 1,
    dense: Annotated[int, typer.Option(help="Width of the dense layer.")] = 128,
    dropout: Annotated[float, typer.Option(help="Dropout before the last layer.")] = 0.5,
    side: Annotated[int, typer.Option(help="Input side, px.")] = 112,
    margin: Annotated[float, typer.Option(help="Share of the face box added on every side.")] = 0.25,
    drawn_masks: Annotated[float, typer.Option(help="Share of bare training faces that get a mask drawn on.")] = 0.25,
    samples: Annotated[int, typer.Option(help="Faces drawn for an epoch; 0 means as many as there are.")] = 0,
    epochs: Epochs = 8,
    batch: Batch = 64,
    rate: Rate = 7e-4,
    optimiser: Optimiser = "adam",
    seed: Seed = 1,
    threads: Threads = 0,
    device: Device = "auto",
    half: Half = False,
    resume: Resume = False,
) -> None:
    """Train the classifier on faces that the detector cuts out of the given pictures."""
    from trainer.runs import run_classifier
    from trainer.settings import ClassifierSettings

    schedule = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "optimiser": optimiser,
        "seed": seed,
        "threads": threads,
    }
    settings = _settings(
        ClassifierSettings, run=run, scenes=scenes, crops=crops, weights=weights, detector=detector, cache=cache,
        start=start,
        architecture=architecture, backbone=backbone, head_epochs=head_epochs, dense=dense, dropout=dropout, side=side,
        margin=margin, drawn_masks=drawn_masks, samples=samples,
        schedule={**schedule, "device": device, "half": half, "resume": resume},
    )  # fmt: skip
    _print(_guarded(lambda stop: run_classifier(settings, stop)))


@app.command()
def detector(
    run: Run,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    weights: Weights = None,
    side: Annotated[int, typer.Option(help="Side of the square training canvas, px, a multiple of 32.")] = 384,
    mosaic: Annotated[float, typer.Option(help="Share of canvases that show four pictures.")] = 0.3,
    landmark_weight: Annotated[float, typer.Option(help="Weight of keeping the starting network's landmarks.")] = 0.1,
    repeat: Annotated[int, typer.Option(help="Times each picture is used in an epoch.")] = 1,
    epochs: Epochs = 20,
    batch: Batch = 16,
    rate: Rate = 1.5e-3,
    optimiser: Optimiser = "adam",
    seed: Seed = 1,
    threads: Threads = 0,
    device: Device = "auto",
    half: Half = False,
    resume: Resume = False,
) -> None:
    """Train the face detector on pictures with boxes."""
    from trainer.runs import run_detector
    from trainer.settings import DetectorSettings

    schedule = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "optimiser": optimiser,
        "seed": seed,
        "threads": threads,
    }
    settings = _settings(
        DetectorSettings, run=run, scenes=scenes, weights=weights, side=side, mosaic=mosaic, repeat=repeat,
        landmark_weight=landmark_weight, schedule={**schedule, "device": device, "half": half, "resume": resume},
    )  # fmt: skip
    _print(_guarded(lambda stop: run_detector(settings, stop)))


@app.command()
def average(
    first: Annotated[Path, typer.Option(help="Run folder; settings and temperature are taken from it.")],
    second: Annotated[Path, typer.Option(help="Run folder of the same kind of network.")],
    into: Annotated[Path, typer.Option(help="New run folder.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the second network.")] = 0.5,
) -> None:
    """Average the networks of two runs into a new run folder."""
    from trainer.averaging import average_runs

    _guarded(lambda _stop: average_runs(first, second, share, into))


@app.command()
def score(
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    crops: Crops = [],  # noqa: B006 (typer copies it)
    detector: Annotated[Path | None, typer.Option(help="Detector version; the bundled one if not given.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="Classifier version; the bundled one if not given.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Print Markdown tables instead of JSON.")] = False,
    threads: Threads = 0,
) -> None:
    """Score two versions together on the validation part of the data."""
    import torch

    from common.models.manifest import bundled
    from trainer.evaluation import detection_table, score_versions
    from trainer.report import size_table, source_table
    from trainer.runs import console

    if threads:
        torch.set_num_threads(threads)
    versions = (detector or bundled("detector"), classifier or bundled("classifier"))
    with console.status("scoring") as status:
        result = _guarded(lambda _stop: score_versions(*versions, scenes, crops, status.update))
    if not tables:
        _print(result)
        return
    verdicts = result["verdicts"]
    typer.echo("\n\n".join([detection_table(result["detection"]), source_table(verdicts), size_table(verdicts)]))


@app.command()
def release(
    run: Run,
    kind: Annotated[str, typer.Option(help="detector or classifier.")],
    version: Annotated[str, typer.Option(help="Name of the version, e.g. 1.")],
    into: Annotated[Path, typer.Option(help="Folder of the version: manifest, ONNX, safetensors, model card.")],
    metrics: Annotated[Path | None, typer.Option(help="What `score` printed, for the manifest.")] = None,
) -> None:
    """Make a version of a finished run: safetensors, ONNX, manifest and model card, checked against each other."""
    from trainer.release_notes import standard_notes
    from trainer.runs import release_run

    if kind not in {"detector", "classifier"}:
        raise typer.BadParameter(f"{kind!r} is neither detector nor classifier", param_hint="--kind")
    sort: Kind = "detector" if kind == "detector" else "classifier"
    words = [
        "maskwatch",
        "train",
        "release",
        "--run",
        run.name,
        "--kind",
        kind,
        "--version",
        version,
        "--into",
        into.name,
    ]
    notes = standard_notes(sort, version, shlex.join(words))
    if metrics:
        notes["metrics"] = {"val": _part_of(metrics, "detection" if sort == "detector" else "verdicts")}
    manifest = _guarded(lambda _stop: release_run(run, sort, into, notes))
    _print(
        {"released": manifest.identity, "into": str(into), "bytes": sum(blob.size for blob in manifest.blobs.values())}
    )


def _part_of(path: Path, part: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{path} is not what `score` prints: {error}", param_hint="--metrics") from error


def _settings(model: Any, **values: Any) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(first["msg"], param_hint="--" + str(first["loc"][-1]).replace("_", "-")) from error


def _guarded(work: Callable[[Callable[[], bool]], Any]) -> Any:
    """Run to the end or to the first Ctrl-C, which stops after the step at hand and keeps the last finished epoch."""
    stop = StopSignal().install()
    try:
        return work(stop.is_set)
    except MaskwatchError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from error


def _print(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    app(prog_name="maskwatch train")
