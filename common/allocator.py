"""The C library's allocator, told once how a process with many short-lived threads wants its memory."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def share_one_arena() -> bool:
    """Have all threads allocate from one arena, before there are others.

    Frames and tensors of a few hundred kilobytes that pass from thread to thread otherwise leave a worker twice as
    large as what it holds.

    Returns:
        Whether the C library knows of it (glibc does); elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt is not None and mallopt(_M_ARENA_MAX, 1))
