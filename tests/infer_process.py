"""An infer worker as a process, told on standard input what to do: ``python -m tests.infer_process``."""

from __future__ import annotations

import json
import sys

from common.lifecycle import StopSignal
from common.log import configure
from common.settings import ServiceSettings
from workers.infer import service
from workers.infer.settings import InferSettings

if __name__ == "__main__":
    question = json.load(sys.stdin)
    configure("error")
    status = service.run(
        ServiceSettings(**question["connection"]), InferSettings(**question["infer"]), StopSignal().install()
    )
    if "torch" in sys.modules:
        raise SystemExit("torch was imported")
    raise SystemExit(status)
