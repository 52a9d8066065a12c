"""``maskwatch site check | publish | show | history | diff | rollback | draw``."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Check, publish, compare and show the site plan.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(plan: Path = typer.Argument(help="Site plan, YAML.")) -> None:
    """Say whether a site plan can be used; changes nothing."""
    from common.partition import DEFAULT_PARTITIONS
    from common.privacyfloor import check_floor
    from common.settings import ServiceSettings, load
    from common.siteplan import load_plan
    from maskwatch.site.planning import tell_size

    read, settings = load_plan(plan), load(ServiceSettings)
    check_floor(read, settings.privacy_floor, str(plan))
    tell_size(read, settings.partitions or DEFAULT_PARTITIONS)
    print(f"{plan}: site '{read.site}', {len(read.cameras)} cameras, {len(read.policies)} policies: can be used")


_BY = typer.Option("", "--by", help="Who publishes; the user at this machine if left out.")
_NOTE = typer.Option("", "--note", help="Why, in a few words.")
_EXPECT = typer.Option(None, "--expect", min=0, help="Refuse unless this version is in force; 0: none.")


@app.command()
def publish(
    plan: Path = typer.Argument(help="Site plan, YAML."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would change, and publish nothing."),
    by: str = _BY,
    note: str = _NOTE,
    expect: int | None = _EXPECT,
) -> None:
    """Make a site plan the one that every service follows, within two seconds."""
    from maskwatch.site import planning

    planning.publish(plan, planning.Publishing(by, note, expect), dry_run=dry_run)


@app.command()
def history(as_json: bool = typer.Option(False, "--json", help="One JSON list.")) -> None:
    """List the last 50 published versions, the newest first; a star marks the one in force."""
    from maskwatch.site import planning

    planning.history(as_json=as_json)


@app.command()
def diff(
    old: int | None = typer.Argument(None, metavar="[V1]", min=0, help="The one before, if left out."),
    new: int | None = typer.Argument(None, metavar="[V2]", min=1, help="The one in force, if left out."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
) -> None:
    """Show what differs between two published versions."""
    from maskwatch.site import planning

    planning.diff(old, new, as_json=as_json)


@app.command()
def rollback(
    version: int = typer.Argument(min=1, help="Version whose content comes back, as a new version."),
    by: str = _BY,
    note: str = _NOTE,
    expect: int | None = _EXPECT,
) -> None:
    """Put an earlier version's content in force again."""
    from maskwatch.site import planning

    planning.rollback(version, planning.Publishing(by, note, expect))


@app.command()
def show(
    as_json: bool = typer.Option(False, "--json", help="As JSON instead of YAML."),
    schema: bool = typer.Option(False, "--schema", help="The JSON Schema of site plans instead, for editors."),
) -> None:
    """Show the published site plan."""
    import json

    import yaml

    from common.siteplan import SitePlan
    from maskwatch.connection import desk

    if schema:
        print(json.dumps(SitePlan.model_json_schema(), indent=2))
        return
    content = desk().plan().model_dump(mode="json", exclude_defaults=not as_json)
    print(json.dumps(content) if as_json else yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="\n")


@app.command()
def draw(
    camera: str = typer.Argument(help="Camera id."),
    out: Path = typer.Option(..., "--out", help="Picture to write, such as zones.png."),
    site: Path | None = typer.Option(None, "--site", help="Site plan, YAML; the published one if left out."),
    image: Path | None = typer.Option(None, "--image", help="Draw on this picture instead of the camera's own."),
) -> None:
    """Draw a camera's zones over its picture, so that one sees what they hold."""
    from common.siteplan import load_plan
    from maskwatch.site import drawing

    if site is None:
        from maskwatch.connection import desk

        plan = desk().plan()
    else:
        plan = load_plan(site).resolved(site.parent)
    for line in drawing.draw_zones(plan, camera, out, image):
        print(line)
