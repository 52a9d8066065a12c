"""Has a version answer its probe on the backends of this machine, before anybody relies on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from common.errors import BackendError, ModelError, VersionRefusedError
from common.models.admission import Package, examine
from common.models.manifest import bundled, load_version
from common.models.signatures import NO_TRUST, Trust
from workers.backends.backend import BackendOptions, open_backend

ALL = "all"


def backends(wanted: str) -> list[str]:
    """Give the backends to ask: ``all`` means OpenVINO, and torch where it is installed."""
    if wanted != ALL:
        return [wanted]
    return ["openvino", "torch"] if importlib.util.find_spec("torch") else ["openvino"]


def prove(folder: Path, wanted: str = ALL, trust: Trust = NO_TRUST) -> tuple[Package, list[str]]:
    """Check a version folder as a registry does, then have it answer its probe.

    Returns:
        What it is, and which backends answered as its manifest promises.

    Raises:
        VersionRefusedError: It does not pass, or answers otherwise; nothing was published.
        BackendError: No backend can run here, so that nothing can be said.
    """
    package = examine(folder, trust)
    kind = package.ref.kind
    version = load_version(folder, kind)
    other = load_version(bundled("classifier"), "classifier"), load_version(bundled("detector"), "detector")
    pair = (version, other[0]) if kind == "detector" else (other[1], version)
    answered = []
    for name in backends(wanted):
        try:
            backend = open_backend(name, *pair, BackendOptions(device="cpu"))
        except ModelError as error:
            raise VersionRefusedError("probe", f"{package.ref.label} on {name}: {error}") from error
        except BackendError:
            raise
        except Exception as error:  # whatever a library says of a bad graph, the version is at fault
            raise VersionRefusedError("probe", f"{package.ref.label} on {name}: {str(error)[:300]}") from error
        answered.append(backend.name)
        backend.close()
    return package, answered
