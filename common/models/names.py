"""What networks are called, told without loading torch."""

from __future__ import annotations

from typing import Literal

ClassifierName = Literal["mobilenet_v2", "mobilenet_v2_dense", "resnet50", "resnet_tiny"]
DetectorName = Literal["yunet_n", "yunet_lean", "yunet_coarse", "yunet_patch"]
