"""Turns what the site stage found into events: every field of the envelope and of its data."""

from __future__ import annotations

from typing import Any, cast

from common import events
from common.broker.siteinbox import SiteNews
from common.errors import WireError
from common.events import CloudEvent, IncidentData, IncidentPhase, WindowData
from common.schema_files import EVENTS
from common.siteplan import IncidentRule, SitePlan
from workers.site.crowd import Crowd
from workers.site.state import SiteState
from workers.site.windows import Row, Span

_JUDGED = (*events.VIOLATION_TYPES.values(), *events.INCIDENT_TYPES.values(), events.CAMERA_STATUS_TYPE)
_OWN = frozenset({*_JUDGED, events.WINDOW_TYPE})
_LONGEST_ID = 100


def incident(
    state: SiteState, site: str, place: tuple[str, str, IncidentRule | None], phase: IncidentPhase, crowd: Crowd
) -> CloudEvent:
    """Word a message about a crowd; ``place`` is rule id, zone, and the rule if the plan still has it."""
    name, zone, rule = place
    source, kind = events.zone_source(site, zone), events.INCIDENT_TYPES[phase]
    subject = events.zone_incident_id(zone, name, crowd.opened_ms)
    moment = events.timestamp(crowd.told_ms / 1000)
    return CloudEvent(
        id=events.episode_event_id(subject, phase, crowd.updates if phase == "updated" else 0),
        source=source,
        type=kind,
        subject=subject,
        time=moment,
        dataschema=events.schema_uri(kind),
        partitionkey=zone,
        sequence=state.next_sequence(source),
        data=IncidentData(
            state=phase,
            rule=name,
            zone=zone,
            more_than=rule.more_than if rule else None,
            within_ms=round(rule.within_min * 60_000) if rule else None,
            persons=crowd.told,
            peak=crowd.peak,
            opened_at=events.timestamp(crowd.opened_ms / 1000),
            closed_at=moment if phase == "closed" else None,
            cameras=crowd.cameras,
        ),
    )


def window(state: SiteState, plan: SitePlan, span: Span, row: Row) -> CloudEvent:
    """Word what is told of one scope in a window."""
    source = events.zone_source(plan.site, row.zone) if row.zone else events.site_source(plan.site)
    end = events.timestamp(span.end_ms / 1000)
    return CloudEvent(
        id=events.window_event_id(source, *span),
        source=source,
        type=events.WINDOW_TYPE,
        subject=row.zone or plan.site,
        time=end,
        dataschema=events.schema_uri(events.WINDOW_TYPE),
        partitionkey=row.zone or plan.site,
        sequence=state.next_sequence(source),
        data=WindowData(
            scope="zone" if row.zone else "site",
            site=plan.site,
            zone=row.zone or None,
            window_start=events.timestamp(span.start_ms / 1000),
            window_end=end,
            persons_observed=row.observed,
            masked=row.masked,
            incorrect=row.incorrect,
            unmasked=row.unmasked,
            undetermined=row.undetermined,
            compliance_rate=row.rate,
            observability=row.observability,
            cameras_up=row.cameras_up,
            cameras_expected=row.cameras_expected,
            degraded_seconds=row.degraded_s,
            min_count=plan.statistics.min_count,
            withheld=plan.counts_only,
        ),
    )


def news_event(state: SiteState, site: str, news: SiteNews) -> CloudEvent:
    """Make an event of news, and count it.

    Raises:
        WireError: ``reason`` says what is wrong: ``type``, ``id``, ``source`` or ``data``; nothing was counted.
    """
    source = news.source or events.site_source(site)
    model = None if news.kind in _OWN else EVENTS.get(news.kind)
    if model is None:
        raise WireError("type", f"news of type {news.kind[:80]!r} are not taken")
    if not 0 < len(news.id) <= _LONGEST_ID:
        raise WireError("id", f"news with an id of {len(news.id)} letters")
    if not (source + "/").startswith(events.site_source(site) + "/"):
        raise WireError("source", f"news from {source[:80]!r} are not of this site")
    try:
        data = model.model_validate(dict(news.data))
        draft = CloudEvent(
            id=news.id,
            source=source,
            type=news.kind,
            subject=news.subject,
            time=events.timestamp(news.at_s),
            dataschema=events.schema_uri(news.kind),
            partitionkey=news.camera or news.subject,
            sequence=events.sequence(0),
            data=cast(Any, data),
        )
    except (ValueError, OverflowError, OSError) as error:
        raise WireError("data", f"news of {news.kind}: {' '.join(str(error).split())[:300]}") from error
    return draft.model_copy(update={"sequence": state.next_sequence(source)})
