"""What a model version is: a manifest beside its blobs, checked before anything of it is parsed. No torch in here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from common.errors import BlobMismatchError, ManifestError
from common.models.probe import Probe
from common.models.safetensors_header import check_safetensors_header

Kind = Literal["detector", "classifier"]
BlobName = Literal["onnx", "safetensors", "glance", "quick"]
LABELS: tuple[str, str, str] = ("mask", "no_mask", "incorrect")
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
MAX_BLOB_BYTES = 500_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Blob(_Strict):
    """One file of a version."""

    file: str = Field(description="Plain file name beside the manifest.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file, lower-case hexadecimal.")
    size: int = Field(gt=0, le=MAX_BLOB_BYTES, description="Size of the file in bytes.")

    @field_validator("file")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
            raise ValueError(f"{value!r} is not a plain file name")
        return value


class DetectorInput(_Strict):
    """What the detector is fed: whole pictures on a letterbox canvas."""

    canvases: list[tuple[int, int]] = Field(
        min_length=1, description="Canvas sizes (width, height) px it was judged at."
    )
    multiple_of: int = Field(32, description="Any other canvas must be a multiple of this in both directions, px.")
    colour: Literal["BGR"] = "BGR"
    layout: Literal["NHWC uint8"] = "NHWC uint8"

    @field_validator("canvases")
    @classmethod
    def _multiples(cls, value: list[tuple[int, int]]) -> list[tuple[int, int]]:
        for width, height in value:
            if width < 32 or height < 32 or width % 32 or height % 32:
                raise ValueError(f"canvas {width}×{height} is not made of multiples of 32")
        return value


class ClassifierInput(_Strict):
    """What the classifier is fed: one square crop a face."""

    side: int = Field(ge=32, le=512, description="Side of the square crop, px.")
    margin: float = Field(ge=0, le=1, description="Share of the face box's longer side added on every side.")
    colour: Literal["BGR"] = "BGR"
    layout: Literal["NHWC uint8"] = "NHWC uint8"


class GlanceFacts(_Strict):
    """How a detector is used at a glance, where its version holds a graph for that."""

    focus: float = Field(gt=0, lt=1, description="From this chance of a face on, a place is looked at again.")
    probe: Probe


class QuickFacts(_Strict):
    """How the small network that a classifier's version may hold is used: it is asked first."""

    sure: float = Field(gt=0, lt=1, description="A face whose highest probability is below goes to the classifier.")
    probe: Probe


