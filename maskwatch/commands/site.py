"""``maskwatch site check | publish | show``."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Check, publish and show the site plan.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(plan: Path = typer.Argument(help="Site plan, YAML.")) -> None:
    """Say whether a site plan can be used; changes nothing."""
    from common.siteplan import load_plan

    read = load_plan(plan)
    print(f"{plan}: site '{read.site}', {len(read.cameras)} cameras, {len(read.policies)} policies: can be used")


@app.command()
def publish(plan: Path = typer.Argument(help="Site plan, YAML.")) -> None:
    """Make a site plan the one that every worker follows."""
    from common.siteplan import load_plan
    from maskwatch.connection import desk

    read = load_plan(plan)
    version = desk().plans.publish(read.to_bytes())
    print(f"published '{read.site}' with {len(read.cameras)} cameras as version {version}")


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
