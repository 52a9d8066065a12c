"""``maskwatch models publish | promote | rollback | retire | export | import | verify``: what changes the registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.broker.models.news import announce_last, announce_move
from common.errors import ConfigError, UnknownVersionError, VersionRefusedError
from common.models.admission import examine
from common.models.manifest import MANIFEST_NAME
from common.models.records import as_data
from common.models.registry import Pointer, VersionRef
from common.models.signatures import SIGNATURE_NAME, sign
from maskwatch.models.bundle import opened_bundle, write_bundle
from maskwatch.models.desk import KINDS, ModelDesk, both
from maskwatch.models.proof import prove
from maskwatch.site.planning import Publishing


def publish(desk: ModelDesk, folder: Path, how: Publishing, *, backend: str, key: Path | None) -> list[VersionRef]:
    """Prove and publish a version folder, or each that lies in it as ``detector/`` and ``classifier/``.

    Raises:
        ConfigError: There is none, or the key cannot be used.
        VersionRefusedError: One does not pass; those before it are published.
    """
    found = []
    for one in version_folders(folder):
        with _signed(one, key) as ready:
            package, answered = prove(ready, backend, desk.rules.trust)
            byline = how.byline()
            ref = desk.registry.publish(ready, byline.author, byline.note)
        signed = f", signed by {package.signature.key}" if package.signature else ""
        print(f"published {ref.label} ({package.manifest.name}, digest {ref.digest[:12]}{signed})")
        print(f"  its probe was answered by {', '.join(answered)}" if answered else "  its probe was not asked")
        found.append(ref)
    return found


def promote(desk: ModelDesk, names: Sequence[str], how: Publishing, *, backend: str) -> Pointer:
    """Have versions prove themselves once more and put them in service.

    Raises:
        ConfigError: No such version, or two of one kind.
        StaleGenerationError: Somebody else has moved the pointer since; nothing was changed.
        VersionRefusedError: One does not pass; nothing was changed, and the log says so.
    """
    refs = [desk.resolve(name) for name in names]
    if len({ref.kind for ref in refs}) < len(refs):
        raise ConfigError("two versions of one kind cannot be in service together")
    before = desk.registry.current()
    expected = before.generation if how.expect is None else how.expect
    byline = how.byline()
    try:
        with TemporaryDirectory(prefix="maskwatch-") as cache:
            for ref in refs:
                prove(desk.registry.fetch(ref, Path(cache)), backend, desk.rules.trust)
    except VersionRefusedError as error:
        desk.registry.refused(refs, byline.author, f"{error.reason}: {error}")
        desk.tell(lambda inbox, registry: announce_last(inbox, registry, "refused"))
        raise
    pointer = desk.registry.promote(refs, expected, byline.author, byline.note)
    desk.tell(lambda inbox, registry: announce_move(inbox, registry, pointer))
    return pointer


def rollback(desk: ModelDesk, to: int | None, how: Publishing) -> Pointer:
    """Put an earlier generation's versions in service again.

    Raises:
        ConfigError: That generation is not kept.
        StaleGenerationError: Another generation than expected is in force.
    """
    byline = how.byline()
    try:
        pointer = desk.registry.rollback(byline.author, byline.note, to, how.expect)
    except UnknownVersionError as error:
        raise ConfigError(str(error)) from error
    desk.tell(lambda inbox, registry: announce_move(inbox, registry, pointer))
    return pointer


def say_pointer(pointer: Pointer, before: Pointer, *, as_json: bool) -> None:
    """Print what is in service now."""
    if as_json:
        print(json.dumps(as_data(pointer), ensure_ascii=False))
        return
    print(f"generation {pointer.generation} is in force: {both(pointer)}")
    print(f"  before it, generation {before.generation}: {both(before)}")


def verify(desk: ModelDesk, names: Sequence[str], *, backend: str, as_json: bool) -> None:
    """Fetch versions, check them and have them answer their probes; all that are published if none is named.

    Raises:
        VersionRefusedError: At least one does not pass; the others are reported all the same.
    """
    refs = [desk.resolve(name) for name in names] or [one.ref for one in desk.registry.versions()]
    rows: list[dict[str, Any]] = []
    first: VersionRefusedError | None = None
    with TemporaryDirectory(prefix="maskwatch-") as cache:
        for ref in refs:
            try:
                _, answered = prove(desk.registry.fetch(ref, Path(cache)), backend, desk.rules.trust)
                rows.append({"version": ref.label, "good": True, "backends": answered, "trouble": ""})
            except VersionRefusedError as error:
                first = first or error
                rows.append({"version": ref.label, "good": False, "backends": [], "trouble": str(error)})
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    for row in [] if as_json else rows:
        print(f"{row['version']}: " + (f"good on {', '.join(row['backends'])}" if row["good"] else "refused"))
    if first is not None:
        raise first


def export(desk: ModelDesk, name: str, path: Path) -> None:
    """Write a version as one file.

    Raises:
        ConfigError: There is no such version.
        RegistryUnwritableError: It cannot be written there.
    """
    ref = desk.resolve(name)
    with TemporaryDirectory(prefix="maskwatch-") as cache:
        files = examine(desk.registry.fetch(ref, Path(cache)), desk.rules.trust, ref).files
    size = write_bundle(files, path)
    print(f"{ref.label} (digest {ref.digest}) → {path}, {size:,} bytes")


def bring_in(desk: ModelDesk, path: Path, how: Publishing, *, backend: str) -> list[VersionRef]:
    """Publish a version from one file, with the same checks as a folder."""
    with opened_bundle(path) as folder:
        return publish(desk, folder, how, backend=backend, key=None)


def version_folders(folder: Path) -> list[Path]:
    """Give the version folders that a folder means.

    Raises:
        ConfigError: It holds none.
    """
    if (folder / MANIFEST_NAME).is_file():
        return [folder]
    found = [folder / kind for kind in KINDS if (folder / kind / MANIFEST_NAME).is_file()]
    if not found:
        raise ConfigError(f"{folder}: no {MANIFEST_NAME}, neither in it nor in detector/ or classifier/")
    return found


@contextmanager
def _signed(folder: Path, key: Path | None) -> Iterator[Path]:
    """Give the folder, or a copy of it with a signature."""
    if key is None:
        yield folder
        return
    with TemporaryDirectory(prefix="maskwatch-") as name:
        copy = Path(name) / "version"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(SIGNATURE_NAME))
        (copy / SIGNATURE_NAME).write_bytes(sign(examine(copy).ref, key).to_bytes())
        yield copy
