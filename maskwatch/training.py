"""What the front desk says to the trainer and knows of it, without loading what trains."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from typing import Any

from common.settings import host_name
from maskwatch.connection import desk
from trainer.service.lease import TrainerLease
from trainer.service.progress import ProgressStore
from trainer.service.requests import RequestBox

_NEVER_HELD_S = 1.0


def ask(by: str, why: str, *, held_back: bool) -> str:
    """Ask for a run; gives what to tell the person.

    Raises:
        BrokerError: The state broker does not answer; nothing was asked.
    """
    opened = desk()
    name = by or f"{getpass.getuser()}@{host_name()}"
    asked = RequestBox(opened.client, opened.keys).ask(name, why, held_back=held_back)
    holder = TrainerLease(opened.client, opened.keys, "desk", _NEVER_HELD_S).holder()
    waiting = "" if holder else "; no trainer runs now, it begins when one is started: maskwatch trainer"
    return f"request {asked.id} is waiting{waiting}"


def shown(*, as_json: bool) -> str:
    """Give lease, request and rollout as text or JSON.

    Raises:
        BrokerError: The state broker does not answer.
    """
    opened = desk()
    holder = TrainerLease(opened.client, opened.keys, "desk", _NEVER_HELD_S).holder()
    request = RequestBox(opened.client, opened.keys).waiting()
    progress = ProgressStore(opened.client, opened.keys).load()
    facts: dict[str, Any] = {
        "trainer": asdict(holder) if holder else None,
        "request": asdict(request) if request else None,
        "rollout": asdict(progress) if progress else None,
    }
    if as_json:
        return json.dumps(facts)
    lines = [
        f"trainer   {holder.owner}, lease for {holder.left_s:.0f} s" if holder else "trainer   none runs",
        f"request   {request.id} by {request.by}: {request.why}" if request else "request   none waits",
        f"rollout   {progress.ref.label}: {progress.stage}, {progress.why}" if progress else "rollout   none so far",
    ]
    return "\n".join(lines)
