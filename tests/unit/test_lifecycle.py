"""A stop reaches every thread; a budget of time is shared."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from common.lifecycle import Deadline, StopSignal

ROOT = Path(__file__).resolve().parents[2]


def test_a_waiting_thread_wakes_at_once_and_the_first_reason_is_kept() -> None:
    stop = StopSignal()
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(stop.wait(30)))
    thread.start()
    stop.set("first")
    stop.set("second")
    thread.join(5)
    assert woken == [True]
    assert stop.reason == "first"


def test_sigterm_asks_for_an_orderly_end() -> None:
    code = (
        "import os, signal\n"
        "from common.lifecycle import StopSignal\n"
        "stop = StopSignal().install()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(stop.wait(5), stop.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True SIGTERM\n"


def test_a_budget_is_never_below_nothing() -> None:
    assert Deadline.after(-1).left_s() == 0
    assert Deadline.after(-1).spent()
    assert 0 < Deadline.after(60).left_s() <= 60
