"""A network at a few fixed batch sizes: recorded once as CUDA graphs, replayed for every batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from workers.backends.torch_lane import Lane, Pieces, ran_out

Replay = Callable[[], Tensor]
"""Computes a network's answer to what its fixed input holds; the next replay overwrites it."""
Capture = Callable[[nn.Module, Tensor], Replay]
WARM_RUNS = 3


def sizes_up_to(most: int) -> tuple[int, ...]:
    """List the powers of two up to ``most``, and ``most``: at worst half of a batch is padding."""
    return tuple(sorted({most, *(1 << bit for bit in range(most.bit_length()) if 1 << bit <= most)}))


class Batches(Protocol):
    """Runs a network on batches of any size; see `FixedBatches`."""

    def run(self, pixels: Tensor) -> Tensor:
        """Compute the network."""

    def record(self, shape: tuple[int, ...], most: int) -> None:
        """Prepare for up to ``most`` inputs of a shape (H, W, 3)."""


class FreeBatches:
    """Runs a network on batches as large as they are: what the CPU likes best.

    Args:
        network: uint8 (B, H, W, 3) in, float (B, …) out, row by row.
        most: Inputs at once.
        lane: Where it computes.
    """

    def __init__(self, network: nn.Module, most: int, lane: Lane) -> None:
        self._network = network
        self._lane = lane
        self._pieces = Pieces("network", most, lane.free)

    def run(self, pixels: Tensor) -> Tensor:
        """Compute the network; see `FixedBatches.run`."""
        answers = self._pieces.run(len(pixels), lambda first, last: self._network(pixels[first:last]))
        return answers[0] if len(answers) == 1 else torch.cat(answers)

    def record(self, shape: tuple[int, ...], most: int) -> None:
        """Run once alone and once at the largest size, so that kernels are chosen before frames wait."""
        for size in sorted({1, min(most, self._pieces.most)}):
            self._network(torch.zeros((size, *shape), dtype=torch.uint8, device=self._lane.device))


class FixedBatches:
    """Runs a network on any number of inputs, padded to fixed sizes. Used by one thread at a time, within its lane.

    Args:
        network: uint8 (B, H, W, 3) in, float (B, …) out, row by row.
        sizes: Batch sizes, ascending.
        lane: Where it computes.
        capture: How it is recorded; None: as CUDA graphs, or as it stands on the CPU.
    """

    def __init__(self, network: nn.Module, sizes: Sequence[int], lane: Lane, capture: Capture | None = None) -> None:
        self._network = network
        self._sizes = tuple(sizes)
        self._capture = capture or (Graphs(lane).record if lane.cuda else as_it_stands)
        self._lane = lane
        self._recorded: dict[tuple[int, ...], tuple[Tensor, Replay]] = {}
        self._pieces = Pieces("network", self._sizes[-1], self._make_room)

    def run(self, pixels: Tensor) -> Tensor:
        """Compute the network.

        Args:
            pixels: uint8, (B, H, W, 3), on the device; B at least 1.

        Returns:
            float, (B, …), of its own: no later call changes it.

        Raises:
            torch.OutOfMemoryError: There is no room for a single input.
        """
        answers = self._pieces.run(len(pixels), lambda first, last: self._one(pixels[first:last]))
        return answers[0] if len(answers) == 1 else torch.cat(answers)

    def record(self, shape: tuple[int, ...], most: int) -> None:
        """Record all sizes up to that which holds ``most`` inputs of this shape (H, W, 3), or that memory allows.

        Raises:
            torch.OutOfMemoryError: There is no room for a single input.
        """
        fitting = 0
        for size in [size for size in self._sizes if size <= self._size_for(min(most, self._pieces.most))]:
            try:
                self._held((size, *shape))
            except RuntimeError as error:
                if not fitting or not ran_out(error):
                    raise
                self._pieces.most = fitting
                return
            fitting = size

    def _one(self, part: Tensor) -> Tensor:
        held, replay = self._held((self._size_for(len(part)), *part.shape[1:]))
        held[: len(part)].copy_(part)
        return replay()[: len(part)].clone()

    def _held(self, shape: tuple[int, ...]) -> tuple[Tensor, Replay]:
        found = self._recorded.get(shape)
        if found is None:
            held = torch.zeros(shape, dtype=torch.uint8, device=self._lane.device)
            found = self._recorded[shape] = held, self._capture(self._network, held)
        return found

    def _size_for(self, count: int) -> int:
        return next((size for size in self._sizes if size >= count), self._sizes[-1])

    def _make_room(self) -> None:
        # Graphs share one pool, which is given back with the last of them.
        self._recorded.clear()
        self._lane.free()


class Graphs:
    """Records CUDA graphs that share one pool: they are replayed on one stream, one after the other."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, network: nn.Module, held: Tensor) -> Replay:
        """Record a network on a fixed input; a `Capture`."""
        for _ in range(WARM_RUNS):  # libraries choose their kernels and take their memory, which no recording may hold
            network(held)
        self._lane.wait()
        graph = torch.cuda.CUDAGraph()
        # Another thread decodes meanwhile: only what this one does may spoil the recording.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._lane.stream, capture_error_mode="thread_local"):
            answer: Tensor = network(held)

        def replay() -> Tensor:
            graph.replay()
            return answer

        return replay


def as_it_stands(network: nn.Module, held: Tensor) -> Replay:
    """Compute a network anew every time; a `Capture`."""

    def replay() -> Tensor:
        answer: Tensor = network(held)
        return answer

    return replay
