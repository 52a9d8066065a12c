"""``maskwatch train release`` and ``maskwatch train quantise``: versions of finished runs, and of other versions."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from common.models.manifest import Kind, Manifest
from trainer.options import Crops, Run, Scenes, guarded, print_json

Version = Annotated[str, typer.Option(help="Name of the version, e.g. 1.")]
Into = Annotated[Path, typer.Option(help="Folder of the version: manifest, ONNX, safetensors, model card.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(release)
    app.command()(quantise)


def release(
    run: Run,
    kind: Annotated[
        str, typer.Option(help="detector, classifier; focus or quick: the version it learnt from, with it.")
    ],
    version: Version,
    into: Into,
    metrics: Annotated[
        Path | None,
        typer.Option(help="What `score` printed, for the manifest; focus, quick: `evaluate scenes --json`."),
    ] = None,
    sure: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="quick: below this probability the classifier is asked.")
    ] = 0.98,
) -> None:
    """Make a version of a finished run: safetensors, ONNX, manifest and model card, checked against each other."""
    from trainer.release.finished_run import release_run
    from trainer.release.focus import release_focus
    from trainer.release.notes import standard_notes
    from trainer.release.quick import release_quick

    if kind not in {"detector", "classifier", "focus", "quick"}:
        raise typer.BadParameter(f"{kind!r} is none of detector, classifier, focus, quick", param_hint="--kind")
    sort: Kind = "classifier" if kind in {"classifier", "quick"} else "detector"
    words = ["--run", run.name, "--kind", kind, "--version", version, "--into", into.name]
    notes = standard_notes(sort, version, shlex.join(["maskwatch", "train", "release", *words]))
    if metrics and kind in {"focus", "quick"}:
        notes["metrics"] = {"scenes": _figures_of(metrics)}
    elif metrics:
        notes["metrics"] = {"val": _part_of(metrics, "detection" if sort == "detector" else "verdicts")}
    if kind == "focus":
        manifest = guarded(lambda _stop: release_focus(run, into, notes))
    elif kind == "quick":
        manifest = guarded(lambda _stop: release_quick(run, sure, into, notes))
    else:
        manifest = guarded(lambda _stop: release_run(run, sort, into, notes))
    _say(manifest, into)


def quantise(
    of: Annotated[Path, typer.Option("--of", help="Folder of the version.")],
    version: Version,
    into: Into,
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    crops: Crops = [],  # noqa: B006 (typer copies it)
    metrics: Annotated[
        Path | None, typer.Option(help="What `evaluate scenes --json` printed, for the manifest.")
    ] = None,
) -> None:
    """Measure on training pictures what each network reads, so that workers may compute it in 8 bits."""
    from trainer.quantising import quantise_version

    words = ["--of", of.name, "--version", version, "--into", into.name]
    notes: dict[str, Any] = {"version": version, "command": shlex.join(["maskwatch", "train", "quantise", *words])}
    if metrics:
        notes["metrics"] = {"scenes": _figures_of(metrics)}
    _say(guarded(lambda _stop: quantise_version(of, scenes, crops, into, notes)), into)


def _say(manifest: Manifest, into: Path) -> None:
    size = sum(blob.size for blob in manifest.blobs.values())
    print_json({"released": manifest.identity, "into": str(into), "bytes": size})


def _figures_of(path: Path) -> dict[str, float]:
    """Give the plain figures of what ``maskwatch evaluate scenes --json`` printed."""
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["evaluated"] != "scenes":
            raise ValueError(found["evaluated"])
        return {name: value for name, value in found.items() if isinstance(value, float)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = f"{path} is not what `maskwatch evaluate scenes --json` prints: {error}"
        raise typer.BadParameter(hint, param_hint="--metrics") from error


def _part_of(path: Path, part: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{path} is not what `score` prints: {error}", param_hint="--metrics") from error
