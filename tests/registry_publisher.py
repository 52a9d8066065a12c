"""A process that publishes one new version after another until it is killed: ``python -m tests.registry_publisher``.

Reads lines from standard input first: ``broker`` and a prefix and a URL, or ``folder`` and a path; then a work folder.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from common.broker.client import connect
from common.broker.models.store import BrokerRegistry
from common.models.directory import DirectoryRegistry
from common.models.registry import Registry
from common.models.retention import RegistryRules
from tests.model_versions import make_version


def main() -> None:
    kind, place, url, work = (sys.stdin.readline().strip() for _ in range(4))
    registry: Registry
    if kind == "broker":
        registry = BrokerRegistry(connect(url), place, RegistryRules(keep=4))
    else:
        registry = DirectoryRegistry(Path(place), RegistryRules(keep=4))
    start = len(list(Path(work).iterdir()))
    for number in itertools.count(start):
        registry.publish(make_version(Path(work), f"v{number}"))
        print(number, flush=True)


if __name__ == "__main__":
    main()
