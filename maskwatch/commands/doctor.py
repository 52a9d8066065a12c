"""``maskwatch doctor``."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("doctor")(doctor)


def doctor(
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
    privacy: bool = typer.Option(
        False, "--privacy", help="Prove instead that the brokers hold no more of people than the plan allows."
    ),
) -> None:
    """Say what this machine has, what is missing, and how to get it; status 1 where something needed is missing."""
    if privacy:
        from maskwatch.doctor.privacycheck import run_privacy_check

        raise typer.Exit(run_privacy_check(as_json=as_json))
    from maskwatch.doctor.checkup import run_checkup

    raise typer.Exit(run_checkup(as_json=as_json))
