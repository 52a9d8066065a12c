"""What a policy asks for at a moment: its weekly hours, resolved."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from common.events import PolicyInfo
from common.hours import Calendar
from common.siteplan import Policy
from workers.judge.limits import CONFIRM_MS, Rule

_MINUTE_MS = 60_000


class Standard(NamedTuple):
    """What is asked of people right now."""

    rule: Rule
    policy: PolicyInfo


class Ruling:
    """A policy with its hours.

    Args:
        policy: From the site plan.
        time_zone: IANA name; used where the policy has hours.

    Attributes:
        base: What holds outside its hours.
        changing: Whether there are hours at all.
    """

    def __init__(self, policy: Policy, time_zone: str) -> None:
        rule = Rule.of(policy)
        info = PolicyInfo(
            id=policy.id, version=policy.version, required=policy.required, grace_ms=round(policy.grace_s * 1000)
        )
        self.base = Standard(rule, info)
        self.changing = bool(policy.hours)
        self._in_hours: list[Standard] = []
        for entry in policy.hours:
            required = policy.required if entry.required is None else entry.required
            grace_ms = info.grace_ms if entry.grace_s is None else round(entry.grace_s * 1000)
            told = info.model_copy(update={"required": required, "grace_ms": grace_ms})
            self._in_hours.append(Standard(replace(rule, required=required, grace_ms=max(CONFIRM_MS, grace_ms)), told))
        self._calendar = Calendar(policy.hours, time_zone) if policy.hours else None
        self._minute = -1
        self._now = self.base

    def at(self, t_ms: int) -> Standard:
        """Give what holds at a Unix time in ms."""
        if self._calendar is None:
            return self.base
        minute = t_ms // _MINUTE_MS
        if minute != self._minute:
            entry = self._calendar.entry_at(t_ms)
            self._minute, self._now = minute, self.base if entry < 0 else self._in_hours[entry]
        return self._now
