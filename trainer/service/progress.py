"""Where a candidate under guarded promotion stands, kept on the broker so that another trainer can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from common.broker.client import Client, call
from common.models.records import ref_data, ref_of
from common.models.registry import VersionRef
from common.partition import Keys
from trainer.service.promotion import Stage


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a candidate stands, as it is kept on the broker.

    Attributes:
        ref: The candidate.
        stage: What was done last.
        since_s: When, s since the epoch.
        generation: In force while it is on trial; after promotion, its own.
        why: In words, for the stage.
    """

    ref: VersionRef
    stage: Stage
    since_s: float
    generation: int
    why: str = ""

    @property
    def active(self) -> bool:
        """Whether something is left to do."""
        return self.stage not in ("done", "refused")


class ProgressStore:
    """Keeps the progress of the last candidate (state endpoint)."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.site("trainer:rollout")

    def load(self) -> Progress | None:
        """Give it; None where there was no guarded promotion yet."""
        raw = call(self._client, "GET", self._key)
        if raw is None:
            return None
        stored = json.loads(raw)
        ref = ref_of(stored.pop("ref"))
        return Progress(ref=ref, **stored) if ref else None

    def save(self, progress: Progress) -> None:
        """Keep it."""
        call(self._client, "SET", self._key, json.dumps(asdict(progress) | {"ref": ref_data(progress.ref)}))
