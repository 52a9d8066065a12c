"""``maskwatch events tail``."""

from __future__ import annotations

import typer

app = typer.Typer(help="Read the event log.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def tail(
    start: str = typer.Option("now", "--from", help="Where to begin: 0 (everything kept), now, or the id of an entry."),
    camera: str = typer.Option("", "--camera", help="Only this camera's events."),
    as_json: bool = typer.Option(False, "--json", help="One CloudEvent a line, as it is stored."),
    follow: bool = typer.Option(True, help="Go on waiting for new events."),
) -> None:
    """Print events as they are written; a gap is announced, never skipped in silence."""
    from maskwatch.tailing import tail_events

    tail_events(start, camera, as_json=as_json, follow=follow)
