"""What a system said about a picture, and the JSON lines in which foreign systems say it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from common.errors import TrainingError
from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.evaluate.truth import Label, parse_lines

NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Found:
    """The faces that a system found in one picture.

    Attributes:
        boxes: float32, (K, 4), x1 y1 x2 y2, px of the full-size picture.
        scores: float32, (K,), higher is surer.
        labels: int64, (K,), index into the label order, -1 where the system gives none.
        probabilities: float32, (K, 3), NaN where the system gives none.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: NDArray[np.int64]
    probabilities: FloatArray

    @classmethod
    def of(cls, boxes: Sequence[Any], scores: Sequence[float], probabilities: Sequence[Any]) -> Found:
        """Take faces whose probabilities are all known; the label is the most probable one."""
        chances = np.array(probabilities, np.float32).reshape(-1, len(LABELS))
        labels = chances.argmax(axis=1).astype(np.int64)
        return cls(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), labels, chances)

    @classmethod
    def nothing(cls) -> Found:
        """No face."""
        return cls.of([], [], [])

    @property
    def principal(self) -> int:
        """Which face a one-person picture is of: the largest weighted by its score; -1 for none."""
        if not len(self.boxes):
            return -1
        sides = np.clip(self.boxes[:, 2:] - self.boxes[:, :2], 0, None)
        return int(np.argmax(sides.prod(axis=1) * self.scores))

    def select(self, chosen: NDArray[Any]) -> Found:
        """Give some of the faces."""
        return Found(self.boxes[chosen], self.scores[chosen], self.labels[chosen], self.probabilities[chosen])


class _FoundFace(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    score: FiniteFloat
    label: Label | None = None
    probabilities: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | dict[Label, FiniteFloat] | None = None

    def chances(self) -> list[float]:
        if self.probabilities is None:
            return [float("nan")] * len(LABELS)
        if isinstance(self.probabilities, dict):
            return [self.probabilities.get(label, 0.0) for label in LABELS]  # type: ignore[call-overload]
        return list(self.probabilities)

    def index(self) -> int:
        if self.label is not None:
            return LABELS.index(self.label)
        return NO_LABEL if self.probabilities is None else int(np.argmax(self.chances()))


class _FoundLine(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    faces: list[_FoundFace] = Field(description="Every face above a low score: the curve needs the unsure ones too.")


def read_predictions(path: Path, root: Path) -> dict[str, Found]:
    """Read a foreign system's predictions.

    Args:
        path: JSON lines: ``file`` and ``faces``, each with ``box`` (x1 y1 x2 y2, px), ``score``, and where the system
            says so ``label`` and ``probabilities`` (three in label order, or by name).
        root: Folder of the data set, to which files may be relative.

    Returns:
        What was found, by the file's name relative to ``root``.

    Raises:
        TrainingError: Unreadable, malformed, or a file named twice; names file and line or picture.
    """
    predictions: dict[str, Found] = {}
    for line in parse_lines(_FoundLine, path):
        name = _relative(line.file, root)
        if name in predictions:
            raise TrainingError(f"{path}: {line.file} is named twice")
        predictions[name] = Found(
            np.array([face.box for face in line.faces], np.float32).reshape(-1, 4),
            np.array([face.score for face in line.faces], np.float32),
            np.array([face.index() for face in line.faces], np.int64),
            np.array([face.chances() for face in line.faces], np.float32).reshape(-1, len(LABELS)),
        )
    return predictions


def write_predictions(path: Path, predictions: Mapping[str, Found] | Iterable[tuple[str, Found]]) -> None:
    """Write predictions in the form that `read_predictions` reads; a file that was there is replaced at the end.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    pairs = predictions.items() if isinstance(predictions, Mapping) else predictions
    aside = path.with_name(f".{path.name}.partial")
    try:
        with aside.open("w", encoding="utf-8") as stream:
            for file, found in pairs:
                stream.write(json.dumps({"file": file, "faces": _faces(found)}) + "\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _faces(found: Found) -> list[dict[str, Any]]:
    faces = []
    for box, score, label, chances in zip(found.boxes, found.scores, found.labels, found.probabilities, strict=True):
        face: dict[str, Any] = {"box": [round(float(value), 3) for value in box], "score": round(float(score), 6)}
        if label >= 0:
            face["label"] = LABELS[label]
        if np.isfinite(chances).all():
            face["probabilities"] = [round(float(value), 6) for value in chances]
        faces.append(face)
    return faces


def _relative(file: str, root: Path) -> str:
    try:
        return Path(file).resolve().relative_to(root.resolve()).as_posix() if Path(file).is_absolute() else _plain(file)
    except ValueError:
        return file


def _plain(file: str) -> str:
    return PurePosixPath(file).as_posix()
