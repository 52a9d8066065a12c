"""``maskwatch feedback EVENT_ID --label … | list | queue | erase``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup


class _RecordUnlessNamed(TyperGroup):
    """Takes the first word as an event id where it is not the name of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["record", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RecordUnlessNamed,
    help="Say whether an alarm was right: maskwatch feedback EVENT_ID --label mask|no_mask|incorrect|not_a_face",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_BY = typer.Option("", "--by", help="Who says so; the user at this machine if left out.")
_CAMERA = typer.Option("", "--camera", help="Only this camera; makes the search shorter.")
_JSON = typer.Option(False, "--json", help="As JSON.")


@app.command()
def record(
    about: str = typer.Argument(
        metavar="EVENT_ID", help="Id of a violation event or its episode (8 characters do), or of a face crop."
    ),
    label: str = typer.Option(..., "--label", help="mask, no_mask, incorrect or not_a_face."),
    by: str = _BY,
    camera: str = _CAMERA,
    at: str = typer.Option("", "--at", help="When it was said, such as 2026-09-21T14:13:20Z; now if left out."),
    final: bool = typer.Option(False, "--final", help="Let this word stand against those of others."),
    as_json: bool = _JSON,
) -> None:
    """Say what the face of an event really was (the word `record` may be left out)."""
    from common.feedback import FeedbackEntry
    from maskwatch import verdicts

    verdicts.record(FeedbackEntry(about, label, by or verdicts.somebody(), at, camera, final), as_json=as_json)


@app.command("list")
def list_(
    camera: str = _CAMERA,
    contested: bool = typer.Option(False, "--contested", help="Only where people contradict one another."),
    as_json: bool = _JSON,
) -> None:
    """Show what was said, the last change at the end, and how often alarms were right."""
    from maskwatch import verdicts

    verdicts.show(camera, contested=contested, as_json=as_json)


@app.command()
def queue(camera: str = _CAMERA, as_json: bool = _JSON) -> None:
    """List the face crops that wait for a label; only cameras whose policy consents have any."""
    from maskwatch import verdicts

    verdicts.queue(camera, as_json=as_json)


@app.command()
def erase(
    about: str = typer.Argument("", metavar="[EPISODE]", help="Episode, event or face crop whose traces are to go."),
    camera: str = typer.Option("", "--camera", help="Everything of this camera."),
    before: str = typer.Option("", "--before", help="What was said before this time, such as 2026-09-21."),
    samples: Path | None = typer.Option(
        None, "--samples", help="Folder of samples on this machine, to be cleared now; else its trainer does so."
    ),
    by: str = _BY,
) -> None:
    """Erase verdicts, their pictures, and the training samples made of them; all that is given must hold."""
    from maskwatch import verdicts

    verdicts.erase(verdicts.Wanted(about, camera, before, by or verdicts.somebody()), samples)
