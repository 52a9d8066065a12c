"""What became of every labelled crop: believed, put in quarantine, or held back with a refused candidate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import TrainingError
from trainer.files import replace_file

NAME = "ledger.json"
Fate = Literal["accepted", "quarantined", "held_back"]


class Entry(BaseModel):
    """One crop's fate.

    Attributes:
        fate: accepted (part of a candidate that passed), quarantined (not believed), held_back (the candidate that it
            was part of was refused).
        run: Which run decided.
        label: Label at that time; a crop labelled anew is new.
        why: In words, where it is not accepted.
        held_out: Whether it is kept for judging and never learnt from; for good, so that no later run learns from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fate: Fate
    run: str
    label: str
    why: str = ""
    held_out: bool = False


class Ledger:
    """Remembers fates across runs, by file name; names and labels only, no pixels.

    Args:
        folder: Folder of runs.

    Raises:
        TrainingError: The file is there but cannot be read; it is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries: dict[str, Entry] = {}
        if self._path.is_file():
            try:
                stored = json.loads(self._path.read_bytes())
                self._entries = {file: Entry.model_validate(entry) for file, entry in stored.items()}
            except (OSError, ValueError, AttributeError, ValidationError) as error:
                raise TrainingError(f"{self._path}: cannot be read; move it away to begin anew") from error

    def fate(self, file: str, label: str) -> Entry | None:
        """Say what became of a crop with this label; None for one that is new."""
        entry = self._entries.get(file)
        return entry if entry and entry.label == label else None

    def count(self) -> dict[Fate, int]:
        """Count by fate."""
        counts: dict[Fate, int] = {"accepted": 0, "quarantined": 0, "held_back": 0}
        for entry in self._entries.values():
            counts[entry.fate] += 1
        return counts

    def enter(self, entries: Mapping[str, Entry], there: Iterable[str]) -> None:
        """Write fates down and forget crops that are no longer ``there``, as they were erased."""
        known = set(there)
        self._entries = {file: entry for file, entry in (self._entries | dict(entries)).items() if file in known}
        text = json.dumps({file: entry.model_dump() for file, entry in self._entries.items()}, indent=0)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, text.encode())
