"""``maskwatch events tail | readers | forget | snapshot``."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Read the event log.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def tail(
    start: str = typer.Option(
        "now", "--from", help="Where to begin: 0 (everything kept), now, the id of an entry, or @NAME (where NAME was)."
    ),
    camera: list[str] = typer.Option([], "--camera", help="Only this camera's events; may be repeated."),
    kind: list[str] = typer.Option(
        [], "--type", help="Only this type: violation, violation.started, or in full; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="One CloudEvent a line, as it is stored."),
    follow: bool = typer.Option(True, help="Go on waiting for new events."),
) -> None:
    """Print events as they are written; a gap is announced, never skipped in silence."""
    from common.subscription import Subscription
    from maskwatch.events.tailing import tail_events

    wanted = Subscription(start=start, cameras=tuple(camera), types=tuple(kind), follow=follow)
    tail_events(wanted, as_json=as_json)


@app.command()
def readers(as_json: bool = typer.Option(False, "--json", help="One JSON list.")) -> None:
    """List the names under which places in the log are remembered."""
    from maskwatch.events.readers import list_readers

    list_readers(as_json=as_json)


@app.command()
def forget(name: str = typer.Argument(help="A name of `events readers`.")) -> None:
    """Forget the place of a reader that is gone for good."""
    from maskwatch.events.readers import forget_reader

    forget_reader(name)


@app.command()
def snapshot(
    event_id: str = typer.Argument(help="Id of a violation event or its episode; 8 characters do."),
    out: Path = typer.Option(..., "--out", help="JPEG file to write."),
    by: str = typer.Option("", "--by", help="Who looks; the user at this machine if left out."),
) -> None:
    """Fetch the picture that an event names, while it is kept; who did so is noted."""
    from maskwatch.events.snapshots import fetch
    from maskwatch.verdicts import somebody

    raise typer.Exit(fetch(event_id, out, by or somebody()))
