"""Connections to the broker: one that sends commands, one that waits; neither ever repeats a command by itself.

A broker URL has one of these forms; query options are ``db`` and, with TLS, ``ssl_ca_certs``, ``ssl_certfile`` and
``ssl_keyfile``:

    redis://[user:password@]host:port/0            rediss://…                 one server
    unix://[user@]/path/to/socket                                             one server on this machine
    redis+cluster://[user:password@]host:port,…    rediss+cluster://…         a cluster
    redis+sentinel://[user:password@]host:port,…/service                      the primary that Sentinel names

User and password are those of the servers. Sentinels that have users of their own are asked as ``sentinel_user``, with
the password in the file ``sentinel_password_file``, or with the servers' where no file is named.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisError
from redis.retry import Retry

from common.broker.clusternodes import ClusterClient, call_node, call_nodes
from common.broker.failures import broker_error, translated
from common.broker.sentinels import OPTIONS as _SENTINEL_OPTIONS
from common.broker.sentinels import primary_of, take_credentials
from common.errors import ConfigError

Client = redis.Redis | ClusterClient

COMMAND_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
BLOCKING_MARGIN_S = 3.0  # a reply that is due after ``block`` must never race the socket's own deadline

_FORMS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_OPTIONS = ("db", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", *_SENTINEL_OPTIONS)
_STRICT_ONLY = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}


def connect(
    url: str, *, blocking_s: float | None = None, password: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
) -> Client:
    """Make a client for one kind of work; nothing is sent before its first command, except to a cluster.

    Args:
        url: One of the forms in the module's text.
        blocking_s: None for commands; else the longest wait, s, of the blocking reads this client is for.
        password: Password that is not written into the URL; wins over one that is.
        timeout_s: How long a command may take, s; a blocking client takes ``blocking_s`` plus 3 s instead.

    Raises:
        ConfigError: The URL cannot be used; the message shows it without its password.
        BrokerUnavailableError: No node of a cluster answers.
    """
    if blocking_s is not None and blocking_s <= 0:
        raise ValueError("blocking_s must be above 0: a read that waits for ever cannot be ended")
    parts = _parse(url)
    options = _query_options(parts, url)
    options |= {
        "socket_timeout": timeout_s if blocking_s is None else blocking_s + BLOCKING_MARGIN_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "protocol": 2,  # no push messages, no maintenance handshake that fails once per connection
        "driver_info": None,
    }
    options |= _credentials(parts, password)
    if "cluster" in parts.scheme:
        return _connect_cluster(parts, options)
    options["retry"] = _never()
    if "sentinel" in parts.scheme:
        return _connect_sentinel(parts, options)
    return _connect_single(parts, options)


def call(client: Client, *command: Any, **options: Any) -> Any:
    """Send one command, once.

    Raises:
        BrokerUnavailableError: No answer, or a state that passes; ``in_doubt`` where it may have been carried out.
        BrokerRefusedError: The broker said no; nothing was carried out.
    """
    if isinstance(client, ClusterClient):
        return call_node(client, command, {**_reading(command), **options})
    with translated():
        return cast(Any, client).execute_command(*command, **_reading(command), **options)


def call_many(client: Client, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands in one go, each once; a refused one stands in the answer as a ``BrokerError``, the others count.

    A cluster gets them one after the other, because the library's cluster pipeline repeats commands on its own; those
    whose node does not answer stand in the answer as well, as long as any other node does.

    Raises:
        BrokerUnavailableError: The connection failed; with ``in_doubt``, any of the commands may have been carried out.
    """
    if isinstance(client, ClusterClient):
        return call_nodes(client, [(command, dict[str, Any](_reading(command))) for command in commands])
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        cast(Any, pipeline).execute_command(*command, **_reading(command))
    with translated():
        answers = pipeline.execute(raise_on_error=False)
    return [broker_error(answer) if isinstance(answer, RedisError) else answer for answer in answers]


def is_cluster(client: Client) -> bool:
    """Say whether keys lie on several servers, of which some may be away while others answer."""
    return isinstance(client, ClusterClient)


def longest_block_s(client: Client) -> float:
    """Say how long, s, a read through this client may wait."""
    pool: Any = client.nodes_manager if isinstance(client, ClusterClient) else client.connection_pool
    return max(0.001, float(pool.connection_kwargs["socket_timeout"]) - BLOCKING_MARGIN_S)


def block_ms(client: Client, block_s: float) -> int | None:
    """Give the BLOCK argument for a wait of ``block_s`` s: never 0 (for ever), never beyond the client's limit."""
    if block_s <= 0:
        return None
    return max(1, round(1000 * min(block_s, longest_block_s(client))))


