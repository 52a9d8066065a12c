"""A run as it is kept on disk: what it is about, and what of it is done. Files appear whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import TrainingError, VersionRefusedError
from common.models.records import ref_data, ref_of
from common.models.registry import VersionRef
from trainer.files import replace_file
from trainer.service.triggers import Cause

CASE, GATE, REPORT, CANDIDATE = "case.json", "gate.json", "report.json", "candidate"
Outcome = Literal["passed", "refused", "failed", "overtaken"]


class Case(BaseModel):
    """What a run is about.

    Attributes:
        run: Its name, and that of the version it makes.
        cause: What started it.
        why: A person's words, or the figures behind it.
        request: Id of the request it answers.
        held_back: Whether doubted crops are tried again.
        started_s: When, s since the epoch.
        generation: The generation in force then; a candidate is promoted over this one only.
        base: The classifier in force then; None is the bundled one.
        files: The crops it is about, new and old; fixed at its first start.
        attempts: How often it was started.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    cause: Cause
    why: str = ""
    request: str = ""
    held_back: bool = False
    started_s: float
    generation: int
    base: dict[str, str] | None = None
    files: tuple[str, ...] = ()
    attempts: int = 0

    @property
    def ref(self) -> VersionRef | None:
        """The classifier in force at the start."""
        return ref_of(self.base)

    @staticmethod
    def base_of(ref: VersionRef | None) -> dict[str, str] | None:
        """Write a reference as a case keeps it."""
        return ref_data(ref)


class CaseFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def candidate(self) -> Path:
        """Folder of the version it makes."""
        return self.path / CANDIDATE

    def open(self, case: Case) -> None:
        """Write down what the run is about."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_file(self.path / CASE, case.model_dump_json(indent=1).encode())

    def case(self) -> Case | None:
        """Read what the run is about; None where that cannot be read any more."""
        try:
            return Case.model_validate_json((self.path / CASE).read_bytes())
        except (OSError, ValidationError, VersionRefusedError):
            return None

    def gate(self) -> dict[str, Any] | None:
        """Give what the gate said; None where it has not spoken."""
        return _read(self.path / GATE)

    def report(self) -> dict[str, Any] | None:
        """Give the report; None while the run is not over."""
        return _read(self.path / REPORT)

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `GATE` or `REPORT`.

        Raises:
            TrainingError: It cannot be written.
        """
        replace_file(self.path / name, json.dumps(content, indent=1).encode())

    def tidy(self) -> None:
        """Remove what only an unfinished run needs; the report, its pictures and the candidate stay."""
        for name in ("checkpoint.safetensors", "best.safetensors"):
            (self.path / name).unlink(missing_ok=True)


class CaseShelf:
    """All runs of this machine, by name, which sorts by time.

    Args:
        folder: Folder of runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cases"

    def new(self, run: str) -> CaseFolder:
        """Give the folder of a new run."""
        return CaseFolder(self._folder / run)

    def unfinished(self) -> CaseFolder | None:
        """Give the run that was begun and is not over."""
        return next((one for one in self.newest() if one.report() is None), None)

    def last(self) -> CaseFolder | None:
        """Give the newest run that is over."""
        return next((one for one in self.newest() if one.report() is not None), None)

    def newest(self) -> Iterator[CaseFolder]:
        """Give the runs that can be read, the newest first."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir(), reverse=True):
            folder = CaseFolder(path)
            if folder.case() is not None:
                yield folder

    def clear(self, keep: int) -> None:
        """Remove the oldest runs that are over."""
        over = [one for one in self.newest() if one.report() is not None]
        for one in over[keep:]:
            shutil.rmtree(one.path, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    return content if isinstance(content, dict) else None
