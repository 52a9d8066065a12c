"""A broker found through Sentinel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded import EmbeddedBroker
from common.broker.embedded_program import find_server
from common.broker.serverprocess import free_port
from common.errors import BrokerError, BrokerUnavailableError
from tests.waiting import until


def test_sentinel_names_the_primary(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Commands and waits go to the primary that Sentinel names; an unknown service is unavailable, nothing in doubt."""
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    primary = private_broker.url.rpartition(":")[2].partition("/")[0]
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {tmp_path}\n"
        f"sentinel monitor state 127.0.0.1 {primary} 1\nsentinel auth-pass state {private_broker.password}\n"
    )
    sentinel = subprocess.Popen(
        [str(find_server()), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"redis+sentinel://:{private_broker.password}@127.0.0.1:{port}"
        client = connect(f"{address}/state")
        until(lambda: answers(client), 10)
        call(client, "SET", "t:key", "v")
        assert call(connect(private_broker.url), "GET", "t:key") == b"v"
        assert call(connect(f"{address}/state", blocking_s=0.1), "GET", "t:key") == b"v"
        with pytest.raises(BrokerUnavailableError) as caught:
            call(connect(f"{address}/other"), "PING")
        assert not caught.value.in_doubt
    finally:
        sentinel.kill()
        sentinel.wait()


def answers(client: object) -> bool:
    """Say whether the primary is found by now."""
    try:
        return bool(call(client, "PING"))  # type: ignore[arg-type]
    except BrokerError:
        return False
