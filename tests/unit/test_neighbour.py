"""Which of a machine's processes is the run that a command means; the processes are made up, so none is in the way."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from common.errors import ConfigError
from common.partition import DEFAULT_PREFIX
from maskwatch.run.neighbour import FRAMES, STATE, running_url


@dataclass
class Process:
    """What `psutil` tells of a process."""

    pid: int
    variables: dict[str, str]
    words: tuple[str, ...] = ("python", "-m", "maskwatch", "judge", "--metrics-port", "9")
    owner: int = field(default_factory=os.getuid)
    gone: bool = False

    @property
    def info(self) -> dict[str, Any]:
        return {"pid": self.pid, "uids": SimpleNamespace(real=self.owner), "cmdline": list(self.words)}

    def environ(self) -> dict[str, str]:
        if self.gone:
            raise psutil.NoSuchProcess(self.pid)
        return self.variables


def judge(number: int, prefix: str | None = None, **more: Any) -> Process:
    """A judge of a run, whose environment names its keys only where they are not the usual ones."""
    given = {} if prefix is None else {"MASKWATCH_PREFIX": prefix}
    return Process(number, {STATE: f"state-{number}", FRAMES: f"frames-{number}"} | given, **more)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """The processes of this machine."""
    processes: list[Process] = []
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter(processes))
    return processes


def test_a_run_with_the_usual_keys_is_found_whether_or_not_its_environment_names_them(machine: list[Process]) -> None:
    machine[:] = [judge(1)]
    assert running_url(STATE, DEFAULT_PREFIX) == "state-1"
    assert running_url(FRAMES, DEFAULT_PREFIX) == "frames-1"
    machine[:] = [judge(2, DEFAULT_PREFIX)]
    assert running_url(STATE, DEFAULT_PREFIX) == "state-2"


def test_of_several_runs_the_one_with_the_same_keys_is_found(machine: list[Process]) -> None:
    machine[:] = [judge(1), judge(2, "east"), judge(3, "west")]
    assert [running_url(STATE, prefix) for prefix in (DEFAULT_PREFIX, "east", "west")] == [
        "state-1", "state-2", "state-3",
    ]  # fmt: skip
    assert running_url(STATE, "north") is None


def test_several_judges_of_one_run_are_one_run(machine: list[Process]) -> None:
    first, second = judge(1), judge(2)
    second.variables = first.variables
    machine[:] = [first, second]
    assert running_url(STATE, DEFAULT_PREFIX) == "state-1"


def test_two_runs_with_the_same_keys_are_named_by_their_processes(machine: list[Process]) -> None:
    machine[:] = [judge(41), judge(42)]
    with pytest.raises(ConfigError, match=r"judges 41, 42\); name one broker in MASKWATCH_STATE_URL"):
        running_url(STATE, DEFAULT_PREFIX)


def test_what_is_no_run_of_this_user_is_none(machine: list[Process]) -> None:
    machine[:] = [
        judge(1, owner=os.getuid() + 1),
        judge(2, gone=True),
        judge(3, words=("python", "-m", "maskwatch", "infer")),
        judge(4, words=("grep", "judge")),
        Process(5, {}),
    ]
    assert running_url(STATE, DEFAULT_PREFIX) is None
