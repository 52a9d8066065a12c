"""What the event measurement looks at: pans over photographs with known faces, and videos with known stories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import SourceEndedError
from common.images import Picture, resize
from common.schema import FrameResult, Outcome
from common.siteplan import Camera
from producers.sources.source import SourceSettings, open_source
from tests.judge_scenes import CAMERA, SESSION, START_S
from workers.infer.vision.pipeline import FacePipeline
from workers.recording import read_picture

Box = tuple[float, float, float, float]
FPS = 5
VIDEO_FPS = 10
SECONDS = 8
VIEW = (960, 540)
_SHARE = 0.6  # of the photograph that the view shows at a time


@dataclass(frozen=True, slots=True)
class Person:
    """One face of a photograph, in px of the photograph."""

    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Pan:
    """A camera that swings over a photograph, and what is to be seen in each frame.

    Attributes:
        results: What infer says of each frame.
        truth: For each frame the index of each person who is wholly in view → box relative to the view.
        partly: The same for those of whom any part is in view.
        people: The persons.
    """

    results: list[FrameResult]
    truth: list[dict[int, Box]]
    partly: list[dict[int, Box]]
    people: list[Person]


def scenes(folder: Path, sources: Sequence[str], count: int) -> Iterator[tuple[Path, list[Person]]]:
    """Give the held-out photographs with two to eight faces, all of them large enough to judge."""
    with (folder / "faces.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            people = [Person(tuple(face["box"]), face["label"]) for face in row["faces"]]
            sizes = [max(x2 - x1, y2 - y1) / row["width"] for x1, y1, x2, y2 in (one.box for one in people)]
            fits = row["split"] == "val" and row["source"] in sources and 2 <= len(people) <= 8
            if fits and min(sizes) >= 0.03 and max(sizes) <= 0.3 and row["width"] > row["height"]:
                yield folder / row["file"], people
                count -= 1
            if not count:
                return


def pan(pipeline: FacePipeline, path: Path, people: list[Person]) -> Pan:
    """Swing a view of 60 % of the photograph from its left to its right end and back, and look at every frame."""
    picture = read_picture(path)
    height, width = picture.shape[:2]
    view_w = min(round(_SHARE * width), round(height * VIEW[0] / VIEW[1]))
    view_h = round(view_w * VIEW[1] / VIEW[0])
    results, partly = [], []
    for number in range(FPS * SECONDS):
        swing = 0.5 - 0.5 * float(np.cos(2 * np.pi * number / (FPS * SECONDS)))
        left, top = round(swing * (width - view_w)), (height - view_h) // 2
        shown = resize(np.ascontiguousarray(picture[top : top + view_h, left : left + view_w]), VIEW)
        results.append(_result(pipeline, shown, number, START_S + number / FPS))
        partly.append(dict(_visible(people, (left, top, view_w, view_h))))
    truth = [{one: box for one, box in seen.items() if min(box) >= 0 and max(box) <= 1} for seen in partly]
    return Pan(results, truth, partly, people)


def video(pipeline: FacePipeline, path: Path) -> list[FrameResult]:
    """Look at a video, ten frames a second."""
    found: list[FrameResult] = []
    settings = SourceSettings(fps=VIDEO_FPS, realtime=False)
    with closing(open_source(Camera(id=CAMERA, source=str(path)), settings)) as source:
        while True:
            try:
                frame = source.read()
            except SourceEndedError:
                return found
            if frame is not None and frame.image is not None:
                found.append(_result(pipeline, frame.image, len(found), START_S + len(found) / VIDEO_FPS))


def _result(pipeline: FacePipeline, picture: Picture, seq: int, at: float) -> FrameResult:
    height, width = picture.shape[:2]
    faces = pipeline.read([picture])[0]
    return FrameResult(
        camera=CAMERA,
        session=SESSION,
        seq=seq,
        frame_id=f"{round(at * 1000)}-0",
        outcome=Outcome.OK,
        captured_at=at,
        published_at=at,
        inferred_at=at,
        width=width,
        height=height,
        faces=tuple(face.relative(width, height) for face in faces),
    )


def _visible(people: Sequence[Person], view: tuple[int, int, int, int]) -> Iterator[tuple[int, Box]]:
    """Give the faces that lie in the view, or partly so, relative to it."""
    left, top, width, height = view
    for index, person in enumerate(people):
        x1, y1, x2, y2 = person.box
        box = ((x1 - left) / width, (y1 - top) / height, (x2 - left) / width, (y2 - top) / height)
        if box[0] < 1 and box[1] < 1 and box[2] > 0 and box[3] > 0:
            yield index, box
