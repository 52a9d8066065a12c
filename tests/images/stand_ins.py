"""Images that stand for those of a registry that is out of reach, made of Debian's packages and the bundled broker."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

from common.broker.embedded.program import find_server
from tests.images.engine import Engine

# Debian's own Python in place of the one that the official image builds under /usr/local; otherwise the same release
# of Debian and hardly any package more.
_PACKAGES = "python3.11,python3.11-venv,python3-distutils,python3-lib2to3,ca-certificates,tzdata,netbase"
_PIP = '#!/bin/sh\nexec python -m pip "$@"\n'
# The command-line client is Debian's of Redis: the bundled broker comes without one.
_BROKER = """FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends redis-tools \\
 && ln -s redis-cli /usr/bin/valkey-cli && rm -rf /var/lib/apt/lists/* \\
 && groupadd --gid 1000 valkey && useradd --uid 999 --gid 1000 valkey \\
 && install --directory --owner 999 --group 1000 /data
COPY --chmod=755 valkey-server /usr/local/bin/
WORKDIR /data
"""


def make_python(folder: Path, archive: Path) -> None:
    """Make the archive of a root file system with Python 3.11 and pip, as `python:3.11-slim-bookworm` has them.

    Raises:
        subprocess.CalledProcessError: debootstrap failed; it has said why.
    """
    root = folder / "root"
    words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    for name in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / name)
        (root / name / "partial").mkdir(parents=True)
    local = root / "usr/local"
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to("/usr/bin/python3.11")
    wheel = next((root / "usr/share/python-wheels").glob("pip-*.whl"))
    zipfile.ZipFile(wheel).extractall(local / "lib/python3.11/dist-packages")
    (local / "bin/pip").write_text(_PIP)
    (local / "bin/pip").chmod(0o755)
    part = folder / "base.part"
    subprocess.run(["tar", "--create", "--file", str(part), "--directory", str(root), "."], check=True)
    shutil.move(part, archive)
    shutil.rmtree(root)


def make_broker(engine: Engine, base: str, tag: str) -> None:
    """Make an image of the bundled broker under the name of the official one.

    Raises:
        EngineError: A step failed.
    """
    context = engine.folder / "broker"
    context.mkdir(exist_ok=True)
    shutil.copy(find_server(), context / "valkey-server")
    (context / "Dockerfile").write_text(_BROKER.format(base=base))
    engine.podman("build", "--network", "host", "--tag", tag, context, timeout_s=900)
