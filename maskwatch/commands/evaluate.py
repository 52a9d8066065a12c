"""``maskwatch evaluate scenes`` and ``maskwatch evaluate crops``: how good are the networks on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

app = typer.Typer(help="Score networks, or a foreign system's predictions, on labelled pictures.", no_args_is_help=True)

SPLIT = typer.Option(None, "--split", help="Split by its name in the index, or all; else val where there is one.")
RELEASE = typer.Option(
    None, "--release", help="Folder with detector/ or classifier/ or both; else the bundled release."
)
AGAINST = typer.Option(
    None, "--against", help="Release folder, or predictions, to compare with; worse figures are marked."
)
PREDICTIONS = typer.Option(
    None, "--predictions", help="A foreign system's JSON lines (file, faces) instead of a release."
)
THRESHOLD = typer.Option(0.5, "--threshold", help="Score from which a foreign system's box counts as a face.")
OUT = typer.Option(None, "--out", help="Folder for the report: page, pictures, worst mistakes, JSON.")
SAVE = typer.Option(None, "--save-predictions", help="File for what was found, as --predictions reads it.")
AS_JSON = typer.Option(False, "--json", help="One JSON object, last on standard output, and nothing else there.")


@app.command()
def scenes(
    data: Path = typer.Argument(help="Folder with faces.jsonl, or such a file."),
    split: str | None = SPLIT,
    long_side: int = typer.Option(640, "--long-side", min=64, max=2048, help="Long side of the canvas, px."),
    release: Path | None = RELEASE,
    against: Path | None = AGAINST,
    predictions: Path | None = PREDICTIONS,
    threshold: float = THRESHOLD,
    out: Path | None = OUT,
    save_predictions: Path | None = SAVE,
    as_json: bool = AS_JSON,
) -> None:
    """Score pictures with boxes: which faces are found, which verdicts they get."""
    _run(
        kind="scenes", data=data, split=split, long_side_px=long_side, release=release, against=against,
        predictions=predictions, threshold=threshold, out=out, save_predictions=save_predictions, as_json=as_json,
    )  # fmt: skip


@app.command()
def crops(
    data: Path = typer.Argument(help="Folder with crops.jsonl, or such a file."),
    split: str | None = SPLIT,
    long_side: int = typer.Option(320, "--long-side", min=64, max=2048, help="Long side of the canvas, px."),
    release: Path | None = RELEASE,
    against: Path | None = AGAINST,
    predictions: Path | None = PREDICTIONS,
    threshold: float = THRESHOLD,
    out: Path | None = OUT,
    save_predictions: Path | None = SAVE,
    as_json: bool = AS_JSON,
) -> None:
    """Score pictures of one person: is the verdict right."""
    _run(
        kind="crops", data=data, split=split, long_side_px=long_side, release=release, against=against,
        predictions=predictions, threshold=threshold, out=out, save_predictions=save_predictions, as_json=as_json,
    )  # fmt: skip


def _run(**wanted: Any) -> None:
    from maskwatch.evaluate.evaluating import evaluate
    from maskwatch.evaluate.evaluation import Request

    if wanted["long_side_px"] % 32:
        raise typer.BadParameter(f"{wanted['long_side_px']} is no multiple of 32", param_hint="--long-side")
    raise typer.Exit(evaluate(Request(**wanted)))
