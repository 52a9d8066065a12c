"""Scripted people before a camera, as the results that infer would write; for the tests of the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from common.events import CameraStatusData, CloudEvent, IncidentData, ViolationData
from common.schema import CameraMark, CameraState, FaceReading, FrameResult, MarkResult, ModelRef, Outcome
from common.siteplan import Policy, SitePlan
from workers.judge.context import CameraContext, context_of
from workers.judge.engine import CameraJudge

START_S = 1_790_000_000.0
SESSION = 1_790_000_000_000
CAMERA = "gate-1"
SIZE = (1280, 720)
PROBABILITIES = {
    "mask": (0.96, 0.03, 0.01),
    "no_mask": (0.02, 0.96, 0.02),
    "incorrect": (0.02, 0.03, 0.95),
    "unsure": (0.4, 0.35, 0.25),
}
Person = Callable[[float], "tuple[float, float, float, str] | None"]
"""Time in s → (x, y of the centre, width, label), relative to the frame; None where not in view."""


def a_face(x: float, y: float, width: float, label: str, blur: float | None = 80.0) -> FaceReading:
    half_w, half_h = width / 2, width * 16 / 9 / 2 * 1.2
    return FaceReading(
        box=(x - half_w, y - half_h, x + half_w, y + half_h), score=0.9, probabilities=PROBABILITIES[label], blur=blur
    )


def a_result(seq: int, faces: Iterable[FaceReading] = (), **fields: object) -> FrameResult:
    t = START_S + seq / 5
    values: dict[str, object] = {
        "camera": CAMERA,
        "session": SESSION,
        "seq": seq,
        "frame_id": f"{round(t * 1000) + 20}-0",
        "outcome": Outcome.OK,
        "captured_at": t,
        "published_at": t + 0.02,
        "inferred_at": t + 0.08,
        "width": SIZE[0],
        "height": SIZE[1],
        "faces": tuple(faces),
        "detector": ModelRef(name="detector", version="1.0.0", digest="sha256:00"),
        "classifier": ModelRef(name="classifier", version="1.0.0", digest="sha256:11"),
        "backend": "openvino",
        "worker": "host/infer-0",
    }
    return FrameResult.model_validate(values | fields)


def a_mark(next_seq: int, at_s: float, state: str = "online", **fields: object) -> MarkResult:
    values: dict[str, object] = {
        "session": SESSION,
        "next_seq": next_seq,
        "at": START_S + at_s,
        "state": CameraState(state),
        "since": START_S,
        "fps": 5.0,
    }
    return MarkResult(camera=str(fields.pop("camera", CAMERA)), mark=CameraMark.model_validate(values | fields))


def standing(label: str, start_s: float = 0, end_s: float = 1e9, x: float = 0.5, width: float = 0.08) -> Person:
    """Somebody who stands there with one label from ``start_s`` to ``end_s``."""
    return lambda t: (x, 0.4, width, label) if start_s <= t < end_s else None


def scene(people: Iterable[Person], seconds: float, fps: float = 5.0, **fields: object) -> list[FrameResult]:
    """Give the results of a scripted scene; the first frame is at 0 s."""
    crowd = list(people)
    results = []
    for seq in range(round(seconds * fps)):
        t = seq / fps
        faces = [a_face(*seen) for person in crowd if (seen := person(t)) is not None]
        moment = START_S + t
        times = {"captured_at": moment, "published_at": moment + 0.02, "inferred_at": moment + 0.08}
        results.append(a_result(seq, faces, frame_id=f"{round(moment * 1000) + 20}-0", **(times | fields)))
    return results


def entry_ms(result: FrameResult) -> int:
    return round(result.captured_at * 1000) + 100


def the_context(**policy: object) -> CameraContext:
    plan = SitePlan(site="office", policies=[Policy.model_validate({"id": "default"} | policy)])
    return context_of(plan, CAMERA)


def play(judge: CameraJudge, results: Iterable[FrameResult]) -> list[CloudEvent]:
    """Feed results at their own times."""
    return [event for result in results for event in judge.accept(result, entry_ms(result))]


def said(events: Iterable[CloudEvent]) -> list[str]:
    """Give the story in short: ``started``, ``updated:severity_raised``, ``ended:track_lost``, ``camera:offline``."""
    story = []
    for event in events:
        data = event.data
        if isinstance(data, ViolationData):
            reason = "" if data.lifecycle == "started" else f":{data.reason}"
            story.append(f"{data.lifecycle}{reason}")
        elif isinstance(data, IncidentData):
            story.append(f"incident:{data.state}:{data.persons}")
        elif isinstance(data, CameraStatusData):
            story.append(f"camera:{data.state.value}")
    return story
