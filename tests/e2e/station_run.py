"""A run of the whole product as its users start it, as a child process, with its roles within reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import redis

from common.partition import DEFAULT_PREFIX
from tests.brokers import fresh_keys
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


class StationRun:
    """``maskwatch demo`` or ``maskwatch up``, ended with the test whatever happens.

    Its keys are its own, since commands look for a run among all processes of this machine, and other tests may have
    theirs at the same time. A variable that is given empty is not set: without ``MASKWATCH_PREFIX`` they are the usual.

    Attributes:
        prefix: What its keys begin with.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "maskwatch", *arguments, "--summary", "json"]
        given = {"MASKWATCH_PREFIX": fresh_keys().prefix} | environment
        self.prefix = given["MASKWATCH_PREFIX"] or DEFAULT_PREFIX
        self.seen: list[dict[str, Any]] = []
        self.started_a_broker = False
        self._folder = TemporaryDirectory()
        variables = os.environ | {"TMPDIR": self._folder.name} | given
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        until(self._folder_gone, 10)

    def _folder_gone(self) -> bool:
        """Remove what a killed run left; its brokers may write for a moment longer."""
        with suppress(OSError):
            self._folder.cleanup()
            return True
        return False

    def find(self, word: str) -> psutil.Process | None:
        """Find the child whose command line holds ``word``, such as ``judge`` or ``frames``."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if any(word in part for part in child.cmdline()):
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    def find_broker(self, endpoint: str) -> psutil.Process | None:
        """Find the server behind ``frames`` or ``state`` by the port it listens on; its arguments tell nothing."""
        url = self._url(endpoint)
        if url is None:
            return None
        port = urlsplit(url).port
        for child in psutil.Process(self.process.pid).children():
            if any(one.laddr and one.laddr.port == port and one.status == "LISTEN" for one in child.net_connections()):
                return child
        return None

    def _url(self, endpoint: str) -> str | None:
        """Read a broker's URL off the judge; None before it runs, or while it is becoming one."""
        judge = self.find("judge")
        with suppress(psutil.Error):
            return judge.environ().get(f"MASKWATCH_{endpoint.upper()}_URL") if judge else None
        return None

    def events(self) -> list[dict[str, Any]]:
        """Read the event log as any subscriber may, with a plain redis client; empty before the brokers run."""
        url = self._url("state")
        if url is None:
            return []
        client: Any = redis.Redis.from_url(url)
        try:
            streams = [client.xrange(key) for key in client.scan_iter(self.prefix + ":{p*}:ev")]
        except redis.ConnectionError:
            return []
        finally:
            client.close()
        return [json.loads(fields[b"event"]) for entries in streams for _, fields in entries]

    def _ended(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            self.started_a_broker |= self.find("valkey-server") is not None
            self.seen = self.events() or self.seen
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        return self.process.returncode is not None

    def violations(self, lifecycle: str) -> list[dict[str, Any]]:
        """Those of the logged events that start, update or end a violation."""
        return [event for event in self.events() if event["type"] == f"maskwatch.violation.{lifecycle}.v1"]

    def summary(self, timeout_s: float) -> tuple[dict[str, Any], int]:
        """Wait for the end; gives the summary, the last line of standard output, and the exit status.

        Until then the log is read again and again, since it ends with the run; `seen` keeps the last reading.
        """
        until(self._ended, timeout_s)
        out, err = self.process.communicate()
        assert out.strip(), err
        summary: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        print(err[-4000:], json.dumps(summary))
        return summary, self.process.returncode
