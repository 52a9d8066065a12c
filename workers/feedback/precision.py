"""How often the alarms of each camera are right, by what people said of the last ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from common.feedback import FeedbackRecord, GivenLabel
from common.metrics import CollectorRegistry, Counter, Gauge, forget_cameras

WINDOW = 200
"""Alarms of a camera that count: the ones judged last."""


class AlarmPrecision:
    """Keeps the series ``maskwatch_alarm_…`` and ``maskwatch_feedback_…`` in step with the records; for one thread.

    Only ``planned`` cameras are shown, so that there are never more series than the plan has cameras. A contested alarm
    counts by what more than half say, and not at all where no more than half agree.
    """

    def __init__(
        self, registry: CollectorRegistry, window: int = WINDOW, planned: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._window = window
        self._planned = planned
        self._shown: set[str] = set()
        self._right: dict[str, OrderedDict[str, bool]] = {}
        self._contested: dict[str, set[str]] = {}
        self._known: dict[str, tuple[GivenLabel, ...]] = {}
        self.given = Counter(
            "maskwatch_feedback_total",
            "Labels that people have given, by label and by what maskwatch had said.",
            ["camera", "label", "verdict"],
            registry=registry,
        )
        self.refused = Counter(
            "maskwatch_feedback_refused_total", "Feedback of other tools not taken, by reason.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.precision = Gauge(
            "maskwatch_alarm_precision", f"Share of the last {window} judged alarms that were right, 0 to 1.",
            ["camera"], registry=registry,
        )  # fmt: skip
        self.judged = Gauge(
            "maskwatch_alarm_judged", f"Judged alarms behind the precision, at most {window}.", ["camera"],
            registry=registry,
        )  # fmt: skip
        self.contested = Gauge(
            "maskwatch_alarm_contested", "Alarms about which people contradict one another.", ["camera"],
            registry=registry,
        )  # fmt: skip

    def take(self, record: FeedbackRecord, *, news: bool = True) -> None:
        """Take in a record as it is now; one that was known already only changes its place.

        Args:
            record: What was said of an alarm; of faces without an alarm only the labels are counted.
            news: Whether its labels were given while this process ran; those from before are not counted again.
        """
        camera = record.camera.id
        if news and self._planned(camera):
            self._shown.add(camera)
            for one in set(record.given) - set(self._known.get(record.subject, ())):
                self.given.labels(camera, one.label, record.verdict or "none").inc()
        self._known[record.subject] = record.given
        if record.verdict is None:
            return
        contested = self._contested.setdefault(camera, set())
        (contested.add if record.state == "contested" else contested.discard)(record.subject)
        decided = self._right.setdefault(camera, OrderedDict())
        decided.pop(record.subject, None)
        if record.right is not None:
            decided[record.subject] = record.right
        while len(decided) > self._window:
            self._known.pop(decided.popitem(last=False)[0], None)
        self._show(camera)

    def forget(self) -> None:
        """Drop all alarms, as before a fresh start; what was counted stays counted."""
        for gauge in (self.precision, self.judged, self.contested):
            forget_cameras(gauge, self._right.__contains__)
        self._right, self._contested = {}, {}

    def tidy(self) -> None:
        """Show nothing more of cameras that left the plan, and those that came back."""
        gone = {name for name in self._shown if not self._planned(name)}
        for series in (self.precision, self.judged, self.contested, self.given) if gone else ():
            forget_cameras(series, gone.__contains__)
        self._shown -= gone
        for camera in self._right.keys() - self._shown:
            self._show(camera)

    def _show(self, camera: str) -> None:
        if not self._planned(camera):
            return
        self._shown.add(camera)
        decided = self._right[camera]
        share = sum(decided.values()) / len(decided) if decided else float("nan")
        self.precision.labels(camera).set(share)
        self.judged.labels(camera).set(len(decided))
        self.contested.labels(camera).set(len(self._contested[camera]))
