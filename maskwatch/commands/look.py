"""``maskwatch image`` and ``maskwatch video``: look at pictures and videos without a broker."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("image")(image)
    app.command("video")(video)


def image(
    paths: list[Path] = typer.Argument(help="Pictures, or folders of them."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a line."),
    out: Path | None = typer.Option(None, "--out", help="Folder for annotated copies."),
) -> None:
    """Find the faces in pictures and say what covers them."""
    from maskwatch.look import looking

    raise typer.Exit(looking.image(paths, as_json=as_json, out=out))


def video(
    source: str = typer.Argument(help="A file, a URL (rtsp, http), webcam:N, or synthetic:NAME."),
    as_json: bool = typer.Option(False, "--json", help="Events as one JSON object a line, nothing else."),
    out: Path | None = typer.Option(None, "--out", help="Annotated copy, .mp4 or .avi."),
    view: bool = typer.Option(False, "--view", help="Show it live in a browser page on this machine."),
    fps: float = typer.Option(10.0, "--fps", min=0.1, max=60, help="Frames a second to look at."),
) -> None:
    """Watch one video through the same inference and judgement as the service, and print its events."""
    from maskwatch.look import looking

    raise typer.Exit(looking.video(source, as_json=as_json, out=out, view=view, fps=fps))
