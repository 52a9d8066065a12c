"""A ``maskwatch`` role that says at its end which modules it has loaded, and that may lack OpenTelemetry.

``python -m tests.traced_role judge …``; with ``TRACED_WITHOUT`` set, no module of that name can be found.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence


class Missing:
    """Makes a package look as if it was not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: object = None) -> None:
        if name.split(".", maxsplit=1)[0] == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def tell() -> None:
    """Print what was loaded, in a line of its own."""
    print(f"LOADED {' '.join(sorted(sys.modules))}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if "TRACED_WITHOUT" in os.environ:
        sys.meta_path.insert(0, Missing(os.environ["TRACED_WITHOUT"]))
    atexit.register(tell)
    from maskwatch.cli import main

    sys.argv[0] = "maskwatch"
    main()
