"""Brokers for tests: started once a session, never flushed; every test has key names of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.partition import Keys
from tests.brokers import Brokers, fresh_keys, open_brokers


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process, and those of whole stations in one for all: two would not get two cores."""
    for item in items:
        together = "stations" if item.path.parent.name == "e2e" else item.path.name
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def broker_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPair]:
    """The embedded frames and state brokers that all tests share; to harm one, take a `private_broker`."""
    with EmbeddedPair(tmp_path_factory.mktemp("brokers")) as pair:
        yield pair


@pytest.fixture(scope="session", params=["valkey", "redis"])
def any_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPair]:
    """The same pair once per kind of server: the bundled one, and `redis-server` where it is installed."""
    if request.param == "valkey":
        yield request.getfixturevalue("broker_pair")
        return
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    pair = EmbeddedPair(tmp_path_factory.mktemp("redis"))
    pair.frames.program = pair.state.program = Path(program)
    with pair:
        yield pair


@pytest.fixture
def brokers(broker_pair: EmbeddedPair) -> Iterator[Brokers]:
    """Clients of the embedded pair and fresh keys."""
    with open_brokers(broker_pair.frames.url, broker_pair.state.url) as opened:
        yield opened


@pytest.fixture
def any_brokers(any_pair: EmbeddedPair) -> Iterator[Brokers]:
    """Clients and fresh keys, once per kind of server: for what both must do alike."""
    with open_brokers(any_pair.frames.url, any_pair.state.url) as opened:
        yield opened


@pytest.fixture
def keys() -> Keys:
    """Key names that nobody has used yet, in four partitions."""
    return fresh_keys()


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A state broker of the test's own, to be stopped, filled and killed."""
    with EmbeddedBroker(tmp_path, persist=True, name="private") as broker:
        yield broker
