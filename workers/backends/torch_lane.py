"""A device with a stream of its own: how arrays reach it and come back, and how memory that ran out is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.log import Log

_Answer = TypeVar("_Answer")
_NVJPEG_ALLOCATOR_FAILURE = "nvjpegDecode failed: 5"
_log = Log("infer")


class Lane:
    """One stream of one device. On the CPU there is no stream, and everything else is the same.

    Args:
        device: Where tensors live.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @property
    def cuda(self) -> bool:
        """Whether this is a CUDA device."""
        return self._stream is not None

    @property
    def stream(self) -> Any:
        """The CUDA stream; None on the CPU."""
        return self._stream

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Compute without gradients, on this lane."""
        with torch.inference_mode():
            if self._stream is None:
                yield
                return
            with torch.cuda.stream(self._stream):
                yield

    def to_device(self, array: NDArray[Any]) -> Tensor:
        """Copy an array to the device, through pinned memory and without waiting; call it within `entered`."""
        kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
        host = torch.empty(array.shape, dtype=kind, pin_memory=self.cuda)
        host.numpy()[...] = array
        return host.to(self.device, non_blocking=True)

    def to_host(self, tensor: Tensor) -> NDArray[Any]:
        """Copy a tensor to the host and wait for all that this lane has to do; call it within `entered`."""
        if not self.cuda:
            return np.array(tensor.numpy())
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        self.wait()
        return host.numpy()

    def pinned(self, count: int) -> Tensor:
        """Give ``count`` bytes of host memory that the device can fetch by itself, unset."""
        return torch.empty(count, dtype=torch.uint8, pin_memory=self.cuda)

    def keep(self, tensor: Tensor) -> None:
        """Have memory that another lane made stay as it is until this lane has done what it was asked so far."""
        if self._stream is not None:
            tensor.record_stream(self._stream)

    def wait(self) -> None:
        """Wait for all that this lane has to do."""
        if self._stream is not None:
            self._stream.synchronize()

    def free(self) -> None:
        """Give unused memory back to the device."""
        if self.cuda:
            torch.cuda.empty_cache()

    def about(self) -> dict[str, Any]:
        """Say what this is: device, versions of libraries, and the most memory that tensors took so far, MB."""
        known: dict[str, Any] = {"device": self.device.type, "torch": torch.__version__, "cuda": torch.version.cuda}
        if self.cuda:
            known["device"] = torch.cuda.get_device_name(self.device)
            known["memory_mb"] = round(torch.cuda.max_memory_allocated(self.device) / 1e6)
        return known


class Pieces:
    """How many things go to the device at once. Memory that runs out halves it, for good.

    Attributes:
        most: Things of one piece.

    Args:
        what: Names them in the log line.
        most: To begin with.
        free: Makes room before a smaller piece is tried.
    """

    def __init__(self, what: str, most: int, free: Callable[[], None]) -> None:
        self.most = most
        self._what = what
        self._free = free

    def run(self, count: int, work: Callable[[int, int], _Answer]) -> list[_Answer]:
        """Do ``work(first, last)`` for ``count`` things piece by piece, in order.

        Raises:
            torch.OutOfMemoryError: There is no room for a single one.
        """
        done, answers = 0, []
        while done < count:
            size = min(self.most, count - done)
            try:
                answers.append(work(done, done + size))
            except RuntimeError as error:
                if size == 1 or not ran_out(error):
                    raise
                self.most = size // 2
            else:
                done += size
                continue
            # Only here: the error above held on to the tensors of the attempt.
            _log.warning("device_memory", what=self._what, most=self.most)
            self._free()
        return answers


def ran_out(error: BaseException) -> bool:
    """Say whether an error means that the device's memory ran out."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or _NVJPEG_ALLOCATOR_FAILURE in text
