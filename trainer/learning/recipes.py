"""Settings that readers of well-known public mask projects will recognise, by name; and our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import TrainingError

# What the public projects share: 224 px crops, dense 128, dropout 0.5, batches of 32, twenty epochs at one small rate,
# plain cross entropy, turning, shifting, zooming and mirroring as the only augmentation.
_PUBLIC: Mapping[str, Any] = {
    "weights": "imagenet", "dense": 128, "dropout": 0.5, "side": 224, "augment": "simple", "drawn_masks": 0.0,
    "smoothing": 0.0,
    "schedule": {
        "rate": 1e-4, "batch": 32, "epochs": 20, "optimiser": "adam", "weight_decay": 0.0, "warm_up": 0.0,
        "course": "constant",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named choice of classifier settings.

    Attributes:
        name: What ``--recipe`` is given.
        about: Which public setting it reproduces, in words.
        settings: Values of ``ClassifierSettings``, those of its schedule under ``schedule``.
    """

    name: str
    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _public(name: str, about: str, settings: Mapping[str, Any], schedule: Mapping[str, Any] | None = None) -> Recipe:
    whole = {**_PUBLIC, **settings, "schedule": {**_PUBLIC["schedule"], **(schedule or {})}}
    return Recipe(name, about, whole)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _public(
            "frozen-mobilenet",
            "The widest-spread tutorial: a frozen ImageNet MobileNetV2, average pooling, dense 128, dropout 0.5, "
            "Adam at 1e-4, batches of 32, 224 px, 20 epochs; only the head learns.",
            {"architecture": "mobilenet_v2", "backbone": "frozen"},
        ),
        _public(
            "frozen-resnet50-rmsprop",
            "The frozen ResNet50 of the same projects: ImageNet weights, average pooling, dense 128, dropout 0.5, "
            "RMSprop at 1e-4, batches of 32, 224 px, 20 epochs; only the head learns.",
            {"architecture": "resnet50", "backbone": "frozen"},
            {"optimiser": "rmsprop"},
        ),
        _public(
            "mobilenet-dense128",
            "MobileNetV2 with a dense-128 head, fine-tuned as a whole: ImageNet weights, dropout 0.5, Adam at 1e-4, "
            "batches of 32, 224 px, 20 epochs.",
            {"architecture": "mobilenet_v2", "backbone": "unfrozen"},
        ),
        Recipe(
            "best",
            "Our own, from what the bundled classifier taught: MobileNetV2 at 112 px, all layers, crops degraded as "
            "cameras do, masks drawn on one bare face of four, labels and sources balanced, faces whose label is next "
            "to impossible left out after four epochs, AdamW at 7e-4 falling by a cosine.",
            {
                "architecture": "mobilenet_v2", "weights": "imagenet", "backbone": "unfrozen", "dense": 128,
                "dropout": 0.5, "side": 112, "augment": "camera", "drawn_masks": 0.25, "smoothing": 0.02,
                "doubt": 0.05, "doubt_after": 4, "samples": 12000,
                "schedule": {"rate": 7e-4, "batch": 64, "epochs": 8, "optimiser": "adam", "course": "cosine"},
            },
        ),
    )
}  # fmt: skip


def recipe_settings(name: str) -> Mapping[str, Any]:
    """Give a recipe's settings by name.

    Raises:
        TrainingError: There is no such recipe; the message names those there are.
    """
    if name not in RECIPES:
        raise TrainingError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return {**RECIPES[name].settings, "recipe": name}


def recipe_table() -> str:
    """Write all recipes in words and settings."""
    parts = []
    for recipe in RECIPES.values():
        schedule = recipe.settings["schedule"]
        flat = {key: value for key, value in recipe.settings.items() if key != "schedule"} | schedule
        settings = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in flat.items())
        parts.append(f"{recipe.name}\n  {recipe.about}\n  {settings}")
    return "\n\n".join(parts)
