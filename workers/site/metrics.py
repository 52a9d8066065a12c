"""What the site stage counts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from common.events import WINDOW_TYPE, CloudEvent, WindowData
from common.metrics import CollectorRegistry, Counter, Gauge
from workers.site.engine import NEWS, Noted


class SiteMetrics:
    """The site stage's series. They grow after a commit, so that work done twice is counted once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._places: set[str] | None = None
        self.held = Gauge(
            "maskwatch_site_stage_held", "1 in the process whose site stage is at work.", registry=registry
        )
        self.lag = Gauge(
            "maskwatch_site_lag_seconds", "How far the site stage is behind what it reads.", registry=registry
        )
        self.events = Counter(
            "maskwatch_site_events_total", "Events of the site, by type.", ["type"], registry=registry
        )
        self.windows = Counter(
            "maskwatch_windows_written_total", "Windows of statistics, by scope.", ["scope"], registry=registry
        )
        self.persons = Gauge(
            "maskwatch_window_persons",
            "People in the last window told of, where they are not withheld; place: site, or a zone's id.",
            ["place", "verdict"],
            registry=registry,
        )
        self.compliance = Gauge(
            "maskwatch_window_compliance_ratio",
            "Share of them with a mask worn right, where there are enough.",
            ["place"],
            registry=registry,
        )
        self.news_refused = Counter(
            "maskwatch_site_news_refused_total", "News that no event was made of.", ["reason"], registry=registry
        )
        self.refused = Counter(
            "maskwatch_site_entries_refused_total",
            "Other entries passed over.",
            ["stream", "reason"],
            registry=registry,
        )
        self.late = Counter(
            "maskwatch_tallies_late_total", "Counts that came after their window was told of.", registry=registry
        )
        self.missed = Counter(
            "maskwatch_site_gaps_total", "Event logs trimmed before the site stage read them.", registry=registry
        )
        self.fenced = Counter(
            "maskwatch_site_commits_fenced_total", "Commits refused as another had taken over.", registry=registry
        )

    def count(self, events: list[CloudEvent], noted: Noted) -> None:
        """Count what was committed just now."""
        for event in events:
            self.events.labels(event.type).inc()
            if event.type == WINDOW_TYPE and isinstance(event.data, WindowData):
                self.windows.labels(event.data.scope).inc()
                self._show(event.data)
        for (stream, reason), number in noted.refused.items():
            series = self.news_refused.labels(reason) if stream == NEWS else self.refused.labels(stream, reason)
            series.inc(number)
        self.late.inc(noted.late)

    def keep(self, zones: Iterable[str]) -> None:
        """Show nothing more of places that are no ``zones`` of the plan, nor the site."""
        known = self._places = {"site", *zones}
        for series in (self.persons, self.compliance):
            (family,) = series.collect()
            for place in {sample.labels["place"] for sample in family.samples} - known:
                series.remove_by_labels({"place": place})

    def _show(self, window: WindowData) -> None:
        """Show a window's figures; what it withholds shows nothing, not what was there before."""
        place = window.zone or "site"
        if self._places is not None and place not in self._places:
            return
        for verdict in ("masked", "incorrect", "unmasked", "undetermined"):
            number = getattr(window, verdict)
            if number is not None:
                self.persons.labels(place, verdict).set(number)
            else:
                _forget(self.persons, place, verdict)
        if window.compliance_rate is not None:
            self.compliance.labels(place).set(window.compliance_rate)
        else:
            _forget(self.compliance, place)


def _forget(gauge: Gauge, *labels: str) -> None:
    with suppress(KeyError):
        gauge.remove(*labels)