def mask_url(url: str) -> str:
    """Show a broker URL without its password."""
    scheme, _, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    credentials, at, host = place.rpartition("@")
    if ":" in credentials:
        credentials = credentials.partition(":")[0] + ":***"
    shown = [pair if not pair.startswith("password=") else "password=***" for pair in query.split("&")]
    return f"{scheme}://{credentials}{at}{host}{mark}{'&'.join(shown)}"


def _reading(command: tuple[Any, ...]) -> dict[str, bool]:
    """Say which of its two replies a command will get; the library cannot tell from the reply."""
    if command[0] == "XPENDING" and len(command) > 3:
        return {"parse_detail": True}
    return {"parse_justid": True} if command[0] == "XCLAIM" and command[-1] == "JUSTID" else {}


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _parse(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _FORMS:
        near = difflib.get_close_matches(parts.scheme, _FORMS, 1)
        hint = f"; did you mean {near[0]}://" if near else ""
        raise ConfigError(f"broker URL {mask_url(url)}: the form must be one of {', '.join(_FORMS)}{hint}")
    if not (parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]):
        raise ConfigError(f"broker URL {mask_url(url)}: no {'path' if parts.scheme == 'unix' else 'host'} given")
    return parts


def _query_options(parts: SplitResult, url: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _STRICT_ONLY:
            if value.lower() != _STRICT_ONLY[name]:
                raise ConfigError(
                    f"broker URL {mask_url(url)}: {name}={value} would accept any server; name its CA in ssl_ca_certs"
                )
        elif name not in _OPTIONS:
            near = difflib.get_close_matches(name, _OPTIONS, 1) or [", ".join(_OPTIONS)]
            raise ConfigError(f"broker URL {mask_url(url)}: unknown option {name}; nearest: {near[0]}")
        else:
            options[name] = value
    if "db" in options:
        options["db"] = _number(options["db"], "db", url)
    if parts.scheme.startswith("rediss"):
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    elif any(name.startswith("ssl_") for name in options):
        raise ConfigError(f"broker URL {mask_url(url)}: ssl_… options need a rediss:// form")
    if "sentinel" not in parts.scheme and any(name in options for name in _SENTINEL_OPTIONS):
        raise ConfigError(f"broker URL {mask_url(url)}: sentinel_… options need a redis+sentinel:// form")
    return options


def _number(text: str, name: str, url: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"broker URL {mask_url(url)}: {name} must be a number")
    return int(text)


def _credentials(parts: SplitResult, password: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    user, _, secret = parts.netloc.rpartition("@")[0].partition(":")
    if user:
        found["username"] = unquote(user)
    if password or secret:
        found["password"] = password or unquote(secret)
    return found


def _addresses(parts: SplitResult, port: int) -> list[tuple[str, int]]:
    addresses = []
    for item in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{item}")
        try:
            addresses.append((one.hostname or "", one.port or port))
        except ValueError as error:
            raise ConfigError(f"broker URL: {item} is not host:port") from error
    return addresses


def _connect_single(parts: SplitResult, options: dict[str, Any]) -> Client:
    if parts.scheme == "unix":
        return redis.Redis(unix_socket_path=unquote(parts.path), **options)
    ((host, port),) = _addresses(parts, 6379)[:1]
    if parts.path.strip("/"):
        options.setdefault("db", _number(parts.path.strip("/"), "the database in the path", parts.geturl()))
    return redis.Redis(host=host, port=port, ssl=parts.scheme == "rediss", **options)


def _connect_cluster(parts: SplitResult, options: dict[str, Any]) -> Client:
    node: Any = ClusterNode
    nodes = [node(host, port) for host, port in _addresses(parts, 6379)]
    options.pop("db", None)
    with translated():
        return ClusterClient(startup_nodes=nodes, retry=_never(), ssl=parts.scheme.startswith("rediss"), **options)


def _connect_sentinel(parts: SplitResult, options: dict[str, Any]) -> Client:
    service = unquote(parts.path.strip("/"))
    if not service:
        raise ConfigError(f"broker URL {mask_url(parts.geturl())}: Sentinel needs the service's name as its path")
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if parts.scheme.startswith("rediss"):
        tls["ssl"] = True
    asking = {"socket_timeout": COMMAND_TIMEOUT_S, "retry": _never(), "protocol": 2, "driver_info": None, **tls}
    asking |= take_credentials(options)
    return primary_of(service, _addresses(parts, 26379), asking, {**options, **tls})
