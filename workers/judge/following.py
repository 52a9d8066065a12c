"""One judged frame: follow its faces, let them vote, and say which messages are due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.events import CloudEvent, ModelInfo, Reason
from common.resultrecord import Face as Reading
from common.resultrecord import Model, Result, ref_of
from workers.judge import matching
from workers.judge.context import CameraContext
from workers.judge.episodes import Step, close, release, step
from workers.judge.quality import Look, look_of, occlusions
from workers.judge.ruling import Standard
from workers.judge.state import CameraState
from workers.judge.tracker import Face, Frame, Sight, Track, face_of
from workers.judge.votes import MIN_PROBABILITY, UNDETERMINED, decide, vote_of
from workers.judge.wording import Moment, violation
from workers.judge.zoning import NO_PASSAGE, current, entered, forget_unknown, locate

_CLOCK_JUMP_MS = 1000
_Seen = tuple[Track, Reading, Look]


def follow(context: CameraContext, state: CameraState, result: Result) -> list[CloudEvent]:
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
    if len(tracks) + len(result.faces) > context.limits.tracks:
        events += _make_room(context, state, moment)
        tracks = state.tracks
    for seen in _match(context, state, result, t_ms):
        _note_picture(context, seen, result, t_ms)
        due, standard = _weigh(context, seen, t_ms)
        if due is not None:
            events.append(violation(context, state, seen[0], due, moment._replace(standard=standard)))
    if tracks:
        events += _drop_gone(context, state, moment)
    return events


def end_all(context: CameraContext, state: CameraState, reason: Reason, t_ms: int) -> list[CloudEvent]:
    """End every open episode and forget all tracks."""
    tracks, state.tracks = state.tracks, []
    return list(_endings(context, state, tracks, (reason, Moment(t_ms))))


def end_exempt(context: CameraContext, state: CameraState, t_ms: int) -> list[CloudEvent]:
    """End the episodes of people of whom no mask is asked, or nothing may be told, since plan or hour have changed."""
    events: list[CloudEvent] = []
    for track in state.tracks:
        forget_unknown(context.zones, track.places)
        standard = context.standard(current(track.places), t_ms)
        if track.case.is_open and (context.counts_only or not standard.rule.required):
            due = release(track.case, track.last_ms, "policy_changed")
            if due is not None:
                events.append(violation(context, state, track, due, Moment(t_ms, standard=standard)))
    return events


def _match(context: CameraContext, state: CameraState, result: Result, t_ms: int) -> list[_Seen]:
    """Give each face to its track, new tracks included."""
    tracks = state.tracks
    readings: Sequence[Reading] = result.faces
    faces = [face_of(reading.box) for reading in readings]
    chosen = matching.assign(tracks, faces, t_ms, lambda index: _label(readings[index]))
    hidden = occlusions([reading.box for reading in readings])
    frame = _frame(result, t_ms)
    size = (result.width, result.height)
    for track in tracks:
        track.misses += 1
    seen: list[_Seen] = []
    known: list[Face] = []
    strangers: list[int] = []
    for index, (choice, reading) in enumerate(zip(chosen, readings, strict=True)):
        if choice < 0:
            strangers.append(index)
            continue
        track, look = tracks[choice], look_of(reading, size, hidden[index])
        track.see(faces[index], t_ms)
        track.sight = Sight(frame, reading.box, reading.score, look.blur, look.yaw, look.occlusion)
        seen.append((track, reading, look))
        known.append(faces[index])
    born = 0
    for index in strangers:
        face, reading = faces[index], readings[index]
        if len(tracks) >= context.limits.tracks or matching.is_echo(face, known):
            continue
        look = look_of(reading, size, hidden[index])
        track = _birth(
            face,
            (result.session, result.seq, born),
            t_ms,
            Sight(frame, reading.box, reading.score, look.blur, look.yaw, look.occlusion),
        )
        tracks.append(track)
        seen.append((track, reading, look))
        known.append(face)
        born += 1
    return seen


def _frame(result: Result, t_ms: int) -> Frame:
    published_ms, inferred_ms = round(result.published_at * 1000), round(result.inferred_at * 1000)
    return Frame(result.frame_id, result.width, result.height, t_ms, published_ms, inferred_ms)


def _weigh(context: CameraContext, seen: _Seen, t_ms: int) -> tuple[Step | None, Standard]:
    """Let one face of the frame vote on its track, under the policy of the place where it is."""
    (track, reading, look), passage = seen, NO_PASSAGE
    places, case = track.places, track.case
    if context.zones:
        passage = locate(context.zones, places, track.sight.box, t_ms, first=track.hits == 1)
    standard = context.standard(current(places) if places else (), t_ms)
    rule = standard.rule
    vote = vote_of(reading, look, rule)
    track.window.push(vote, rule.window)
    case.verdict = decide(track.window, case.verdict, rule)
    case.observe(vote, track.window, t_ms)
    if context.counts_only or not track.confirmed:
        return None, standard
    return step(case, t_ms, rule, context.limits.update_ms, passage), standard


def _note_picture(context: CameraContext, seen: _Seen, result: Result, t_ms: int) -> None:
    track, reading, look = seen
    if reading.picture is None or context.pictures.silent:
        return
    place = next(index for index, face in enumerate(result.faces) if face is reading)
    track.case.gallery.see(reading, (result.session, result.seq, place), look, t_ms)


def _label(reading: Reading) -> int:
    best = max(reading.probabilities)
    return reading.probabilities.index(best) if best >= MIN_PROBABILITY else UNDETERMINED


def _birth(face: Face, name: tuple[int, int, int], t_ms: int, sight: Sight) -> Track:
    return Track(*name, 1, 0, t_ms, t_ms, *face, 0.0, 0.0, sight, still=(face.x, face.y, face.w, t_ms))


def _make_room(context: CameraContext, state: CameraState, moment: Moment) -> list[CloudEvent]:
    """In a crowd, let those go who were lost, rather than wait for them and see nobody new."""
    newest_ms = moment.t_ms - context.limits.lost_ms
    lost = [track for track in state.tracks if track.last_ms < newest_ms]
    if lost:
        state.tracks = [track for track in state.tracks if track.last_ms >= newest_ms]
    return list(_endings(context, state, lost, ("track_lost", moment)))


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
        _count(context, state, track, moment.t_ms)
        due = close(track.case, track.last_ms, reason)
        if due is not None:
            yield violation(context, state, track, due, moment)


def _count(context: CameraContext, state: CameraState, track: Track, t_ms: int) -> None:
    """Count somebody who has left, for statistics, unless no mask was asked for where that was."""
    if track.confirmed and context.standard(current(track.places), t_ms).rule.required:
        state.census.count(track.case.verdict, entered(track.places))


def _note_model(state: CameraState, result: Result) -> None:
    model = state.model
    same = _same(result.detector, model.detector) and _same(result.classifier, model.classifier)
    if not same or result.backend != model.backend:
        state.model = ModelInfo(
            detector=ref_of(result.detector), classifier=ref_of(result.classifier), backend=result.backend
        )
    state.worker = result.worker


def _same(one: Model | None, other: Model | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.digest == other.digest and one.version == other.version and one.name == other.name
