"""A cheap gate that lets pictures through while something moves, and one now and then while nothing does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from producers.sources.source import Image

_SIDE_PX = 96


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """When something counts as moving.

    Attributes:
        difference: Grey levels, of 255, by which a spot must differ; above the noise of a sensor.
        start_share: Share of differing spots that opens the gate.
        stay_share: Share that keeps it open; lower, so that it does not flutter.
        hold_s: How long it stays open after the last motion, s.
        keepalive_s: While closed, one picture in this time passes, s.
    """

    difference: int = 14
    start_share: float = 0.004
    stay_share: float = 0.0015
    hold_s: float = 1.0
    keepalive_s: float = 1.0


class MotionGate:
    """Compares each picture with the last that passed, so that slow motion adds up; time is an argument."""

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._reference: Image | None = None
        self._passed_at = 0.0
        self._moved_at: float | None = None

    def admit(self, grey: Image, now: float) -> bool:
        """Say whether a picture passes.

        Args:
            grey: Thumbnail, uint8, (h, w).
            now: Time in s of any steady clock.
        """
        small = np.asarray(cv2.resize(grey, (_SIDE_PX, _SIDE_PX * 9 // 16), interpolation=cv2.INTER_AREA), np.uint8)
        moving = self._moving(small, now)
        if not moving and now - self._passed_at < self._settings.keepalive_s:
            return False
        self._reference = small
        self._passed_at = now
        return True

    def _moving(self, small: Image, now: float) -> bool:
        if self._reference is None:
            return True
        rules = self._settings
        share = float((cv2.absdiff(small, self._reference) > rules.difference).mean())
        open_now = self._moved_at is not None and now - self._moved_at < rules.hold_s
        if share >= (rules.stay_share if open_now else rules.start_share):
            self._moved_at = now
            return True
        return open_now
