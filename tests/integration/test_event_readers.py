"""``maskwatch events readers`` and ``forget``: whose places in the log are remembered."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from common.broker.embedded.brokers import EmbeddedPair
from common.broker.events.cursors import CursorStore
from common.broker.events.log import EventLog
from common.broker.layout import ensure_layout
from common.errors import ConfigError
from common.subscriber import Subscriber, Subscription
from maskwatch.cli import app
from tests.brokers import Brokers
from tests.event_writing import EventWriter


def command(*arguments: str) -> Result:
    """Run ``maskwatch events …``."""
    return CliRunner().invoke(app, ["events", *arguments])


def test_readers_are_listed_and_forgotten(
    brokers: Brokers, broker_pair: EmbeddedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKWATCH_STATE_URL", broker_pair.state.url)
    monkeypatch.setenv("MASKWATCH_PREFIX", brokers.keys.prefix)
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    assert command("readers").output == "nobody's place is remembered\n"
    writer = EventWriter(brokers.state, brokers.keys)
    writer.write("a", 2)
    log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
    wanted = Subscription(start="0", name="dash", follow=False)
    with Subscriber(log, CursorStore(brokers.state, brokers.keys), wanted) as reader:
        assert len(list(reader)) == 2
    writer.write("a", 1)
    (row,) = json.loads(command("readers", "--json").output)
    assert (row["name"], row["partitions_with_unread"]) == ("dash", 1)
    assert "unread events in 1 of" in command("readers").output
    refused = command("forget", "desh")
    assert isinstance(refused.exception, ConfigError)
    assert "did you mean 'dash'?" in str(refused.exception)
    assert command("forget", "dash").output == "forgotten: dash\n"
    assert json.loads(command("readers", "--json").output) == []
