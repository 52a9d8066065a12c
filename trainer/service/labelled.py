"""Labelled crops as the sample store leaves them: read with patience, since the store is written meanwhile."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from trainer.data.packs import CROPS
from trainer.data.pictures import Portrait


class LabelledCrop(Portrait):
    """One crop with what an operator said of it.

    Attributes:
        by: Who said it.
        camera: Where it was seen; the source where the index names none.
        divided: Whether the index says on which side of the split it lies; if not, the trainer chooses.
    """

    by: str = ""
    camera: str = ""
    divided: bool = False

    @property
    def origins(self) -> tuple[tuple[str, str], ...]:
        """Whose and where: what labels are suspected by."""
        camera = self.camera or self.source
        return (("operator", self.by), ("camera", camera)) if self.by else (("camera", camera),)


@dataclass(slots=True)
class SampleFolder:
    """What lies in the folder now.

    Attributes:
        crops: Readable lines whose picture is there, in the order they were added; of one file the last line counts.
        bad: Reason to count of lines that cannot be used.
    """

    crops: list[LabelledCrop] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)


def read_samples(folder: Path) -> SampleFolder:
    """Read a folder's ``crops.jsonl``; a missing folder or index is an empty one, bad lines are counted."""
    found = SampleFolder()
    path = folder / CROPS
    try:
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return found
    latest: dict[str, LabelledCrop] = {}
    for line in filter(str.strip, lines):
        crop, reason = _parse(line, folder)
        if crop is None:
            found.bad[reason] = found.bad.get(reason, 0) + 1
        else:
            latest[crop.file] = crop
    found.crops = list(latest.values())
    return found


def _parse(line: str, folder: Path) -> tuple[LabelledCrop | None, str]:
    try:
        row = json.loads(line)
        given = {"split": "train", **row, "root": folder, "divided": "split" in row}
        crop = LabelledCrop.model_validate(given)
    except (ValidationError, ValueError, TypeError):
        return None, "malformed"
    inside = (folder / crop.file).resolve().is_relative_to(folder.resolve())
    if not inside:
        return None, "outside"
    return (crop, "") if crop.path.is_file() else (None, "missing")
