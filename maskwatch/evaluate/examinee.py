"""The production path under examination by ``maskwatch evaluate``: any release, on pictures from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from common.errors import ConfigError, FrameRejectedError
from common.images import Picture, read_picture
from common.models.manifest import MANIFEST_NAME, bundled, read_manifest
from common.models.preprocess import face_crops
from trainer.evaluate.crops import CropRecord
from trainer.evaluate.examinee import principal_record
from trainer.evaluate.found import Found
from trainer.evaluate.scenes import SceneRecord
from trainer.evaluate.truth import CropTruth, Remark, SceneTruth
from workers.backends.backend import load_models, open_backend
from workers.infer.settings import InferSettings
from workers.infer.vision.canvas import LONG_SIDE_PX, canvases_of
from workers.infer.vision.decoding import DecodedFrame, decode_frame
from workers.infer.vision.face import Face
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings

LOWEST_SCORE = 0.02
"""The precision-recall curve needs the faces that the detector is not sure of."""
MOST_UNSURE = 500
"""In a crowd they are more than the faces that a station reads of one picture."""
Truth = TypeVar("Truth", SceneTruth, CropTruth)
BESIDE_THE_GUARD = frozenset({"too_big", "dimensions"})


def release_folders(folder: Path | None) -> tuple[Path, Path]:
    """Give the folders of detector and classifier that a release folder means; what it lacks is the bundled one.

    Args:
        folder: Holds ``detector/``, ``classifier/`` or both, or is itself a version; None is the bundled release.

    Raises:
        ConfigError: It holds no version.
        ManifestError: Its manifest cannot be read.
    """
    chosen = {"detector": bundled("detector"), "classifier": bundled("classifier")}
    if folder is None:
        return chosen["detector"], chosen["classifier"]
    if (folder / MANIFEST_NAME).is_file():
        chosen[read_manifest(folder / MANIFEST_NAME).kind] = folder
        return chosen["detector"], chosen["classifier"]
    inside = {kind: folder / kind for kind in chosen if (folder / kind / MANIFEST_NAME).is_file()}
    if not inside:
        raise ConfigError(f"{folder}: no release: neither {MANIFEST_NAME} nor detector/ or classifier/ with one")
    chosen |= inside
    return chosen["detector"], chosen["classifier"]


@dataclass(slots=True)
class Production:
    """Guard, decoding, letterbox, networks and crops as an infer worker uses them, with its settings.

    Attributes:
        release: Folder of a release; None is the bundled one.
        long_side_px: Long side of the detector's canvases, a multiple of 32.
        every_score: Whether unsure faces are wanted too.
    """

    release: Path | None
    long_side_px: int
    every_score: bool
    remarks: list[Remark] = field(default_factory=list)
    _pipeline: FacePipeline = field(init=False)
    _threshold: float = field(init=False)

    def __post_init__(self) -> None:
        settings = InferSettings()
        detector, classifier = load_models(*release_folders(self.release))
        backend = open_backend(settings.backend, detector, classifier, settings.options())
        at_work = settings.min_score or detector.manifest.thresholds.get("score", 0.6)
        self._threshold = at_work
        self._pipeline = FacePipeline(
            backend, detector, classifier,
            PipelineSettings(
                min_score=min(LOWEST_SCORE, at_work) if self.every_score else at_work,
                max_iou=settings.max_iou,
                canvases=canvases_of(self.long_side_px),
                glance=settings.glance,
                quick=settings.quick,
                max_faces=MOST_UNSURE if self.every_score else PipelineSettings().max_faces,
            ),
        )  # fmt: skip

    @property
    def threshold(self) -> float:
        """Score from which a found box is a face at work."""
        return self._threshold

    @property
    def about(self) -> dict[str, object]:
        """Both versions, the backend, and what counts as a face."""
        return {
            "detector": self._pipeline.detector.manifest.identity,
            "classifier": self._pipeline.classifier.manifest.identity,
            "backend": self._pipeline.backend.name,
            "long_side_px": self.long_side_px,
            "threshold": self._threshold,
        }

    def close(self) -> None:
        """Give the backend back."""
        self._pipeline.backend.close()

    def scenes(self, truths: Sequence[SceneTruth]) -> list[SceneRecord]:
        """Find and judge all faces."""
        decoded = self._decoded(truths, reduced=True)
        pictures, sizes = [one.picture for _, one in decoded], [one.size for _, one in decoded]
        answers = self._pipeline.read(pictures, sizes)
        return [SceneRecord(truth, _found(faces)) for (truth, _), faces in zip(decoded, answers, strict=True)]

    def crops(self, truths: Sequence[CropTruth]) -> list[CropRecord]:
        """Judge the one person of each picture: the principal face, or the whole picture where none is found."""
        decoded = self._decoded(truths, reduced=False)
        padded = [_pad(one.picture) for _, one in decoded]
        answers = self._pipeline.read([picture for picture, _ in padded])
        return [
            self._crop_record(truth, one.picture, border, _found(faces))
            for (truth, one), (_, border), faces in zip(decoded, padded, answers, strict=True)
        ]

    def _crop_record(self, truth: CropTruth, picture: Picture, border: int, found: Found) -> CropRecord:
        if len(found.boxes):
            return principal_record(truth, replace(found, boxes=found.boxes - border))
        whole = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float32)
        about = self._pipeline.classifier.classifier_input
        crop = face_crops(picture, whole, about.side, about.margin)
        (probabilities,) = self._pipeline.backend.classify(crop)
        return CropRecord(truth, int(probabilities.argmax()), probabilities, whole, detected=False)

    def _decoded(self, truths: Sequence[Truth], *, reduced: bool) -> list[tuple[Truth, DecodedFrame]]:
        decoded: list[tuple[Truth, DecodedFrame]] = []
        for truth in truths:
            try:
                decoded.append((truth, decode(truth.path, self.long_side_px, reduced=reduced)))
            except FrameRejectedError as error:
                self.remarks.append(Remark(truth.file, str(error).removeprefix(f"{truth.path}: ")))
        return decoded


def _pad(picture: Picture) -> tuple[Picture, int]:
    """Put a black border of a quarter, px, around a picture, so that the detector sees a face that fills it."""
    border = max(picture.shape[:2]) // 4
    return np.pad(picture, ((border, border), (border, border), (0, 0))), border


def _found(faces: Sequence[Face]) -> Found:
    return Found.of([f.box for f in faces], [f.score for f in faces], [f.probabilities for f in faces])


def decode(path: Path, long_side_px: int = LONG_SIDE_PX, *, reduced: bool) -> DecodedFrame:
    """Decode a picture as an infer worker does; what is no JPEG, or larger than any camera's frame, as a photograph.

    Raises:
        FrameRejectedError: It cannot be read or is no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameRejectedError("empty", error.strerror or "cannot be read") from error
    if data[:3] == b"\xff\xd8\xff" or not data:
        try:
            return decode_frame(data, long_side_px, reduced=reduced)
        except FrameRejectedError as error:
            if error.reason not in BESIDE_THE_GUARD:
                raise
    picture = read_picture(path)
    return DecodedFrame(picture, picture.shape[1], picture.shape[0])
