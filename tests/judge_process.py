"""A judge in a process of its own, to be killed by tests: ``python -m tests.judge_process`` with MASKWATCH_… set."""

from __future__ import annotations

import sys

from common import log
from common.lifecycle import StopSignal
from common.settings import ServiceSettings, load
from workers.judge.service import run
from workers.judge.settings import JudgeSettings

if __name__ == "__main__":
    log.configure("info")
    sys.exit(run(load(ServiceSettings), load(JudgeSettings), StopSignal().install()))
