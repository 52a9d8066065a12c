"""Scripts that the broker runs as one step: sent by their hash, loaded where the broker does not know them yet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from common.broker.client import Client, call
from common.broker.clusternodes import route
from common.errors import BrokerRefusedError

Argument = str | bytes | int


class Script:
    """One Lua script; its text must be the same for every process that runs it."""

    command = "EVALSHA"

    def __init__(self, text: str) -> None:
        """Take a script's text, which starts with its flags line (``#!lua flags=allow-oom``)."""
        self._text = text
        self._sha = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - the broker names scripts by SHA-1

    def run(self, client: Client, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script once.

        Args:
            client: Command client.
            keys: All keys it touches, of one partition.
            arguments: Its ARGV.

        Raises:
            BrokerUnavailableError: As for a command; with ``in_doubt`` it may have run.
            BrokerRefusedError: It did not run.
        """
        command = (self.command, self._sha, len(keys), *keys, *arguments)
        try:
            return call(client, *command)
        except BrokerRefusedError as error:
            if error.code != "noscript":
                raise
        call(client, "SCRIPT LOAD", self._text, **route(client, keys[0]))
        return call(client, *command)


class ReadingScript(Script):
    """A script that only reads (``#!lua flags=no-writes``), so that a user who may only read can run it."""

    command = "EVALSHA_RO"
