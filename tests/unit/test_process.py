"""A supervised role: started again when it dies, given up when it dies too often, ended when asked."""

from __future__ import annotations

import time

import psutil

from common.lifecycle import Deadline
from maskwatch.run.process import MAX_RESTARTS_A_MINUTE, RoleProcess
from tests.waiting import until

NOBODY = {"MASKWATCH_STATE_URL": "redis://127.0.0.1:9/0", "MASKWATCH_FRAMES_URL": "redis://127.0.0.1:9/0"}


def test_a_role_that_was_killed_is_started_again_and_ends_when_asked() -> None:
    role = RoleProcess("judge", ["judge"], NOBODY)
    role.start()
    first = role.pid
    psutil.Process(first).kill()
    until(lambda: role.watch(time.monotonic()) and role.pid != first, 10)
    assert role.restarts == 1
    until(lambda: "maskwatch" in psutil.Process(role.pid).cmdline(), 10)
    role.stop(Deadline.after(20))
    assert not psutil.pid_exists(role.pid)


def test_a_role_that_dies_at_once_again_and_again_is_given_up() -> None:
    role = RoleProcess("site", ["site", "check", "/nowhere.yaml"], {})
    role.start()
    until(lambda: not role.watch(100.0), 60)
    assert role.restarts == MAX_RESTARTS_A_MINUTE


def test_a_role_that_ended_in_order_is_not_started_again() -> None:
    role = RoleProcess("help", ["--help"], {})
    role.start()
    until(lambda: role.watch(time.monotonic()) and role.finished, 20)
    assert role.restarts == 0
