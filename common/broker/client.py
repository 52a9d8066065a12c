"""Connections to the broker: one that sends commands, one that waits; neither ever repeats a command by itself.

A broker URL has one of these forms; query options are ``db`` and, with TLS, ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``:

    redis://[user:password@]host:port/0            rediss://…                 one server
    unix://[user@]/path/to/socket                                             one server on this machine
    redis+cluster://[user:password@]host:port,…    rediss+cluster://…         a cluster
    redis+sentinel://[user:password@]host:port,…/service                      the primary that Sentinel names
"""

from __future__ import annotations

import difflib
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from common.broker.failures import broker_error, translated
from common.errors import BrokerError, ConfigError

type_ = type  # keeps ``type`` readable below where a parameter of redis is called so
Client = redis.Redis | RedisCluster

COMMAND_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
BLOCKING_MARGIN_S = 3.0  # a reply that is due after ``block`` must never race the socket's own deadline (B1)

_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_OPTIONS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "password")
_UNSAFE = {"ssl_cert_reqs": ("required",), "ssl_check_hostname": ("true", "yes", "1")}
