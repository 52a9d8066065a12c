"""What the training commands share: their options, settings made of them, and how a command ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from common.errors import ConfigError, MaskwatchError, TrainingError
from common.lifecycle import StopSignal

Settings = TypeVar("Settings", bound=BaseModel)

Scenes = Annotated[list[Path], typer.Option("--scenes", help="faces.jsonl or its folder; may be given again.")]
Crops = Annotated[
    list[Path], typer.Option("--crops", help="crops.jsonl, or a folder with a folder per class; may be given again.")
]
Packs = Annotated[list[Path], typer.Option("--pack", help="Pack of scenes and crops; may be given again.")]
Run = Annotated[Path, typer.Option("--run", help="Run folder: checkpoints, curves, reports.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training data.")]
Batch = Annotated[int | None, typer.Option(help="Pictures a step.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Course = Annotated[str | None, typer.Option(help="How the rate goes on: cosine or constant.")]
WeightDecay = Annotated[float | None, typer.Option(help="Weight decay of matrices.")]
Optimiser = Annotated[str | None, typer.Option(help="adam, sgd or rmsprop.")]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many epochs without a better validation score; the best is kept.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; 0 leaves torch's choice.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Half = Annotated[bool, typer.Option("--half", help="Compute in bfloat16 where that is safe.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last finished epoch.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start over in a folder that holds a run.")]
Lesson = Annotated[str | None, typer.Option(help="task, or stem: only what the teacher's first layers give.")]
Val = Annotated[float | None, typer.Option(help="Share kept for validation where a folder per class has no split.")]


def settings_of(model: type[Settings], given: Mapping[str, Any], recipe: Mapping[str, Any] | None = None) -> Settings:
    """Make settings of what was given on the command line, over a recipe's, over the defaults.

    Args:
        model: The settings to make; its ``schedule`` takes the options of that name.
        given: Options by name; None means not given.
        recipe: Settings that count where nothing was given.

    Raises:
        typer.BadParameter: A value is out of its bounds; names the option.
    """
    schedule_model: Any = model.model_fields["schedule"].annotation
    values = {key: value for key, value in given.items() if value is not None}
    packs = values.pop("packs", [])
    for key in ("scenes", "crops"):
        if key in model.model_fields:
            values[key] = [*values.get(key, []), *packs]
    schedule = model.model_fields["schedule"].default.model_dump()
    schedule |= dict((recipe or {}).get("schedule", {}))
    schedule |= {key: values.pop(key) for key in list(values) if key in schedule_model.model_fields}
    try:
        return model.model_validate({**(recipe or {}), **values, "schedule": schedule})
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(first["msg"], param_hint="--" + str(first["loc"][-1]).replace("_", "-")) from error


def guarded(work: Callable[[Callable[[], bool]], Any]) -> Any:
    """Run to the end or to the first Ctrl-C, which stops after the step at hand and keeps the last finished epoch."""
    stop = StopSignal().install()
    try:
        return work(stop.is_set)
    except MaskwatchError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from error


def refused(work: Callable[[], Any], option: str) -> Any:
    """Do something with an option's value; an error becomes a wrong option."""
    try:
        return work()
    except TrainingError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def print_json(value: Any) -> None:
    """Print one JSON value."""
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")
