"""``maskwatch status``."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("status")(status)


def status(
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
    watch: float = typer.Option(0.0, "--watch", min=0, help="Look again every so many seconds; 0: once."),
) -> None:
    """Say in one look what is wrong: cameras, backlog, workers, partitions, models, brokers."""
    from maskwatch.connection import nearby_settings
    from maskwatch.status.page import show_status

    raise typer.Exit(show_status(nearby_settings(), as_json=as_json, watch_s=watch))
