"""A stop reaches every thread; a budget of time is shared."""

from __future__ import annotations

import signal
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


def test_a_signal_never_locks_up_a_thread_that_is_just_waiting() -> None:
    """A handler runs wherever the main thread stands, also in the middle of the wait itself."""
    code = (
        "from common.lifecycle import StopSignal\n"
        "while True:\n"
        "    stop = StopSignal().install()\n"
        "    print('waiting', flush=True)\n"
        "    while not stop.wait(0.0):\n"
        "        pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        stuck = threading.Timer(30, process.kill)
        stuck.start()
        lines = 0
        for _ in range(500):
            lines += process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGTERM)
        stuck.cancel()
        process.kill()
    assert lines == 500


def test_all_threads_wake() -> None:
    stop = StopSignal()
    threads = [threading.Thread(target=stop.wait, args=(30,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(5)
    assert not [thread for thread in threads if thread.is_alive()]


def test_a_budget_is_never_below_nothing() -> None:
    assert Deadline.after(-1).left_s() == 0
    assert Deadline.after(-1).spent()
    assert 0 < Deadline.after(60).left_s() <= 60
