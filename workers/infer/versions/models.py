"""What an infer worker serves from its start, and where its copies of versions lie."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.broker.client import Client, connect
from common.broker.models.news import announce_last
from common.broker.models.registries import open_registry, registry_rules
from common.broker.models.shadowreports import ShadowReports
from common.broker.siteinbox import SiteInbox
from common.errors import BrokerError, BrokerUnavailableError, ModelError
from common.log import Log
from common.models.cache import settle
from common.models.registry import Registry
from common.models.signatures import Trust
from common.models.versionref import VersionRef
from common.partition import Keys
from common.settings import ModelsSettings, ServiceSettings
from workers.infer.metrics import InferMetrics
from workers.infer.settings import InferSettings
from workers.infer.versions.failures import LoadError
from workers.infer.versions.loader import Fetch, Loader, Manner, blamed
from workers.infer.versions.modelwatch import Bench, ModelWatch
from workers.infer.versions.remembrance import UNUSED_S, Remembrance
from workers.infer.versions.serving import Choice, Served, Serving
from workers.infer.versions.shadow import Shadow

TEMPORARY = "maskwatch-models-"
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class Models:
    """What serves, and everything that is needed to serve something else.

    Attributes:
        serving: What serves.
    """

    serving: Serving
    _settings: ModelsSettings
    _infer: InferSettings
    _loader: Loader
    _cache: Path
    _prefix: str
    _metrics: InferMetrics

    def watch(self, client: Client, keys: Keys, shadow: Shadow) -> ModelWatch:
        """Follow the registry from now on.

        Args:
            client: Command client of the state endpoint that nobody else uses.
            keys: Names of the installation's keys.
            shadow: Where candidates are compared.
        """
        registry = open_registry(self._settings, client, self._prefix)
        inbox = SiteInbox(client, keys)
        return ModelWatch(
            Bench(
                registry=registry,
                fetch=lambda ref: registry.fetch(ref, self._cache),
                announce=lambda: announce_last(inbox, registry, "refused"),
                reports=ShadowReports(client, self._prefix),
                loader=self._loader,
                serving=self.serving,
                shadow=shadow,
                remembrance=Remembrance(self._cache, self._prefix),
                metrics=self._metrics,
                worker=self._infer.consumer,
            )
        )


@contextmanager
def opened_models(
    settings: ModelsSettings, connection: ServiceSettings, infer: InferSettings, metrics: InferMetrics
) -> Iterator[Models]:
    """Make ready what serves first: what the registry names, else what served last, else our own release.

    Raises:
        ConfigError: A trusted key cannot be used.
        ModelError: Our own release may not serve.
        BackendError: The backend cannot run here.
    """
    rules = registry_rules(settings)
    with model_cache(infer.model_cache) as cache:
        loader = Loader(infer, metrics.time_stage)
        beginning = Beginning(loader, Remembrance(cache, connection.prefix), metrics)
        with _registry(settings, connection) as registry:
            fetch = local_only(cache, rules.trust)
            if registry is not None:
                fetch = partial(registry.fetch, into=cache)
            first = beginning.served(registry, fetch)
        metrics.tell_models(first.signature, first.choice.generation)
        yield Models(Serving(first), settings, infer, loader, cache, connection.prefix, metrics)


@contextmanager
def _registry(settings: ModelsSettings, connection: ServiceSettings) -> Iterator[Registry | None]:
    secret = connection.state_password
    try:
        client = connect(connection.state_url, password=secret.get_secret_value() if secret else None)
    except BrokerError:
        yield None
        return
    with closing(client):
        yield open_registry(settings, client, connection.prefix)


@contextmanager
def model_cache(folder: Path | None) -> Iterator[Path]:
    """Give the folder for copies of versions: the one that is asked for, or one that goes with this process."""
    if folder is not None:
        yield folder
        return
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True) as made:
        yield Path(made)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind; a live one marks its folder every few seconds."""
    oldest = time.time() - UNUSED_S
    for left in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


def local_only(cache: Path, trust: Trust) -> Fetch:
    """Fetch from the copies that are there, while the registry is away."""

    def fetch(ref: VersionRef) -> Path:
        def source() -> dict[str, bytes]:
            raise BrokerUnavailableError("connection", f"{ref.label}: no good copy here, and the registry is away")

        return settle(ref, cache, trust, source)

    return fetch


class Beginning:
    """Chooses what serves first.

    Args:
        loader: Makes networks ready.
        remembrance: Knows what served last.
        metrics: Where failures are counted.
    """

    def __init__(self, loader: Loader, remembrance: Remembrance, metrics: InferMetrics) -> None:
        self._loader = loader
        self._remembrance = remembrance
        self._metrics = metrics

    def served(self, registry: Registry | None, fetch: Fetch) -> Served:
        """Make ready what the registry names; where it is away or that fails, what served last; else our own release.

        Args:
            registry: Asked once; None where its broker could not be reached.
            fetch: Gives folders of versions.

        Raises:
            ModelError: Our own release may not serve.
            BackendError: The backend cannot run here.
        """
        asked, last = self._asked(registry), self._remembrance.load()
        asked, last = asked and self._loader.pinned(asked), last and self._loader.pinned(last)
        if asked is not None and not asked.refs:
            return self._own(asked.generation)
        for source, choice in (("registry", asked), ("memory", last)):
            if choice is None or not choice.refs or (source == "memory" and choice == asked):
                continue
            # What served here before has stood its trial.
            proven = last is not None and choice.same_networks(last)
            served = self._load(choice, fetch, Manner(prove=not proven, late=True))
            if served is not None:
                _log.info("models_begin", source=source, generation=choice.generation)
                return served
        # With the registry away, our own release is no step back where it served last.
        return self._own(last.generation if asked is None and last is not None and not last.refs else 0)

    def _asked(self, registry: Registry | None) -> Choice | None:
        try:
            pointer = registry.current() if registry else None
        except (BrokerError, ModelError) as error:
            _log.warning("registry_away", error=str(error)[:200])
            return None
        return Choice(pointer.generation, pointer.detector, pointer.classifier) if pointer else None

    def _own(self, generation: int) -> Served:
        served = self._loader.own(generation)
        _log.info("models_begin", source="own", generation=generation)
        return served

    def _load(self, choice: Choice, fetch: Fetch, manner: Manner) -> Served | None:
        try:
            return self._loader.load(choice, fetch, manner)
        except LoadError as failure:
            self._metrics.load_failures.labels(blamed(failure, choice), failure.reason).inc()
            refs = [ref.label for ref in choice.refs]
            _log.error("models_refused", purpose="begin", refs=refs, reason=failure.reason, error=str(failure))
            return None
