"""``maskwatch train convert`` and ``maskwatch train pack``: data from elsewhere, and data that travels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trainer.options import Crops, Scenes, guarded, print_json, refused


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(convert)
    app.command()(pack)


def convert(  # noqa: PLR0913, PLR0917 (each is an option)
    source: Annotated[Path, typer.Argument(help="Folder of the data set; COCO: or its JSON file.")],
    form: Annotated[str, typer.Option("--from", help="voc, yolo, coco or folders (a folder per class).")],
    out: Annotated[Path, typer.Option(help="Index to write: faces.jsonl; for folders crops.jsonl.")],
    mapping: Annotated[
        list[str], typer.Option("--map", help="NAME=mask|no_mask|incorrect|ignore; may be given again.")
    ] = [],  # noqa: B006 (typer copies it)
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Share for validation, by near-duplicate group.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 1,
    name: Annotated[str, typer.Option(help="Name of the data set in reports; the folder's if not given.")] = "",
) -> None:
    """Convert a data set: classes mapped, boxes clipped, near-duplicates grouped, split by group."""
    from trainer.data.classes import parse_mapping
    from trainer.data.convert import FORMATS
    from trainer.data.convert import convert as convert_data
    from trainer.data.folders import FolderOptions

    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMATS)}", param_hint="--from")
    classes = refused(lambda: parse_mapping(mapping), "--map")
    options = FolderOptions(classes, val=val, seed=seed, source=name)
    print_json(guarded(lambda _stop: convert_data(form, source, out, options)))


def pack(  # noqa: PLR0913, PLR0917 (each is an option)
    out: Annotated[Path, typer.Option(help="File to write; its name ends in .pack.")],
    scenes: Scenes = [],  # noqa: B006 (typer copies it)
    crops: Crops = [],  # noqa: B006 (typer copies it)
    long_side: Annotated[
        int, typer.Option(min=0, max=8192, help="Longest side of its pictures, px; 0: the largest that fits.")
    ] = 0,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 85,
    max_mb: Annotated[float, typer.Option(min=0.01, help="Size of the whole file at most, MB.")] = 60.0,
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Share for validation of folders without a split.")] = 0.15,
) -> None:
    """Pack data into one small file that training reads with --pack."""
    from trainer.data.packing import PackLimits, pack_data
    from trainer.data.packs import SUFFIX
    from trainer.runs import console

    if out.suffix != SUFFIX:
        raise typer.BadParameter(f"{out}: the name of a pack ends in {SUFFIX}", param_hint="--out")
    limits = PackLimits(long_side, quality, int(max_mb * 1e6))
    with console.status("packing") as status:
        report = guarded(lambda _stop: pack_data((scenes, crops), out, limits, val, status.update))
    print_json({"written": str(out), "megabytes": round(report.bytes / 1e6, 2), **asdict(report)})
