"""The nodes of a cluster, one by one: which of them answer, and every command sent to the one that holds its key.

The library finds a command's node by asking the node with the lowest slots how the command is built; while that node
is away it finds none. Here the key's place in a command is known, so the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import exceptions as failed
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from common.broker.failures import broker_error, translated
from common.errors import BrokerError, BrokerUnavailableError

REFUSED_PAUSE_S = 0.5
"""How long a node that could not be reached is left alone, s."""
SILENT_PAUSE_S = 10.0
"""How long one that let a command run into its deadline is: each such wait holds up everybody."""
_SILENT = "timeout"
_KEYLESS = frozenset({"TIME", "PING", "ECHO", "INFO", "HELLO", "CONFIG", "ACL", "SCRIPT", "CLUSTER"})
_SCRIPTS = frozenset({"EVALSHA", "EVALSHA_RO"})  # their hash and the number of keys come first


@dataclass(frozen=True, slots=True)
class _Absence:
    until_s: float
    error: BrokerUnavailableError


class Absences:
    """Which nodes did not answer lately. Thread-safe.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Absence] = {}

    def last(self, node: str) -> BrokerUnavailableError | None:
        """Give the error of a node that is to be left alone now; None where it may be asked."""
        absence = self._known.get(node)
        return absence.error if absence is not None and self._clock() < absence.until_s else None

    def note(self, node: str, error: BrokerUnavailableError) -> None:
        """Take note that a node did not answer."""
        pause_s = SILENT_PAUSE_S if error.code == _SILENT else REFUSED_PAUSE_S
        with self._lock:
            self._known[node] = _Absence(self._clock() + pause_s, error)

    def over(self, node: str) -> None:
        """Take note that it answered."""
        if node in self._known:
            with self._lock:
                self._known.pop(node, None)

    def present(self, nodes: Iterable[str]) -> list[str]:
        """Give those of these nodes that did not fail to answer when they were last asked."""
        return [node for node in nodes if node not in self._known]


class ClusterClient(RedisCluster):
    """The library's client, with what it does not keep: which nodes are away.

    Attributes:
        absences: Shared by all threads that use this client.
    """

    def __init__(self, **options: Any) -> None:
        self.absences = Absences()
        super().__init__(**options)

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """As the library's, but what it asks in its constructor is asked of any node that answers."""
        ask = cast(Any, super()).execute_command
        if command[0] != "COMMAND":
            return ask(*command, **options)
        *nodes, last = cast(Any, self).get_primaries()
        for node in nodes:
            try:
                return ask(*command, **options, target_nodes=node)
            except (failed.ConnectionError, failed.TimeoutError):
                continue
        return ask(*command, **options, target_nodes=last)


def call_node(client: ClusterClient, command: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Send one command, once, to the node of its key; one without a key to a node that answers.

    Raises:
        BrokerUnavailableError: No answer; with ``node`` where others still answer.
        BrokerRefusedError: The broker said no.
    """
    with translated():
        node: ClusterNode = options.pop("target_nodes", None) or _node_for(client, command)
    if (last := client.absences.last(node.name)) is not None:
        raise BrokerUnavailableError(last.code, str(last), node=_alone(client, node.name))
    try:
        answer = cast(Any, client).execute_command(*command, target_nodes=node, **options)
    except (RedisError, RedisClusterException) as error:
        ours = broker_error(error)
        if isinstance(ours, BrokerUnavailableError):
            client.absences.note(node.name, ours)
            ours.node = _alone(client, node.name)
        raise ours from error
    client.absences.over(node.name)
    return answer


def call_nodes(client: ClusterClient, commands: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
    """Send commands one after the other; one that failed stands in the answer as a `BrokerError`.

    Raises:
        BrokerUnavailableError: No node answers.
    """
    answers: list[Any] = []
    for command, options in commands:
        try:
            answers.append(call_node(client, command, options))
        except BrokerError as error:
            if isinstance(error, BrokerUnavailableError) and not error.node:
                raise
            answers.append(error)
    return answers


def route(client: object, key: str) -> dict[str, Any]:
    """Give the options that send a command to the node of ``key``; empty where there is only one."""
    return {"target_nodes": _node_of(client, key)} if isinstance(client, ClusterClient) else {}


def by_node(client: ClusterClient, keys: Iterable[str]) -> dict[str, list[str]]:
    """Sort keys by the name of the node that holds them."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(_node_of(client, key).name, []).append(key)
    return found


def _node_for(client: ClusterClient, command: tuple[Any, ...]) -> ClusterNode:
    name, *rest = command
    if name.partition(" ")[0] in _KEYLESS or not rest:
        return _any_node(client)
    return _node_of(client, rest[2] if name in _SCRIPTS else rest[0])


def _node_of(client: ClusterClient, key: str | bytes) -> ClusterNode:
    with translated():
        return cast(ClusterNode, cast(Any, client).get_node_from_key(key))


def _any_node(client: ClusterClient) -> ClusterNode:
    """Give the first node that answers, so that whoever asks for the time asks the same one each time."""
    nodes = {node.name: node for node in cast(Any, client).get_primaries()}
    present = client.absences.present(nodes)
    return nodes[present[0]] if present else cast(ClusterNode, cast(Any, client).get_default_node())


def _alone(client: ClusterClient, node: str) -> str:
    """Give the node's name where others answer, else nothing."""
    others = [one.name for one in cast(Any, client).get_primaries() if one.name != node]
    return node if client.absences.present(others) else ""
