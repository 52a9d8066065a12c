"""``maskwatch camera check``."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Judge how well a camera hangs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def camera() -> None:
    """Judge how well a camera hangs."""


@app.command()
def check(
    source: str = typer.Argument(help="A file, a URL (rtsp, http), webcam:N, or the id of a camera in --site."),
    seconds: float = typer.Option(60.0, "--seconds", min=1, max=3600, help="How long to look."),
    out: Path | None = typer.Option(None, "--out", help="Folder for a picture and the figures; it will show faces."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
    site: Path | None = typer.Option(None, "--site", help="Site plan whose cameras and zones are meant."),
) -> None:
    """Measure size, pose, sharpness and light of faces, and say what to change; status 1 where faces would be lost."""
    from maskwatch.camera.surveying import CheckOptions, check

    raise typer.Exit(check(CheckOptions(source, seconds, out, as_json, site)))
