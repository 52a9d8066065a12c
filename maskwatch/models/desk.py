"""The front desk's way to the model registry: which one is meant, what its versions are called, who is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.advice import nearest
from common.broker.models.registries import open_registry, registry_rules
from common.broker.siteinbox import SiteInbox
from common.errors import BrokerError, ConfigError
from common.models.directory import DirectoryRegistry
from common.models.manifest import MANIFEST_NAME, Kind, Manifest, bundled, read_manifest
from common.models.registry import Pointer, Registry, VersionRef
from common.models.retention import RegistryRules
from common.settings import ModelsSettings, load
from maskwatch.connection import StateDesk, desk

BUNDLED = "bundled"
KINDS: tuple[Kind, ...] = ("detector", "classifier")


@dataclass(frozen=True, slots=True)
class ModelDesk:
    """A registry, and where the site is told of what was done to it.

    Attributes:
        registry: The registry.
        rules: What it keeps and whose signatures count.
        inbox: Where news go; None where no station is at hand.
    """

    registry: Registry
    rules: RegistryRules
    inbox: SiteInbox | None

    def resolve(self, name: str) -> VersionRef:
        """Find a version by ``kind/version``, or by its version alone where only one kind has it.

        Raises:
            ConfigError: There is none of that name, or one of each kind; the nearest is named.
        """
        refs = [one.ref for one in self.registry.versions()]
        found = [ref for ref in refs if name in (ref.label, ref.version)]
        if len(found) > 1:
            raise ConfigError(f"{name}: there is one of each kind; say {' or '.join(ref.label for ref in found)}")
        if not found:
            known = {ref.label for ref in refs}
            raise ConfigError(f"there is no version {name!r} here{nearest(name, known)}; see: maskwatch models list")
        return found[0]

    def manifest(self, name: str) -> Manifest:
        """Give a manifest by a version's name, ``kind/bundled``, or the path of a version folder.

        Raises:
            ConfigError: There is none.
        """
        if "/" in name and (Path(name) / MANIFEST_NAME).is_file():
            return read_manifest(Path(name) / MANIFEST_NAME)
        for kind in KINDS:
            if name == f"{kind}/{BUNDLED}":
                return read_manifest(bundled(kind) / MANIFEST_NAME)
        return self.registry.manifest(self.resolve(name))

    def in_service(self, kind: Kind) -> Manifest:
        """Give the manifest of what is in service."""
        pointer = self.registry.current()
        ref = pointer.detector if kind == "detector" else pointer.classifier
        return read_manifest(bundled(kind) / MANIFEST_NAME) if ref is None else self.registry.manifest(ref)

    def tell(self, post: Callable[[SiteInbox, Registry], object]) -> None:
        """Tell the site; where it cannot be told, what was done stands and a line says so."""
        if self.inbox is None:
            return
        try:
            post(self.inbox, self.registry)
        except BrokerError as error:
            print(f"maskwatch: done, but the site could not be told: {error}", file=sys.stderr)


def open_models(folder: Path | None, *, make: bool = False) -> ModelDesk:
    """Open the registry that is meant: ``folder``, else the settings' one, else that of the state broker.

    Args:
        folder: A registry folder; nobody is told of what is done to it.
        make: Whether a folder that is not there yet is made.

    Raises:
        ConfigError: The folder is not there, or trusted keys cannot be read.
        BrokerError: The state broker does not answer.
    """
    settings = load(ModelsSettings, registry=folder)
    rules = registry_rules(settings)
    if settings.registry is None:
        state = desk()
        return ModelDesk(open_registry(settings, state.client, state.keys.prefix), rules, _inbox(state))
    if not make and not settings.registry.is_dir():
        raise ConfigError(f"{settings.registry}: there is no registry folder")
    registry = DirectoryRegistry(settings.registry, rules)
    return ModelDesk(registry, rules, None if folder is not None else _inbox_nearby())


def named(ref: VersionRef | None, kind: Kind) -> str:
    """Name what is in service of a kind."""
    return f"{kind}/{BUNDLED}" if ref is None else ref.label


def both(pointer: Pointer) -> str:
    """Name both versions that a pointer means."""
    return f"{named(pointer.detector, 'detector')}, {named(pointer.classifier, 'classifier')}"


def _inbox(state: StateDesk) -> SiteInbox:
    return SiteInbox(state.client, state.keys)


def _inbox_nearby() -> SiteInbox | None:
    try:
        return _inbox(desk())
    except (ConfigError, BrokerError):
        return None  # a folder serves places where no station is at hand
