"""A fixed question with a known answer, so that a loaded network proves itself before it serves."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.errors import ProbeError


class Probe(BaseModel):
    """The input as a recipe and the outputs at a few places."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0, description="Seed of the pattern.")
    shape: tuple[int, int, int, int] = Field(description="Shape of the uint8 input, (B, H, W, 3).")
    block: int = Field(ge=1, description="Side of one square of the pattern, px; divides H and W.")
    every: int = Field(ge=1, description="Only every so many rows of the flattened (…, columns) output are kept.")
    expected: list[list[float]] = Field(description="The kept rows of the output.")
    tolerance: float = Field(gt=0, description="Largest |difference| / (1 + |expected|) in float32.")
    tolerance_reduced: float = Field(gt=0, description="The same where the backend computes in half precision.")

    def pixels(self) -> NDArray[np.uint8]:
        """Make the input: coloured squares whose bytes are SHA-256 of the seed and a counter; the same for ever.

        Returns:
            uint8, (B, H, W, 3).
        """
        batch, height, width, colours = self.shape
        rows, columns = height // self.block, width // self.block
        count = batch * rows * columns * colours
        digests = b"".join(hashlib.sha256(f"{self.seed}:{index}".encode()).digest() for index in range(count // 32 + 1))
        squares = np.frombuffer(digests[:count], np.uint8).reshape(batch, rows, columns, colours)
        return np.ascontiguousarray(squares.repeat(self.block, axis=1).repeat(self.block, axis=2))

    def kept(self, outputs: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give the rows of an output that are compared: float, (R, columns)."""
        return outputs.reshape(-1, outputs.shape[-1])[:: self.every]

    def check(self, outputs: NDArray[np.floating], *, reduced: bool = False) -> None:
        """Compare a network's answer with the expected one.

        Args:
            outputs: float, the network's whole output to ``pixels()``.
            reduced: Whether the network computes in half precision.

        Raises:
            ProbeError: Another shape, values that are not finite, or a difference above the tolerance.
        """
        rows = self.kept(np.asarray(outputs))
        expected = np.asarray(self.expected, np.float64)
        if rows.shape != expected.shape:
            raise ProbeError(f"the probe's answer has shape {rows.shape} instead of {expected.shape}")
        if not np.isfinite(rows).all():
            raise ProbeError("the probe's answer holds values that are not finite")
        tolerance = self.tolerance_reduced if reduced else self.tolerance
        worst = float((np.abs(rows - expected) / (1 + np.abs(expected))).max())
        if worst > tolerance:
            raise ProbeError(f"the probe's answer is off by {worst:.4g}, tolerated are {tolerance:.4g}")
