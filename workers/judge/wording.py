"""Turns what the judge decided into events: every field of the envelope and of its data."""

from __future__ import annotations

from typing import NamedTuple

from common import events
from common.events import CameraStatusData, CloudEvent, ViolationData, timestamp
from common.schema import CameraState as Picture
from workers.judge.context import CameraContext
from workers.judge.episodes import SEVERITIES, Step
from workers.judge.gallery import words
from workers.judge.ruling import Standard
from workers.judge.state import CameraState
from workers.judge.tracker import Sight, Track
from workers.judge.votes import NAMES, VoteWindow, why_undetermined
from workers.judge.zoning import current, dwell_ms, entered


class Moment(NamedTuple):
    """When something became known: capture time of the frame, or broker time where none caused it; ms."""

    t_ms: int
    traceparent: str | None = None
    standard: Standard | None = None
    """What was asked of the person; None looks it up."""


def violation(context: CameraContext, state: CameraState, track: Track, step: Step, moment: Moment) -> CloudEvent:
    """Word a message of a track's episode, and count it in the camera's sequence."""
    camera = context.camera.id
    episode = events.episode_id(camera, track.case.rule, track.uid(camera), track.case.ordinal)
    kind = events.VIOLATION_TYPES[step.lifecycle]
    return CloudEvent(
        id=events.episode_event_id(episode, step.lifecycle, step.ordinal),
        source=events.source_of(context.camera.site, camera),
        type=kind,
        subject=episode,
        time=_time(moment.t_ms),
        dataschema=events.schema_uri(kind),
        partitionkey=camera,
        sequence=state.next_sequence(),
        traceparent=moment.traceparent,
        data=_violation_data(context, state, track, step, moment),
    )


class StatusNews(NamedTuple):
    """A camera's new status; times in s since 1970, capture time where a mark said so."""

    picture: Picture
    since: float
    cause: str = ""
    last_frame_at: float | None = None
    fps: float = 0.0


def camera_status(context: CameraContext, state: CameraState, news: StatusNews, t_ms: int) -> CloudEvent:
    """Word a camera's change of status, and count it; the state then holds the new status."""
    camera, standing = context.camera.id, state.standing
    previous, standing.picture = standing.picture, news.picture
    standing.count += 1
    return CloudEvent(
        id=events.status_event_id(camera, max(0, state.book.now.session), standing.count),
        source=events.source_of(context.camera.site, camera),
        type=events.CAMERA_STATUS_TYPE,
        subject=camera,
        time=_time(t_ms),
        dataschema=events.schema_uri(events.CAMERA_STATUS_TYPE),
        partitionkey=camera,
        sequence=state.next_sequence(),
        data=CameraStatusData(
            state=news.picture,
            previous=previous,
            since=timestamp(news.since),
            last_frame_at=None if news.last_frame_at is None else timestamp(news.last_frame_at),
            fps=news.fps,
            cause=news.cause,
            camera=context.camera,
        ),
    )


def _violation_data(
    context: CameraContext, state: CameraState, track: Track, step: Step, moment: Moment
) -> ViolationData:
    case, sight = track.case, track.sight.rounded()
    label = case.verdict if step.reason == "class_changed" else case.told
    best, best_ms = case.best[label - 1] if label in (1, 2) else (0.0, 0)
    confidence = track.window.confidence(label) or best  # the last votes may all be undetermined
    until_ms = case.ended_ms if step.lifecycle == "ended" else track.last_ms
    standard = moment.standard or context.standard(current(track.places), moment.t_ms)
    frame = sight.frame
    another = case.gallery.show(moment.t_ms) and "snapshot" not in step.changes and step.lifecycle != "started"
    privacy, snapshot, crop = words(case.gallery.shown, context.camera.id, context.pictures)
    return ViolationData(
        lifecycle=step.lifecycle,
        changes=[*step.changes, *(["snapshot"] if another and snapshot else [])],
        reason=step.reason,
        severity=SEVERITIES[case.severity],
        verdict=NAMES[label],
        undetermined_reason=why_undetermined(track.window, standard.rule),
        confidence=round(confidence, 3),
        votes=_votes(track.window),
        top_score=max(best, round(confidence, 3)),
        best_frame_time=_time(best_ms or track.last_ms),
        track=events.TrackInfo(
            id=track.uid(context.camera.id),
            age_frames=track.hits,
            first_seen=_time(track.first_ms),
            last_seen=_time(track.last_ms),
            stationary=track.stationary,
        ),
        object=_object(sight),
        quality=events.Quality(face_px=max(_pixels(sight)), blur=sight.blur, yaw=sight.yaw, occlusion=sight.occlusion),
        zones=_zones(track, until_ms),
        started_at=_time(case.started_ms),
        ended_at=_time(case.ended_ms) if step.lifecycle == "ended" else None,
        duration_ms=max(0, until_ms - case.started_ms),
        frame=events.FrameInfo(
            id=frame.frame_id,
            width=frame.width,
            height=frame.height,
            captured_at=_time(frame.captured_ms),
            published_at=_time(frame.published_ms),
            inferred_at=_time(frame.inferred_ms),
        ),
        camera=context.camera,
        model=state.model,
        policy=standard.policy,
        privacy=privacy,
        snapshot=snapshot,
        crop=crop,
        worker=events.WorkerInfo(id=state.worker, host=context.host),
    )


def _zones(track: Track, t_ms: int) -> events.Zones:
    places = track.places
    if not places:
        return events.Zones()
    return events.Zones(current=current(places), entered=entered(places), dwell_ms=dwell_ms(places, t_ms))


def _object(sight: Sight) -> events.FaceObject:
    x1, y1, x2, y2 = (min(1.0, max(0.0, value)) for value in sight.box)
    return events.FaceObject(bbox=(x1, y1, x2, y2), pixel_size=_pixels(sight), detector_confidence=sight.score)


def _pixels(sight: Sight) -> tuple[int, int]:
    x1, y1, x2, y2 = sight.box
    return max(0, round((x2 - x1) * sight.frame.width)), max(0, round((y2 - y1) * sight.frame.height))


def _votes(window: VoteWindow) -> events.Votes:
    mask, no_mask, incorrect, undetermined = window.count
    return events.Votes(
        mask=mask, no_mask=no_mask, incorrect=incorrect, undetermined=undetermined, frames=len(window.votes)
    )


def _time(t_ms: int) -> str:
    return timestamp(t_ms / 1000)
