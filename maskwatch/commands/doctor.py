"""``maskwatch doctor``."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("doctor")(doctor)


def doctor(as_json: bool = typer.Option(False, "--json", help="One JSON object.")) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    from maskwatch.checkup import run_checkup

    raise typer.Exit(run_checkup(as_json=as_json))
