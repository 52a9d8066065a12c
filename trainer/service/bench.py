"""What every run needs: the version in force, the base set, the fixed set, the detector that cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.errors import TrainingError
from common.models.manifest import ModelVersion, bundled, load_version
from common.models.registry import Registry, VersionRef
from trainer.data.pictures import Skips
from trainer.data.split import split_by_group
from trainer.faces.finder import FaceFinder
from trainer.service.cutting import GroupedFaces, Item, cut_once, open_finder, read_set
from trainer.service.settings import TrainerSettings

CALIBRATION = 0.1
"""Share of the base set's groups on which the temperature is chosen."""


class Bench:
    """Opens things once and keeps them.

    Args:
        settings: Where they are.
        registry: Where versions come from and go to.
        should_stop: Whether the end was asked for.
    """

    def __init__(self, settings: TrainerSettings, registry: Registry, should_stop: Callable[[], bool]) -> None:
        self.settings = settings
        self.registry = registry
        self.should_stop = should_stop
        self._finder: FaceFinder | None = None

    @property
    def finder(self) -> FaceFinder:
        """The bundled detector."""
        if self._finder is None:
            self._finder = open_finder()
        return self._finder

    def version(self, ref: VersionRef | None) -> ModelVersion:
        """Fetch and verify a classifier; None is the bundled one."""
        if ref is None:
            return load_version(bundled("classifier"), "classifier")
        return load_version(self.registry.fetch(ref, self.settings.runs / "versions"), "classifier")

    def base(self) -> tuple[GroupedFaces, GroupedFaces]:
        """Give the base set's faces to replay, and those on which the temperature is chosen.

        Raises:
            InterruptedError: It was told to stop.
            TrainingError: There is none, or it cannot be used.
        """
        faces = self._cut(self._drawn([item for item in self._base_items() if item.split == "train"]), "base")
        if not len(faces):
            raise TrainingError("the base set has no picture to train on; see MASKWATCH_TRAINER_BASE")
        labels = [str(label) for label in faces.faces.labels]
        sides = split_by_group(faces.groups.tolist(), labels, CALIBRATION, self.settings.seed)
        kept = np.array([side == "val" for side in sides])
        return faces.select(~kept), faces.select(kept)

    def fixed(self) -> GroupedFaces:
        """Give the faces of the fixed evaluation set.

        Raises:
            InterruptedError: It was told to stop.
            TrainingError: There is none, or it cannot be used.
        """
        if self.settings.evaluation:
            items: list[Item] = read_set(self.settings.evaluation, Skips())
        else:
            items = [item for item in self._base_items() if item.split == "val"]
        faces = self._cut(items, "evaluation")
        if not len(faces):
            raise TrainingError("there is no fixed evaluation set; see MASKWATCH_TRAINER_EVALUATION")
        return faces

    def _base_items(self) -> list[Item]:
        return read_set(self.settings.base, Skips())

    def _drawn(self, items: list[Item]) -> list[Item]:
        if len(items) <= self.settings.base_most:
            return items
        order = np.random.default_rng(self.settings.seed).permutation(len(items))
        return [items[index] for index in sorted(order[: self.settings.base_most])]

    def _cut(self, items: list[Item], name: str) -> GroupedFaces:
        cache: Path = self.settings.runs / f"{name}_faces.npz"
        return cut_once(items, cache, self.finder, Skips(), self.should_stop)
