"""What workers say of a candidate that they run beside what serves (state endpoint)."""

from __future__ import annotations

from pydantic import ValidationError

from common.broker.client import Client, call
from common.models.registry import Rollout
from common.models.rollout_report import ShadowReport
from common.partition import Keys

KEPT_S = 86_400


class ShadowReports:
    """The last report of each worker, for a day after the last one.

    Args:
        client: Command client of the state endpoint.
        prefix: First part of the installation's keys.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._key = Keys(prefix).site("models:shadow")

    def put(self, report: ShadowReport) -> None:
        """Keep a worker's report in place of its last one."""
        call(self._client, "HSET", self._key, report.worker, report.model_dump_json())
        call(self._client, "EXPIRE", self._key, KEPT_S)

    def of(self, rollout: Rollout) -> list[ShadowReport]:
        """Give the reports on this rollout, by worker name; those on earlier ones are passed over."""
        names = candidate_names(rollout)
        found = []
        for _, stored in sorted(call(self._client, "HGETALL", self._key).items()):
            try:
                report = ShadowReport.model_validate_json(stored)
            except ValidationError:
                continue  # written by another release
            if (report.candidate, report.started_at) == (names, rollout.at_s):
                found.append(report)
        return found


def candidate_names(rollout: Rollout) -> tuple[str, ...]:
    """Name a rollout's candidate as reports carry it."""
    return tuple(f"{ref.label}:{ref.digest[:12]}" for ref in rollout.candidate)
