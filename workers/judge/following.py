"""One judged frame: follow its faces, let them vote, and say which messages are due."""

from __future__ import annotations

from collections.abc import Iterator

from common.events import CloudEvent, ModelInfo, Reason
from common.schema import FaceReading, FrameResult
from workers.judge import tracker
from workers.judge.context import CameraContext
from workers.judge.episodes import close, step
from workers.judge.state import CameraState
from workers.judge.tracker import Face, Frame, Sight, Track
from workers.judge.votes import decide, vote_of
from workers.judge.wording import Moment, violation

_CLOCK_JUMP_MS = 1000


def follow(context: CameraContext, state: CameraState, result: FrameResult) -> list[CloudEvent]:
    """Judge one frame whose turn it is; the state is changed in place."""
    t_ms = round(result.captured_at * 1000)
    moment = Moment(t_ms, result.traceparent)
    events: list[CloudEvent] = []
    tracks = state.tracks
    if tracks and min(track.last_ms for track in tracks) > t_ms + _CLOCK_JUMP_MS:
        events += end_all(context, state, "track_lost", t_ms)
        tracks = state.tracks
    if not tracks and not result.faces:
        return events
    _note_model(state, result)
    for track in _match(context, state, result, t_ms):
        if not track.confirmed:
            continue
        due = step(track.case, t_ms, context.rule, context.limits.update_ms)
        if due is not None:
            events.append(violation(context, state, track, due, moment))
    if tracks:
        events += _drop_gone(context, state, moment)
    return events


def end_all(context: CameraContext, state: CameraState, reason: Reason, t_ms: int) -> list[CloudEvent]:
    """End every open episode and forget all tracks."""
    tracks, state.tracks = state.tracks, []
    return list(_endings(context, state, tracks, (reason, Moment(t_ms))))


def _match(context: CameraContext, state: CameraState, result: FrameResult, t_ms: int) -> Iterator[Track]:
    """Give each face to its track, new tracks included, and give the tracks that saw a vote."""
    tracks = state.tracks
    faces = [tracker.face_of(reading.box) for reading in result.faces]
    chosen = tracker.assign(tracks, faces, t_ms)
    frame = Frame(
        result.frame_id,
        result.width,
        result.height,
        t_ms,
        round(result.published_at * 1000),
        round(result.inferred_at * 1000),
    )
    for track in tracks:
        track.misses += 1
    known = [face for face, index in zip(faces, chosen, strict=True) if index >= 0]
    seen = [(tracks[index], reading) for index, reading in zip(chosen, result.faces, strict=True) if index >= 0]
    for (track, reading), face in zip(seen, known, strict=True):
        track.see(face, t_ms)
        track.sight = _sight(frame, reading)
    born = 0
    for face, index, reading in zip(faces, chosen, result.faces, strict=True):
        if index >= 0 or len(tracks) >= context.limits.tracks or tracker.is_echo(face, known):
            continue
        track = _birth(face, (result.session, result.seq, born), t_ms, _sight(frame, reading))
        tracks.append(track)
        seen.append((track, reading))
        known.append(face)
        born += 1
    for track, reading in seen:
        _vote(context, track, reading, t_ms)
        yield track


def _vote(context: CameraContext, track: Track, reading: FaceReading, t_ms: int) -> None:
    frame, (x1, y1, x2, y2) = track.sight.frame, reading.box
    face_px = max((x2 - x1) * frame.width, (y2 - y1) * frame.height)
    vote = vote_of(reading, face_px, context.rule)
    track.window.push(vote, context.rule.window)
    track.case.verdict = decide(track.window, track.case.verdict, context.rule)
    track.case.observe(vote, track.window, t_ms)


def _birth(face: Face, name: tuple[int, int, int], t_ms: int, sight: Sight) -> Track:
    return Track(*name, 1, 0, t_ms, t_ms, *face, 0.0, 0.0, sight)


def _sight(frame: Frame, reading: FaceReading) -> Sight:
    x1, y1, x2, y2 = reading.box
    box = (round(x1, 4), round(y1, 4), round(x2, 4), round(y2, 4))
    return Sight(frame, box, round(reading.score, 3), None if reading.blur is None else round(reading.blur, 1))


def _drop_gone(context: CameraContext, state: CameraState, moment: Moment) -> list[CloudEvent]:
    limits = context.limits
    gone = [track for track in state.tracks if track.misses and track.gone(moment.t_ms, limits)]
    if not gone:
        return []
    state.tracks = [track for track in state.tracks if not (track.misses and track.gone(moment.t_ms, limits))]
    return list(_endings(context, state, gone, ("track_lost", moment)))


def _endings(
    context: CameraContext, state: CameraState, tracks: list[Track], why: tuple[Reason, Moment]
) -> Iterator[CloudEvent]:
    reason, moment = why
    for track in tracks:
        due = close(track.case, track.last_ms, reason)
        if due is not None:
            yield violation(context, state, track, due, moment)


def _note_model(state: CameraState, result: FrameResult) -> None:
    model = state.model
    if (result.detector, result.classifier, result.backend) != (model.detector, model.classifier, model.backend):
        state.model = ModelInfo(detector=result.detector, classifier=result.classifier, backend=result.backend)
    state.worker = result.worker
