"""What a training run is told: data, network, schedule. Unknown keys are refused, every number has bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.models.names import ClassifierName, DetectorName

Optimiser = Literal["adam", "sgd", "rmsprop"]
Backbone = Literal["frozen", "unfrozen", "staged"]
Augmentation = Literal["camera", "simple", "none"]
Lesson = Literal["task", "stem"]


class Schedule(BaseModel):
    """How long and how fast to learn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(8, ge=1, le=1000, description="Passes over the training data.")
    batch: int = Field(64, ge=1, le=4096, description="Pictures a step.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    optimiser: Optimiser = Field("adam", description="adam (decoupled weight decay), sgd (momentum 0.9) or rmsprop.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Weight decay of matrices.")
    warm_up: float = Field(0.05, ge=0, le=0.5, description="Share of all steps in which the rate rises to its height.")
    course: Literal["cosine", "constant"] = Field("cosine", description="How the rate goes on after its height.")
    patience: int = Field(0, ge=0, description="Epochs without a better validation score before stopping; 0: never.")
    seed: int = Field(1, ge=0, description="Seed of everything random.")
    threads: int = Field(0, ge=0, le=256, description="CPU threads; 0 leaves torch's choice.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    half: bool = Field(False, description="Compute in bfloat16 where that is safe (weights and loss stay float32).")
    resume: bool = Field(False, description="Go on from the run folder's last finished epoch.")
    overwrite: bool = Field(False, description="Start over in a run folder that holds a finished epoch.")


class ClassifierSettings(BaseModel):
    """A run of the classifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = Field("", description="Name of the recipe that the settings come from, if any.")
    scenes: list[Path] = Field(default=[], description="faces.jsonl files or packs of pictures with boxes.")
    crops: list[Path] = Field(
        default=[], description="crops.jsonl files, packs, or folders with a folder per class, of one-person pictures."
    )
    val: float = Field(0.15, ge=0, le=0.9, description="Share of groups kept for validation where a folder has none.")
    detector: Path | None = Field(None, description="Detector version that cuts the crops; none means the bundled one.")
    run: Path = Field(description="Run folder: checkpoints, curves, reports.")
    cache: Path | None = Field(None, description="Where cut faces are kept between runs; none means the run folder.")
    architecture: ClassifierName = Field("mobilenet_v2", description="Backbone.")
    teacher: Path | None = Field(None, description="Classifier version whose answers are learnt beside the labels.")
    teacher_share: float = Field(0.5, ge=0, le=1, description="Share of the teacher's answers in the loss.")
    lesson: Lesson = Field("task", description="task: verdicts; stem: only what the teacher's first layers give.")
    weights: str | None = Field(
        None, description="imagenet (by name, downloaded), a safetensors file, or none for an untrained backbone."
    )
    weights_input: Literal["symmetric", "imagenet"] = Field(
        "symmetric", description="What a weights file was trained on: RGB -1..1, or ImageNet mean and deviation."
    )
    start: Path | None = Field(None, description="Run folder whose whole classifier is where this run starts.")
    backbone: Backbone = Field(
        "unfrozen", description="frozen: head only; unfrozen: all; staged: head first, then all slowly."
    )
    head_epochs: int = Field(1, ge=0, description="staged: epochs of the head alone.")
    dense: int = Field(128, ge=4, le=4096, description="Width of the dense layer.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout before the last layer.")
    side: int = Field(112, ge=32, le=512, multiple_of=16, description="Input side, px.")
    margin: float = Field(0.25, ge=0, le=0.5, description="Share of the box's longer side added on every side.")
    smoothing: float = Field(0.02, ge=0, lt=0.5, description="Label smoothing.")
    drawn_masks: float = Field(0.25, ge=0, le=1, description="Share of bare training faces that get a mask drawn on.")
    doubt: float = Field(
        0.0, ge=0, lt=0.5, description="Leave out training faces whose label gets less than this chance; 0: none."
    )
    doubt_after: int = Field(4, ge=1, description="Epochs before labels are doubted: too early to know faces by heart.")
    corrections: Path | None = Field(None, description="Labels corrected by eye, JSON lines; training faces only.")
    augment: Augmentation = Field(
        "camera", description="camera: as cameras degrade; simple: turn, shift, zoom, mirror; none."
    )
    samples: int = Field(0, ge=0, description="Faces drawn for an epoch, balanced; 0 means as many as there are.")
    schedule: Schedule = Schedule(rate=7e-4)


class FocusSettings(BaseModel):
    """A run of the focus head: what tells, at a glance, where small faces may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: list[Path] = Field(default=[], description="faces.jsonl files or packs of pictures with boxes.")
    run: Path = Field(description="Run folder: checkpoints, curves, reports.")
    detector: Path | None = Field(None, description="Detector version that it is for; none means the bundled one.")
    glancer: Path | None = Field(
        None, description="Detector version that glances in its place, and that the head reads; none means itself."
    )
    side: int = Field(640, ge=256, le=1024, multiple_of=64, description="Side of the square canvas, px; half is seen.")
    mosaic: float = Field(0.7, ge=0, le=1, description="Share of canvases that show four pictures.")
    second_look: Path | None = Field(
        None, description="Faces that nobody boxed and places that are none, JSON lines; training pictures only."
    )
    schedule: Schedule = Schedule(epochs=12, batch=16, rate=3e-3, weight_decay=1e-3)


class DetectorSettings(BaseModel):
    """A run of the detector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: list[Path] = Field(default=[], description="faces.jsonl files or packs of pictures with boxes.")
    run: Path = Field(description="Run folder: checkpoints, curves, reports.")
    architecture: DetectorName = Field("yunet_n", description="Network.")
    teacher: Path | None = Field(
        None, description="Detector version that is the witness, and the start where no weights are given."
    )
    teacher_share: float = Field(0.0, ge=0, le=1, description="Share of the teacher's answers in the loss.")
    lesson: Lesson = Field("task", description="task: faces; stem: only what the teacher's first layers give.")
    weights: Path | None = Field(None, description="Weights (safetensors) to start from; none means untrained.")
    reference_onnx: Path | None = Field(
        None, description="ONNX file that the weights must agree with; none means the one beside them, if any."
    )
    side: int = Field(384, ge=64, le=1024, multiple_of=32, description="Side of the square training canvas, px.")
    mosaic: float = Field(0.3, ge=0, le=1, description="Share of canvases that show four pictures.")
    landmark_weight: float = Field(0.1, ge=0, le=10, description="Weight of keeping the starting network's landmarks.")
    repeat: int = Field(1, ge=1, le=100, description="Times each picture is used in an epoch.")
    crowd: float = Field(
        0.0, ge=0, le=2, description="Pictures are drawn by their number of faces to this power; 0: each as often."
    )
    frozen_stem: bool = Field(False, description="Leave the first two blocks as they are: half the time an epoch.")
    second_look: Path | None = Field(
        None, description="Faces that nobody boxed and places that are none, JSON lines; training pictures only."
    )
    schedule: Schedule = Schedule(epochs=20, batch=16, rate=1.5e-3)
