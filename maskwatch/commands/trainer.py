"""``maskwatch trainer``: the role that trains while everything runs, and how to ask it for a run."""

from __future__ import annotations

import typer

app = typer.Typer(help="Train on operators' labels while everything runs (needs the extra `train`).")


@app.callback(invoke_without_command=True)
def trainer(
    context: typer.Context,
    metrics_port: int | None = typer.Option(None, "--metrics-port", help="Port of /metrics and health; 0: a free one."),
) -> None:
    """Watch for labelled crops, fine-tune, judge the candidate, publish and promote it by policy."""
    if context.invoked_subcommand is not None:
        return
    from maskwatch.roles import run_trainer

    raise typer.Exit(run_trainer(metrics_port))


@app.command()
def request(
    why: str = typer.Option("", "--why", help="A few words, for the report."),
    by: str = typer.Option("", "--by", help="Who asks; the user's name if left out."),
    held_back: bool = typer.Option(
        False, "--held-back", help="Let crops of refused runs and those in quarantine be used again."
    ),
) -> None:
    """Ask the trainer for a run now."""
    from maskwatch.training import ask

    print(ask(by, why, held_back=held_back))


@app.command()
def status(as_json: bool = typer.Option(False, "--json", help="As one JSON object.")) -> None:
    """Say who trains, which request waits, and where a candidate on trial stands."""
    from maskwatch.training import shown

    print(shown(as_json=as_json))
