"""How the stages of looking are timed."""

from __future__ import annotations

from collections.abc import Callable

StageTimer = Callable[[str, float], None]
"""Told the name of a stage and how many seconds it took; several threads may call it."""


def no_timer(_stage: str, _seconds: float) -> None:
    """Time nothing."""
