"""What a backbone starts from: ImageNet weights by name, a safetensors file, or nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from common.errors import TrainingError
from common.models import torchvision_compat
from common.models.networks import FaceClassifier
from trainer.settings import ClassifierSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
BY_NAME = "IMAGENET1K_V1"


def start_backbone(network: FaceClassifier, settings: ClassifierSettings) -> str:
    """Give the backbone the weights that the settings ask for, and say in words what it starts from.

    Raises:
        TrainingError: The weights cannot be had or are of another network; the backbone is unchanged.
    """
    wanted = settings.weights
    if wanted in (None, "none"):
        words = "untrained backbone (no weights were given)"
        if settings.backbone == "frozen":
            words += "; it is frozen as well, so the head learns on random features: no figure of the real recipe"
        return words
    if wanted == "imagenet":
        network.backbone.load_state_dict(imagenet_backbone(settings.architecture))
        return f"ImageNet weights of {settings.architecture} by name (torchvision {BY_NAME})"
    load_backbone(network, Path(str(wanted)))
    if settings.weights_input == "imagenet":
        fold_normalisation(network.backbone)
    return f"weights from {Path(str(wanted)).name}"


def imagenet_backbone(architecture: str) -> dict[str, Tensor]:
    """Give torchvision's ImageNet weights of a backbone, made for input -1..1; downloaded once, then kept by torch.

    Raises:
        TrainingError: They are neither kept nor can they be downloaded; says what to give instead.
    """
    makers = {
        "mobilenet_v2": torchvision_compat.mobilenet_v2_features,
        "resnet50": torchvision_compat.resnet50_features,
    }
    if architecture not in makers:
        raise TrainingError(
            f"{architecture} has no ImageNet weights; {', '.join(makers)} have. Give --weights none, with --teacher to "
            "learn from a version that serves"
        )
    try:
        features = makers[architecture](BY_NAME)
    except (OSError, RuntimeError) as error:  # no network (URLError is an OSError), or a download that was cut off
        raise TrainingError(
            f"the ImageNet weights of {architecture} are not at hand and cannot be downloaded ({error}); give a file "
            "with --weights FILE.safetensors, or train from nothing with --weights none"
        ) from error
    fold_normalisation(features)
    return features.state_dict()


def fold_normalisation(features: nn.Module) -> None:
    """Change a backbone made for ImageNet's mean and deviation, in place, so that it takes RGB -1..1 instead.

    The first convolution takes the scale and the batch norm behind it the shift; only the very border differs.
    """
    convolution = next(module for module in features.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in features.modules() if isinstance(module, nn.BatchNorm2d))
    mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
    with torch.no_grad():
        offset = (convolution.weight.sum(dim=(2, 3)) * ((0.5 - mean) / deviation)).sum(dim=1)
        convolution.weight.mul_((0.5 / deviation)[None, :, None, None])
        if norm.running_mean is not None:
            norm.running_mean.sub_(offset)


def load_backbone(network: FaceClassifier, path: Path) -> None:
    """Start the backbone from a torchvision checkpoint in safetensors.

    Raises:
        TrainingError: The file does not hold this backbone; the network is unchanged.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"{path}: no safetensors file: {error}") from error
    wanted = network.backbone.state_dict()
    tensors = {
        name.removeprefix("features."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in stored.items()
    }
    usable = {name: tensor for name, tensor in tensors.items() if name in wanted and tensor.shape == wanted[name].shape}
    missing = sorted(set(wanted) - set(usable))
    if missing:
        raise TrainingError(
            f"{path}: not the weights of this backbone; missing {missing[:3]} and {max(0, len(missing) - 3)} more"
        )
    network.backbone.load_state_dict(usable)
