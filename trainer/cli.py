"""``maskwatch train``: train the classifier, the detector, and make releases of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer import data_commands, release_commands
from trainer.options import (
    Batch,
    Course,
    Crops,
    Device,
    Epochs,
    Half,
    Lesson,
    Optimiser,
    Overwrite,
    Packs,
    Patience,
    Rate,
    Resume,
    Run,
    Scenes,
    Seed,
    Threads,
    Val,
    WeightDecay,
    guarded,
    print_json,
    refused,
    settings_of,
)

app = typer.Typer(help="Train the networks and make releases of them.", no_args_is_help=True)
data_commands.register(app)
release_commands.register(app)


@app.command()
def classifier(
    run: Run,
    recipe: Annotated[str | None, typer.Option(help="Named settings, see `recipes`; other options go before.")] = None,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    crops: Crops = [],  # noqa: B006 (typer copies it)
    packs: Packs = [],  # noqa: B006 (typer copies it)
    val: Val = None,
    detector: Annotated[
        Path | None, typer.Option(help="Detector version that cuts the faces; the bundled one if not given.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Where cut faces are kept between runs (.npz).")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="mobilenet_v2, mobilenet_v2_dense, resnet_tiny or resnet50.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Version whose answers are learnt beside the labels.")] = None,
    teacher_share: Annotated[float | None, typer.Option(help="Share of the teacher's answers in the loss.")] = None,
    lesson: Lesson = None,
    weights: Annotated[
        str | None, typer.Option(help="Backbone weights: imagenet (downloaded), a safetensors file, or none.")
    ] = None,
    weights_input: Annotated[
        str | None, typer.Option(help="What a weights file takes: symmetric (RGB -1..1) or imagenet (mean, deviation).")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Run folder whose whole classifier is the start.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="frozen, unfrozen, or staged: head first, then all slowly.")
    ] = None,
    head_epochs: Annotated[int | None, typer.Option(help="staged: epochs of the head alone.")] = None,
    dense: Annotated[int | None, typer.Option(help="Width of the dense layer.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout before the last layer.")] = None,
    side: Annotated[int | None, typer.Option(help="Input side, px.")] = None,
    margin: Annotated[float | None, typer.Option(help="Share of the face box added on every side.")] = None,
    smoothing: Annotated[float | None, typer.Option(help="Label smoothing.")] = None,
    augment: Annotated[str | None, typer.Option(help="camera, simple or none.")] = None,
    drawn_masks: Annotated[
        float | None, typer.Option(help="Share of bare training faces with a mask drawn on.")
    ] = None,
    doubt: Annotated[
        float | None, typer.Option(help="Leave out training faces whose label gets less than this chance.")
    ] = None,
    doubt_after: Annotated[int | None, typer.Option(help="Epochs before labels are doubted.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Labels corrected by eye (JSON lines), for training faces only.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Faces drawn for an epoch; 0: as many as there are.")] = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    course: Course = None,
    weight_decay: WeightDecay = None,
    optimiser: Optimiser = None,
    patience: Patience = None,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    half: Half = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the classifier on faces that the detector cuts out of the given pictures."""
    given = dict(locals())
    from trainer.learning.recipes import recipe_settings
    from trainer.runs import run_classifier
    from trainer.settings import ClassifierSettings

    named = refused(lambda: recipe_settings(recipe), "--recipe") if recipe else None
    settings = settings_of(ClassifierSettings, given, named)
    print_json(guarded(lambda stop: run_classifier(settings, stop)))


@app.command()
def detector(
    run: Run,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    packs: Packs = [],  # noqa: B006 (typer copies it)
    architecture: Annotated[str | None, typer.Option(help="yunet_n, yunet_lean, yunet_coarse or yunet_patch.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Version that knows landmarks and unboxed faces, and where to start from.")
    ] = None,
    teacher_share: Annotated[
        float | None, typer.Option(help="Share of the teacher's answers, at every grid point, in the loss.")
    ] = None,
    lesson: Lesson = None,
    weights: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from.")] = None,
    reference_onnx: Annotated[
        Path | None, typer.Option(help="ONNX file that must agree with the weights; else the one beside them, if any.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Side of the square training canvas, px, a multiple of 32.")] = None,
    mosaic: Annotated[float | None, typer.Option(help="Share of canvases that show four pictures.")] = None,
    landmark_weight: Annotated[
        float | None, typer.Option(help="Weight of keeping the starting network's landmarks.")
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="Times each picture is used in an epoch.")] = None,
    crowd: Annotated[
        float | None, typer.Option(help="Draw pictures by their number of faces to this power; 0: each as often.")
    ] = None,
    frozen_stem: Annotated[
        bool, typer.Option("--frozen-stem", help="Leave the first two blocks as they are: half the time an epoch.")
    ] = False,
    second_look: Annotated[
        Path | None, typer.Option(help="Overlooked faces and places that are none (JSON lines), in training pictures.")
    ] = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    course: Course = None,
    weight_decay: WeightDecay = None,
    optimiser: Optimiser = None,
    patience: Patience = None,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    half: Half = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the face detector on pictures with boxes."""
    given = dict(locals())
    from trainer.runs import run_detector
    from trainer.settings import DetectorSettings

    settings = settings_of(DetectorSettings, given)
    print_json(guarded(lambda stop: run_detector(settings, stop)))


@app.command()
def focus(
    run: Run,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    packs: Packs = [],  # noqa: B006 (typer copies it)
    detector: Annotated[Path | None, typer.Option(help="Detector version; the bundled one if not given.")] = None,
    glancer: Annotated[
        Path | None, typer.Option(help="Detector version that glances in its place, e.g. a cheaper one; else itself.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Side of the square canvas, px, a multiple of 64.")] = None,
    mosaic: Annotated[float | None, typer.Option(help="Share of canvases that show four pictures.")] = None,
    second_look: Annotated[
        Path | None, typer.Option(help="Overlooked faces and places that are none (JSON lines), in training pictures.")
    ] = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    weight_decay: WeightDecay = None,
    patience: Patience = None,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train what tells at a glance where small faces may be; the detector itself stays as it is."""
    given = dict(locals())
    from trainer.runs import run_focus
    from trainer.settings import FocusSettings

    settings = settings_of(FocusSettings, given)
    print_json(guarded(lambda stop: run_focus(settings, stop)))


@app.command()
def recipes() -> None:
    """List the recipes: which public setting each reproduces, and its options."""
    from trainer.learning.recipes import recipe_table

    typer.echo(recipe_table())


@app.command()
def average(
    first: Annotated[Path, typer.Option(help="Run folder; settings and temperature are taken from it.")],
    second: Annotated[Path, typer.Option(help="Run folder of the same kind of network.")],
    into: Annotated[Path, typer.Option(help="New run folder.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the second network.")] = 0.5,
) -> None:
    """Average the networks of two runs into a new run folder."""
    from trainer.learning.averaging import average_runs

    guarded(lambda _stop: average_runs(first, second, share, into))


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
    from trainer.runs import console
    from trainer.scores.report import size_table, source_table

    if threads:
        torch.set_num_threads(threads)
    versions = (detector or bundled("detector"), classifier or bundled("classifier"))
    with console.status("scoring") as status:
        result = guarded(lambda _stop: score_versions(*versions, scenes, crops, status.update))
    if not tables:
        print_json(result)
        return
    verdicts = result["verdicts"]
    typer.echo("\n\n".join([detection_table(result["detection"]), source_table(verdicts), size_table(verdicts)]))


if __name__ == "__main__":
    app(prog_name="maskwatch train")
