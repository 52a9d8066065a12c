"""Which model registry the settings mean: the one on the state broker, or a folder."""

from __future__ import annotations

from common.broker.client import Client
from common.broker.models.store import BrokerRegistry
from common.models.directory import DirectoryRegistry
from common.models.registry import Registry
from common.models.retention import RegistryRules
from common.models.signatures import load_trust
from common.settings import ModelsSettings


def registry_rules(settings: ModelsSettings) -> RegistryRules:
    """Read what a registry keeps and whose signatures count.

    Raises:
        ConfigError: A file of trusted keys holds none.
    """
    trust = load_trust(settings.trusted_keys, required=settings.require_signature)
    return RegistryRules(keep=settings.keep, trust=trust)


def open_registry(settings: ModelsSettings, client: Client, prefix: str) -> Registry:
    """Open the registry that is meant.

    Args:
        settings: ``MASKWATCH_MODELS_…``.
        client: Command client of the state endpoint, used by one thread.
        prefix: First part of the installation's keys.

    Raises:
        ConfigError: A file of trusted keys holds none.
    """
    rules = registry_rules(settings)
    if settings.registry is not None:
        return DirectoryRegistry(settings.registry, rules)
    return BrokerRegistry(client, prefix, rules)
