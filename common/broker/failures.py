"""Turns the client library's errors into ours, and says of each whether the command may have been carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as failed
from redis.exceptions import RedisClusterException, RedisError

from common.broker.remedies import remedy
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError

PASSING_CODES = frozenset(
    {
        "loading",
        "readonly",
        "unblocked",
        "masterdown",
        "clusterdown",
        "tryagain",
        "noreplicas",
        "busy",
        "connection",
        "timeout",
        "cluster",
    }
)
"""Codes of states that pass by themselves, raised as ``BrokerUnavailableError``."""

RETRYABLE_CODES = PASSING_CODES | {"oom", "misconf"}
"""All codes worth another try with jittered backoff: after ``oom`` and ``misconf`` space may return."""

_CODES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((failed.TimeoutError,), "timeout"),
    ((failed.AuthenticationError, failed.AuthorizationError), "noauth"),
    ((failed.ConnectionError, failed.InvalidResponse), "connection"),
    ((RedisClusterException,), "cluster"),
)
_CONNECTING_FRAMES = frozenset({"connect", "connect_check_health", "get_connection"})


@contextmanager
def translated() -> Iterator[None]:
    """Run broker commands so that only our errors come out.

    Raises:
        BrokerUnavailableError: No answer, or a state that passes; ``in_doubt`` where it may have been carried out.
        BrokerRefusedError: The broker said no; nothing was carried out.
    """
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        raise broker_error(error) from error


def broker_error(error: Exception) -> BrokerError:
    """Make our error of one of the client library's; the message holds the broker's words, never the command's."""
    code = code_of(error)
    words = str(error).removesuffix(".")
    text = "; ".join(filter(None, (f"the broker did not do as asked ({code}): {words}", remedy(code, words))))
    if isinstance(error, failed.TimeoutError | failed.ConnectionError) and code in ("timeout", "connection"):
        return BrokerUnavailableError(code, text, in_doubt=not _was_connecting(error))
    if isinstance(error, RedisClusterException):
        return BrokerUnavailableError(code, text, in_doubt=_cluster_call_in_doubt(error))
    if isinstance(error, failed.InvalidResponse):
        return BrokerUnavailableError("connection", text, in_doubt=True)
    if code in PASSING_CODES:
        return BrokerUnavailableError(code, text)
    return BrokerRefusedError(code, text)


def code_of(error: Exception) -> str:
    """Name an error by the broker's own prefix in lower case (``oom``), or ``timeout``, ``connection``, ``cluster``."""
    status = getattr(error, "status_code", None)
    if status:
        return str(status).lower()
    named = next((code for kinds, code in _CODES if isinstance(error, kinds)), "")
    if named:
        return named
    if type(error) is failed.ClusterError:  # sent from node to node until it was tired of it: the keys are on the move
        return "tryagain"
    first = str(error).partition(" ")[0]
    return first.lower() if first.isupper() and first.isalpha() else "err"


def _was_connecting(error: BaseException) -> bool:
    """Say whether the error arose before a command went out.

    The library has one class for a refused connection and one lost half-way; only the place it was raised tells.
    """
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name in _CONNECTING_FRAMES:
            return True
        traceback = traceback.tb_next
    return False


def _cluster_call_in_doubt(error: BaseException) -> bool:
    """Find the connection error that a failed look for a new topology covers up, and ask that one."""
    cause = error.__context__
    while cause is not None:
        if isinstance(cause, failed.TimeoutError | failed.ConnectionError) and not _was_connecting(cause):
            return True
        cause = cause.__context__
    return False
