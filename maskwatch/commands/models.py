"""``maskwatch models …``: versions of the networks, which are in service, and who decided it."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(
    help="Publish, compare and promote versions of the networks.", no_args_is_help=True, rich_markup_mode=None
)

_REGISTRY = typer.Option(None, "--registry", help="Registry folder instead of the state broker.", show_default=False)
_JSON = typer.Option(False, "--json", help="As JSON.")
_BY = typer.Option("", "--by", help="Who does it; the user at this machine if left out.")
_WHY = typer.Option("", "--why", help="Why, in a few words.")
_EXPECT = typer.Option(None, "--expect", min=0, help="Refuse unless this generation is in force.")
_BACKEND = typer.Option("all", "--backend", help="Who answers the probe: all installed ones, openvino or torch.")
_NAME = typer.Argument(help="Such as detector/7, or 7 where one kind only has it.")


@app.command("list")
def list_(registry: Path | None = _REGISTRY, as_json: bool = _JSON) -> None:
    """List the versions, the newest first; a star marks those in service."""
    from maskwatch.models import desk, lists

    lists.versions(desk.open_models(registry), as_json=as_json)


@app.command()
def show(
    name: str = typer.Argument(help="Such as detector/7, detector/bundled or a version folder."),
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Show what a version is and can, by source."""
    from common.models.registry import VersionRef
    from maskwatch.models import cards, desk

    models = desk.open_models(registry)
    manifest = models.manifest(name)
    known: dict[str, VersionRef] = {one.ref.label: one.ref for one in models.registry.versions()}
    ref = known.get(f"{manifest.kind}/{manifest.version}")
    cards.show(manifest, ref.digest if ref and name in (ref.label, ref.version) else "", as_json=as_json)


@app.command()
def diff(
    old: str = typer.Argument(help="Such as detector/7, detector/bundled or a version folder."),
    new: str | None = typer.Argument(None, help="What is in service of its kind, if left out."),
    every: bool = typer.Option(False, "--all", help="Equal figures, too."),
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Show settings and figures of two versions side by side."""
    from common.errors import ConfigError
    from maskwatch.models import cards, desk

    models = desk.open_models(registry)
    first = models.manifest(old)
    pair = (models.in_service(first.kind), first) if new is None else (first, models.manifest(new))
    if pair[0].kind != pair[1].kind:
        raise ConfigError(f"a {pair[0].kind} and a {pair[1].kind} have nothing to compare")
    cards.diff(*pair, as_json=as_json, every=every)


@app.command()
def publish(
    folder: Path = typer.Argument(help="Version folder, or one with detector/ and classifier/."),
    sign: Path | None = typer.Option(None, "--sign", help="File of the private key to sign with.", show_default=False),
    by: str = _BY,
    why: str = _WHY,
    backend: str = _BACKEND,
    registry: Path | None = _REGISTRY,
) -> None:
    """Check a version, have it answer its probe, and keep it; nothing is in service by that."""
    from maskwatch.models import desk, moves
    from maskwatch.site.planning import Publishing

    models = desk.open_models(registry, make=True)
    moves.publish(models, folder, Publishing(by, why), backend=backend, key=sign)


@app.command()
def promote(
    names: list[str] = _NAME,
    by: str = _BY,
    why: str = _WHY,
    expect: int | None = _EXPECT,
    backend: str = typer.Option("auto", "--backend", help="Who answers the probe before it."),
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Put a version of one kind, or one of each, in service on every worker."""
    from maskwatch.models import desk, moves
    from maskwatch.site.planning import Publishing

    models = desk.open_models(registry)
    before = models.registry.current()
    pointer = moves.promote(models, names, Publishing(by, why, expect), backend=backend)
    moves.say_pointer(pointer, before, as_json=as_json)


@app.command()
def rollback(
    to: int | None = typer.Option(None, "--to", min=0, help="Generation; the one before if left out; 0: bundled."),
    by: str = _BY,
    why: str = _WHY,
    expect: int | None = _EXPECT,
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Put an earlier generation's versions in service again, as a new generation."""
    from maskwatch.models import desk, moves
    from maskwatch.site.planning import Publishing

    models = desk.open_models(registry)
    before = models.registry.current()
    pointer = moves.rollback(models, to, Publishing(by, why, expect))
    moves.say_pointer(pointer, before, as_json=as_json)


@app.command()
def verify(
    names: list[str] | None = typer.Argument(None, help="Versions; all if none is named."),
    backend: str = _BACKEND,
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Check hashes, signatures and tensors, and have versions answer their probes."""
    from maskwatch.models import desk, moves

    moves.verify(desk.open_models(registry), names or [], backend=backend, as_json=as_json)


@app.command()
def export(
    name: str = _NAME,
    out: Path = typer.Option(..., "--out", help="File to write, such as detector-7.zip."),
    registry: Path | None = _REGISTRY,
) -> None:
    """Write a version as one file; the same version gives the same bytes."""
    from maskwatch.models import desk, moves

    moves.export(desk.open_models(registry), name, out)


@app.command("import")
def import_(
    file: Path = typer.Argument(help="File that export wrote."),
    by: str = _BY,
    why: str = _WHY,
    backend: str = _BACKEND,
    registry: Path | None = _REGISTRY,
) -> None:
    """Publish a version from one file, with every check of publish."""
    from maskwatch.models import desk, moves
    from maskwatch.site.planning import Publishing

    moves.bring_in(desk.open_models(registry, make=True), file, Publishing(by, why), backend=backend)


@app.command()
def retire(name: str = _NAME, by: str = _BY, why: str = _WHY, registry: Path | None = _REGISTRY) -> None:
    """Forget a version, unless service, trial, a worker or a rollback may need it."""
    from maskwatch.models import desk
    from maskwatch.site.planning import Publishing

    models = desk.open_models(registry)
    byline = Publishing(by, why).byline()
    ref = models.resolve(name)
    models.registry.retire(ref, byline.author, byline.note)
    print(f"{ref.label} is forgotten")


@app.command()
def workers(registry: Path | None = _REGISTRY, as_json: bool = _JSON) -> None:
    """Show what every live worker serves."""
    from maskwatch.models import desk, lists

    lists.workers(desk.open_models(registry), as_json=as_json)


@app.command()
def log(
    count: int = typer.Option(20, "--count", min=1, max=1000, help="How many entries."),
    registry: Path | None = _REGISTRY,
    as_json: bool = _JSON,
) -> None:
    """Show who did what and why, the newest first."""
    from maskwatch.models import desk, lists

    lists.log(desk.open_models(registry), count, as_json=as_json)


@app.command()
def keygen(
    private: Path = typer.Argument(help="File to write the private key to, such as release.key."),
    public: Path | None = typer.Argument(None, help="File for the public key; beside it as .pub if left out."),
) -> None:
    """Make a key pair to sign versions with; the private key is for its owner only."""
    from common.models.signatures import make_keys

    beside = public or private.with_suffix(".pub")
    print(f"key {make_keys(private, beside)}: private in {private}, public in {beside}")
