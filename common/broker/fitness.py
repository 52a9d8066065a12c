"""Asks a broker at the start whether it may be used: what it is, how old, and whether it throws data away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from common.broker.client import Client, call
from common.broker.clusternodes import ClusterClient
from common.errors import BrokerRefusedError, BrokerUnavailableError, BrokerUnfitError

Version = tuple[int, int, int]

OLDEST: dict[str, Version] = {"redis": (7, 0, 0), "valkey": (8, 0, 0)}
"""Below these, commands are missing that everything here stands on."""

PATCHED: dict[str, tuple[Version, ...]] = {
    "redis": ((8, 6, 3),),
    "valkey": ((8, 1, 12), (9, 0, 8), (9, 1, 4)),
}
"""First releases without the known faults in blocked reads and scripts, one per maintained line."""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What a broker said of itself.

    Attributes:
        server: ``redis`` or ``valkey``.
        version: Its version, as it writes it.
        mode: ``standalone``, ``sentinel`` or ``cluster``.
        policy: Its ``maxmemory-policy``; None where our user may not ask.
        warnings: What the operator should know, a sentence each.
        away: Nodes of a cluster that do not answer while others do; each has a warning too.
    """

    server: str
    version: str
    mode: str
    policy: str | None
    warnings: tuple[str, ...]
    away: tuple[str, ...] = ()


def probe(client: Client, role: Literal["frames", "state"]) -> BrokerFacts:
    """Look at a broker before the first use; in a cluster at each of its primaries.

    Args:
        client: Command client of the endpoint.
        role: What the endpoint is for.

    Raises:
        BrokerUnfitError: It is too old, or evicts keys; the message says what to change.
        BrokerUnavailableError: It does not answer; a node of a cluster may be away, which is one of the warnings.
        BrokerRefusedError: It does not let us in.
    """
    found, away = [], {}
    for node in _nodes(client):
        try:
            found.append(_probe_node(client, role, node))
        except BrokerUnavailableError as error:
            if not error.node:
                raise
            words = f"node {error.node} of the {role} broker does not answer ({error.code}); its partitions wait"
            away[error.node] = words
    warnings = tuple(dict.fromkeys([*away.values(), *(text for facts in found for text in facts.warnings)]))
    first = found[0]
    return BrokerFacts(first.server, first.version, first.mode, first.policy, warnings, tuple(away))


def patch_warning(server: str, version: Version) -> str | None:
    """Say what to do about a version that lacks known fixes; None where it has them."""
    floors = PATCHED.get(server, ())
    same_line = [floor for floor in floors if floor[:2] == version[:2]]
    if not floors or version >= (same_line[0] if same_line else floors[-1]):
        return None
    wanted = " or ".join(".".join(map(str, floor)) for floor in floors)
    shown = ".".join(map(str, version))
    return f"{server} {shown} may lack security fixes; run {wanted} or later, or a vendor's build with the same fixes"


def _probe_node(client: Client, role: str, node: dict[str, Any]) -> BrokerFacts:
    said = _pairs(call(client, "HELLO", **node))
    server, version, mode = (said.get(name, "").lower() for name in ("server", "version", "mode"))
    number = _version(version)
    oldest = OLDEST.get(server)
    if oldest is None or number < oldest:
        raise BrokerUnfitError(f"the {role} broker is {server} {version}; needed is Redis 7.0 or Valkey 8.0, or later")
    said_of = _settings(client, node)
    policy = said_of.get("maxmemory-policy")
    if policy is not None and policy.startswith("allkeys-"):
        raise BrokerUnfitError(
            f"the {role} broker has maxmemory-policy {policy}, which deletes whole streams under load; set noeviction"
        )
    # What only this machine reaches is the bundled server or a development one, whose version nobody here chose.
    patch = None if _is_local(client) else patch_warning(server, number)
    warnings = [patch, *_persistence_warnings(role, said_of)]
    return BrokerFacts(server, version, mode, policy, tuple(text for text in warnings if text))


def _persistence_warnings(role: str, settings: dict[str, str | None]) -> Iterator[str]:
    appending, saving = settings.get("appendonly"), settings.get("save")
    if role == "frames" and (appending == "yes" or saving):
        yield "the frames broker writes frames to disk; set appendonly no and save ''"
    if role == "state" and appending == "no":
        yield "the state broker keeps its data in memory only; set appendonly yes"


def _is_local(client: Client) -> bool:
    if isinstance(client, ClusterClient):
        return False
    where = client.connection_pool.connection_kwargs
    return "path" in where or where.get("host") in ("127.0.0.1", "::1", "localhost")


def _nodes(client: Client) -> list[dict[str, Any]]:
    if isinstance(client, ClusterClient):
        return [{"target_nodes": node} for node in cast(Any, client).get_primaries()]
    return [{}]


def _settings(client: Client, node: dict[str, Any]) -> dict[str, str | None]:
    """Ask how a server is set: a named user by INFO, which it may use, so that it leaves no denied attempt behind."""
    if _is_named(client):
        try:
            facts = call(client, "INFO", **node)
        except BrokerRefusedError:
            pass
        else:
            appending = "yes" if int(facts.get("aof_enabled", 0)) else "no"
            return {"maxmemory-policy": facts.get("maxmemory_policy"), "appendonly": appending}
    return {name: _setting(client, name, node) for name in ("maxmemory-policy", "appendonly", "save")}


def _is_named(client: Client) -> bool:
    pool: Any = client.nodes_manager if isinstance(client, ClusterClient) else client.connection_pool
    return pool.connection_kwargs.get("username") not in (None, "default")


def _setting(client: Client, name: str, node: dict[str, Any]) -> str | None:
    try:
        return _pairs(call(client, "CONFIG GET", name, **node)).get(name)
    except BrokerRefusedError:
        return None  # a user with narrow rights may not ask; the operator's check does


def _pairs(reply: Any) -> dict[str, str]:
    flat = [part for pair in reply.items() for part in pair] if isinstance(reply, dict) else reply
    return {_text(name): _text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _version(text: str) -> Version:
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split("-", maxsplit=1)[0].split(".")]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch
