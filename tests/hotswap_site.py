"""A site whose workers follow a model registry: versions to promote, workers to ask, frames under way meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.broker.models.store import BrokerRegistry
from common.models.manifest import Kind
from common.models.registry import Pointer, VersionRef, WorkerModels
from common.schema import FrameResult
from tests.infer_site import Site, wait_finished
from tests.model_versions import make_version
from tests.waiting import until


@dataclass
class Models:
    """The registry of a test's site.

    Attributes:
        site: The site.
        folder: Where versions are made before they are published.
    """

    site: Site
    folder: Path
    published: dict[str, VersionRef] = field(default_factory=dict)

    @property
    def registry(self) -> BrokerRegistry:
        """A registry object on the test's own connection."""
        return BrokerRegistry(self.site.brokers.state, self.site.brokers.keys.prefix)

    def version(self, name: str, kind: Kind = "detector", **changes: Any) -> VersionRef:
        """Publish the bundled network under another name."""
        if name not in self.published:
            folder = make_version(self.folder, name, kind, **changes)
            self.published[name] = self.registry.publish(folder, "test")
        return self.published[name]

    def promote(self, *refs: VersionRef) -> Pointer:
        """Put versions in service."""
        return self.registry.promote(refs, self.registry.current().generation, "test", "")

    def workers(self) -> dict[str, WorkerModels]:
        """Ask what every worker says it serves."""
        return self.registry.workers()

    def wait_generation(self, generation: int, count: int = 1, timeout_s: float = 30.0) -> None:
        """Wait until ``count`` workers serve a generation."""
        until(lambda: [w.generation for w in self.workers().values()] == [generation] * count, timeout_s)

    def wait_state(self, state: str, timeout_s: float = 30.0) -> None:
        """Wait until some worker says that it is in this state."""
        until(lambda: any(w.state.startswith(state) for w in self.workers().values()), timeout_s)


@contextmanager
def traffic(site: Site, cameras: tuple[str, ...], fps: float = 5.0) -> Iterator[None]:
    """Publish frames of these cameras while the block runs, and wait until each has its result."""
    end = threading.Event()

    def publish() -> None:
        while not end.wait(1 / fps):
            for camera in cameras:
                site.publish(camera, maxlen=5000)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    wait_finished(site, *cameras, timeout_s=30)


def account(site: Site, cameras: tuple[str, ...]) -> list[FrameResult]:
    """Check that every published frame has exactly one result, and give all of them."""
    results = [result for camera in cameras for result in site.results(camera)]
    counted = Counter((result.camera, result.session, result.seq) for result in results)
    wanted = {(camera, site.session, seq) for camera in cameras for seq in range(site.published[camera])}
    assert counted.keys() == wanted
    assert set(counted.values()) == {1}
    return results


def versions_of(results: list[FrameResult]) -> list[tuple[str, str]]:
    """List detector and classifier of results by time, one entry for each change."""
    changes: list[tuple[str, str]] = []
    for result in sorted(results, key=lambda one: one.inferred_at):
        if result.detector is None or result.classifier is None:
            continue
        pair = result.detector.version, result.classifier.version
        if changes[-1:] != [pair]:
            changes.append(pair)
    return changes
