"""Which networks a version may hold, told without loading torch: their names, classes and tensors' names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from common.models.manifest import LABELS, Kind

CLASSES: Mapping[Kind, tuple[str, ...]] = {"detector": ("face",), "classifier": LABELS}

TENSOR_NAMES: Mapping[Kind, Mapping[str, str]] = {
    "detector": {
        "yunet_n": "6d7fb19476811d2c",
        "yunet_lean": "b0a350edf04efe30",
        "yunet_coarse": "036ce387a5348505",
        "yunet_patch": "036ce387a5348505",
    },
    "classifier": {
        "mobilenet_v2": "7a42d64504a81ddf",
        "mobilenet_v2_dense": "5184718dfa7e08cd",
        "resnet50": "02929f493dfa79cf",
        "resnet_tiny": "e23feab69a472915",
    },
}
"""Architecture to the digest of its tensors' names; a test compares it with ``common.models.networks``."""


def names_digest(names: Iterable[str]) -> str:
    """Give 16 hexadecimal digits that stand for a set of tensor names."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