class Manifest(_Strict):
    """Everything a worker and a reader must know about one version."""

    format: Literal[1] = 1
    kind: Kind
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    architecture: str = Field(description="Name that common.models.networks builds from.")
    options: dict[str, Annotated[int | float, Field()]] = Field(
        default={}, description="Further arguments of the builder."
    )
    parameters: int = Field(gt=0, description="Number of trained parameters.")
    classes: tuple[str, ...] = Field(description="What the outputs stand for, in order.")
    input: DetectorInput | ClassifierInput
    normalisation: str = Field(description="What the graph itself does to pixels, in words.")
    temperature: float = Field(1.0, gt=0, description="The classifier's logits are divided by this before the softmax.")
    thresholds: dict[str, float] = Field(
        default={}, description="Detector: score, iou. Classifier: lowest useful probability."
    )
    blobs: dict[BlobName, Blob]
    probe: Probe
    glance: GlanceFacts | None = Field(None, description="Detector: facts of the blob `glance`, if there is one.")
    quick: QuickFacts | None = Field(None, description="Classifier: facts of the blob `quick`, if there is one.")
    metrics: dict[str, JsonValue] = {}
    training_data: list[str] = Field(default=[], description="Data sets with their licences or terms.")
    weaknesses: list[str] = []
    created: str = Field(description="When it was made, ISO 8601 with zone.")
    command: str = Field(description="The command that made it.")

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if isinstance(self.input, DetectorInput) != (self.kind == "detector"):
            raise ValueError(f"input: not the input of a {self.kind}")
        if self.kind == "classifier" and self.classes != LABELS:
            raise ValueError(f"classes: {self.classes} instead of {LABELS}")
        if "onnx" not in self.blobs or "safetensors" not in self.blobs:
            raise ValueError("blobs: both onnx and safetensors are needed")
        for name, facts, kind in (("glance", self.glance, "detector"), ("quick", self.quick, "classifier")):
            if (name in self.blobs) != (facts is not None):
                raise ValueError(f"{name}: the blob and what is said of it go together")
            if facts is not None and self.kind != kind:
                raise ValueError(f"{name}: a {self.kind} has none")
        return self

    @property
    def identity(self) -> str:
        """Name, version and the first digits of the weights' hash: what every result carries."""
        return f"{self.name}:{self.version}:{self.blobs['safetensors'].sha256[:12]}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version whose blobs were the promised bytes when it was loaded.

    Attributes:
        directory: Folder with the manifest and its blobs.
        manifest: What it is.
    """

    directory: Path
    manifest: Manifest

    @property
    def onnx_path(self) -> Path:
        """The ONNX file, for backends that must be given a path; ``read("onnx")`` is the safer way."""
        return self.directory / self.manifest.blobs["onnx"].file

    @property
    def safetensors_path(self) -> Path:
        """The safetensors file; ``read("safetensors")`` is the safer way."""
        return self.directory / self.manifest.blobs["safetensors"].file

    @property
    def detector_input(self) -> DetectorInput:
        """The input of a detector.

        Raises:
            ManifestError: This version is a classifier.
        """
        if not isinstance(self.manifest.input, DetectorInput):
            raise ManifestError(f"{self.directory}: a {self.manifest.kind} has no canvases")
        return self.manifest.input

    @property
    def classifier_input(self) -> ClassifierInput:
        """The input of a classifier.

        Raises:
            ManifestError: This version is a detector.
        """
        if not isinstance(self.manifest.input, ClassifierInput):
            raise ManifestError(f"{self.directory}: a {self.manifest.kind} has no crop side")
        return self.manifest.input

    def read(self, name: BlobName) -> bytes:
        """Read a blob and give its bytes only if they are the promised ones.

        Raises:
            BlobMismatchError: Missing, or other bytes than promised; nothing was parsed.
        """
        blob = self.manifest.blobs[name]
        path = self.directory / blob.file
        try:
            found = path.stat().st_size
        except OSError as error:
            raise BlobMismatchError(
                f"{path}: {error.strerror or error}; the manifest promises {blob.size} bytes"
            ) from error
        if found != blob.size:
            raise BlobMismatchError(f"{path}: {found} bytes instead of {blob.size}")
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != blob.sha256:
            raise BlobMismatchError(f"{path}: sha256 {digest[:16]}… instead of {blob.sha256[:16]}…")
        return data


def load_version(directory: Path, kind: Kind) -> ModelVersion:
    """Load a version's manifest and check that its blobs are the promised bytes, before anything parses them.

    Args:
        directory: Folder with ``manifest.json`` and its blobs.
        kind: What it must be.

    Raises:
        ManifestError: The manifest is missing, too large, malformed or of the other kind; names file and key.
        BlobMismatchError: A blob is missing or other than promised. In both cases whatever serves now stays.
    """
    version = ModelVersion(directory, read_manifest(directory / MANIFEST_NAME))
    if version.manifest.kind != kind:
        raise ManifestError(
            f"{directory / MANIFEST_NAME}: kind is {version.manifest.kind!r} where a {kind!r} is wanted"
        )
    for name in version.manifest.blobs:
        data = version.read(name)
        if name == "safetensors":
            check_safetensors_header(data, version.safetensors_path)
    return version


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest file.

    Raises:
        ManifestError: Missing, too large or malformed; the message names the file and the key.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MANIFEST_BYTES:
            raise ManifestError(f"{path}: {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise ManifestError(f"{path}: {key}: {first['msg']} ({error.error_count()} in all)") from error


def bundled(kind: Kind) -> Path:
    """Give the folder of the version that ships with the package."""
    return Path(__file__).parent / "release" / kind
