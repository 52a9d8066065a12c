"""A broker found through Sentinel."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.errors import BrokerError, BrokerUnavailableError
from tests.topologies import port_of, sentinels
from tests.waiting import until


def test_sentinel_names_the_primary(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Commands and waits go to the primary that Sentinel names; an unknown service is unavailable, nothing in doubt."""
    settings = (f"sentinel auth-pass {{service}} {private_broker.password}",)
    with sentinels(tmp_path, {"state": port_of(private_broker)}, settings, count=1) as (port,):
        address = f"redis+sentinel://:{private_broker.password}@127.0.0.1:{port}"
        client = connect(f"{address}/state")
        until(lambda: answers(client), 10)
        call(client, "SET", "t:key", "v")
        assert call(connect(private_broker.url), "GET", "t:key") == b"v"
        assert call(connect(f"{address}/state", blocking_s=0.1), "GET", "t:key") == b"v"
        with pytest.raises(BrokerUnavailableError) as caught:
            call(connect(f"{address}/other"), "PING")
        assert not caught.value.in_doubt


def answers(client: object) -> bool:
    """Say whether the primary is found by now."""
    try:
        return bool(call(client, "PING"))  # type: ignore[arg-type]
    except BrokerError:
        return False
