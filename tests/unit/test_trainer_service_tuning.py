"""What a run learns from: the mixture, and networks that were released before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trainer.faces.cuts import CutFace, FaceSet, gather
from trainer.release.version import fold_norms, halve_weights
from trainer.service.tuning import Lessons, Pace, mixture


def test_a_released_network_can_be_trained_on() -> None:
    """Its norms compute the same with the statistics of a batch, and their products are exact in half precision."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    convolution, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, momentum=0.0)
    network = nn.Sequential(convolution, norm, nn.ReLU6())
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        nn.init.uniform_(tensor, 0.2, 3.0)
    pictures = torch.rand(16, 3, 12, 12)
    with torch.no_grad():
        serving, learning = network.eval()(pictures), network.train()(pictures)
        fold_norms(network)
        halve_weights(network)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        product = convolution.weight * scale[:, None, None, None]
        assert torch.allclose(network.eval()(pictures), serving, atol=5e-3)
        assert torch.allclose(network.train()(pictures), learning, atol=2e-2)
    assert torch.equal(product.half(), convolution.weight.half())


def faces(labels: list[int], source: str) -> FaceSet:
    blank = np.zeros((160, 160, 3), np.uint8)
    points = np.full((5, 2), np.nan, np.float32)
    return gather([CutFace(blank, 40.0, points, label, source, train=True, detected=True) for label in labels])


def test_operators_crops_get_their_share_however_few_they_are() -> None:
    lessons = Lessons(faces([0, 1, 2] * 100, "base"), faces([0] * 10, "door"), faces([0, 1], "base"))
    weights = mixture(lessons, 0.3)
    assert len(weights) == 310
    assert weights[300:].sum() == pytest.approx(0.3)
    assert weights.sum() == pytest.approx(1.0)


def test_progress_counts_what_an_earlier_start_has_done() -> None:
    told: list[tuple[float, float]] = []
    pace = Pace(10, 5, lambda: len(told) == 2, lambda done, left_s: told.append((done, left_s)))
    assert [pace(), pace()] == [False, True]
    assert [done for done, _ in told] == [0.6, 0.7]
    assert all(left_s >= 0 for _, left_s in told)
