"""Norms folded before a release: the same answers, and matrices that torch and ONNX round alike."""

from __future__ import annotations

import torch
from torch import nn

from common.models.networks import build_classifier
from trainer.release.version import fold_norms


def test_a_folded_network_answers_as_before_and_its_norms_scale_by_one() -> None:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    network = build_classifier().eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean = torch.randn_like(norm.bias) * 0.1
        norm.running_var = torch.rand_like(norm.bias) + 0.5
    crops = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = network(crops)
        fold_norms(network)
        torch.testing.assert_close(network(crops), before, rtol=1e-4, atol=1e-5)
    for norm in norms:
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        torch.testing.assert_close(scale, torch.ones_like(scale))
