"""Builds every image of the Dockerfile and runs Compose's services with them: ``python -m tests.images.rehearse``.

Needs root and Debian's packages podman, buildah, runc, catatonit, netavark, aardvark-dns, docker-compose and
debootstrap. Everything lies in one folder, which is removed at the end unless you name one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import yaml

from tests.images.dockerfile import images, read
from tests.images.engine import Engine
from tests.images.proofs import ABSENT, Proof, prove
from tests.images.stand_ins import make_broker, make_python
from tests.images.station import ROLES, Report, Station, rehearse

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = Path("deploy/docker/Dockerfile")
PROGRAMS = ("podman", "runc", "debootstrap", "docker-compose", "git", "tar")


def main() -> int:
    """Rehearse, print a table, and give 1 where anything is not as it must be."""
    options = _options()
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}; Debian has them", file=sys.stderr)
        return 2
    folder = options.store or Path(mkdtemp(prefix="images-"))
    folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(folder.resolve())
    try:
        proofs, report = _rehearse(engine, options)
    finally:
        engine.clear()
        if not options.store:
            engine.close()
            shutil.rmtree(folder)
    print(table(proofs, report))
    found = {"images": [asdict(one) for one in proofs], "run": asdict(report) if report else None}
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    wrong = [f"{one.target}: {words}" for one in proofs for words in one.wrong] + (report.wrong if report else [])
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


def table(proofs: Sequence[Proof], report: Report | None) -> str:
    """Give what was seen as a table in Markdown."""
    lines = ["| target | size, of it the base | user | read-only | holds | ran |", "|---|---|---|---|---|---|"]
    for one in proofs:
        sizes = f"{one.size_mb} MB, {one.base_mb} MB"
        held = ", ".join(one.facts["hard"]["held"]) or "–"
        read_only = "yes" if one.facts["hard"]["writes"]["/opt/maskwatch"] == "EROFS" else "no"
        ran = _ran(report.roles.get(one.target)) if report else _ran(None)
        lines.append(f"| `{one.target}` | {sizes} | {one.facts['hard']['uid']} | {read_only} | {held} | {ran} |")
    for camera, figures in (report.accounts if report else {}).items():
        lines.append(f"\n{camera}: {figures}")
    return "\n".join([*lines, *([f"\n{report.started} violations began"] if report else [])])


def _ran(seen: dict[str, Any] | None) -> str:
    if seen is None:
        return "`--help`, `doctor`"
    return f"at work, {seen['memory_mb']} of {seen['limit_mb']} MB, exit {seen['exit_status']}"


def _rehearse(engine: Engine, options: argparse.Namespace) -> tuple[list[Proof], Report | None]:
    project = engine.folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    _copy_tracked(project)
    services: dict[str, Any] = yaml.safe_load((project / "docker-compose.yml").read_text())["services"]
    stages = read((project / DOCKERFILE).read_text())
    (base,) = images(stages)
    archive = options.base or engine.folder / "base.tar"
    if not archive.exists():
        make_python(engine.folder, archive)
    engine.podman("import", archive, f"docker.io/library/{base}", timeout_s=600)
    mounts = [word for one in options.volume for word in ("--volume", f"{one}:ro")]
    proofs = []
    for target in options.targets:
        print(f"building {target}", flush=True)
        tag = f"docker.io/{services[target]['image']}"
        engine.build(project, project / DOCKERFILE, target, tag, mounts)
        proofs.append(prove(engine, target, services[target], base))
    if not set(ROLES) <= set(options.targets):
        return proofs, None
    print("running the station", flush=True)
    make_broker(engine, base, f"docker.io/{services['frames']['image']}")
    engine.call(sys.executable, "-m", "maskwatch", "broker", "secrets", "--mounted", "secrets", cwd=project)
    with engine.served():
        return proofs, rehearse(Station(engine, project, services))


def _copy_tracked(project: Path) -> None:
    """Copy what a fresh clone would hold, with what is not committed yet."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, project / name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--targets", nargs="+", choices=list(ABSENT), default=list(ROLES), help="infer-gpu and trainer download torch")
    add("--volume", action="append", default=[], metavar="HERE:INSIDE", help="mounted while building, as a pip.conf is")
    add("--base", type=Path, metavar="TAR", help="archive of the base image; made if it is not there, and kept")
    add("--store", type=Path, metavar="FOLDER", help="keep images and log here, so that a second run is short")
    add("--json", type=Path, metavar="FILE", help="write all that was seen")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
