"""One video through inference and judge in this process, frame by frame, with an annotated copy and a live page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from common import jpeg
from common.errors import FrameRejectedError, SourceEndedError, SourceError
from common.events import VIOLATION_TYPES, CloudEvent, Verdict
from common.images import Picture
from common.lifecycle import StopSignal
from common.schema import FrameResult, Outcome
from common.siteplan import Camera, Policy, SitePlan
from maskwatch.run.view import ViewServer
from producers.sources.source import SourceFrame, SourceSettings, open_source
from workers.annotate import Mark, annotate
from workers.infer.outcomes import ref_of
from workers.infer.vision.face import Face
from workers.judge.context import context_of
from workers.judge.engine import CameraJudge, FollowedFace
from workers.judge.state import CameraState
from workers.recording import VideoFile

if TYPE_CHECKING:
    from maskwatch.look.looking import Looker

CAMERA_ID = "video"
_LARGEST_PX = 4096


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to watch and where to show it.

    Attributes:
        source: A file, URL, ``webcam:N`` or ``synthetic:NAME``.
        fps: Frames a second to look at.
        out: Annotated copy, or None.
        view: Show it in a page on this machine.
    """

    source: str
    fps: float = 10.0
    out: Path | None = None
    view: bool = False


class Watch:
    """Watches one video; a context manager.

    Attributes:
        url: Address of the live page; empty without one.
        frames: Frames looked at so far.
        episodes: Violations begun so far.
        trouble: Why the source broke off; empty where it did not.

    Raises:
        SourceError: Nothing can be read from the source.
        ConfigError: The annotated copy cannot be written.
    """

    def __init__(self, options: WatchOptions, looker: Looker, stop: StopSignal) -> None:
        plan = SitePlan(
            site="local",
            cameras=[
                Camera(id=CAMERA_ID, source=options.source, name=Path(options.source.partition("?")[0]).name[:100])
            ],
            policies=[Policy()],
        )
        settings = SourceSettings(fps=options.fps, width=_LARGEST_PX, realtime=options.view)
        self._title = plan.cameras[0].name
        self._looker = looker
        self._stack = ExitStack()
        self._file = VideoFile(options.out, options.fps) if options.out else None
        self._source = self._stack.enter_context(closing(open_source(plan.cameras[0], settings)))
        self._page = self._stack.enter_context(ViewServer()) if options.view else None
        self._stop = stop
        self._judge = CameraJudge(context_of(plan, CAMERA_ID), CameraState())
        self._session = int(time.time() * 1000)
        self._models = (ref_of(looker.detector), ref_of(looker.classifier))
        self.url = self._page.url if self._page else ""
        self.frames = 0
        self.episodes = 0
        self.trouble = ""

    def events(self, on_frame: Callable[[], object] = lambda: None) -> Iterator[CloudEvent]:
        """Watch until the video ends, breaks off or is stopped; give events as they come."""
        last_ms = self._session
        for frame, picture in self._frames():
            faces = self._looker.pipeline.read([picture])[0]
            last_ms = round(frame.captured_at * 1000)
            yield from self._count(self._judge.accept(self._result(frame, picture, faces), last_ms))
            self.frames += 1
            self._show(picture, faces, frame.captured_at)
            on_frame()
        yield from self._count(self._judge.finish(last_ms))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        self._stack.close()

    def _frames(self) -> Iterator[tuple[SourceFrame, Picture]]:
        while not self._stop.is_set():
            try:
                frame = self._source.read()
                picture = None if frame is None else _picture(frame)
            except SourceEndedError:
                return
            except SourceError as error:
                self.trouble = str(error)
                return
            except FrameRejectedError:
                continue
            if frame is not None and picture is not None:
                yield frame, picture

    def _result(self, frame: SourceFrame, picture: Picture, faces: Sequence[Face]) -> FrameResult:
        height, width = picture.shape[:2]
        return FrameResult(
            camera=CAMERA_ID,
            session=self._session,
            seq=self.frames,
            frame_id=f"{round(frame.captured_at * 1000)}-{self.frames}",
            outcome=Outcome.OK,
            captured_at=frame.captured_at,
            published_at=frame.captured_at,
            inferred_at=max(time.time(), frame.captured_at),
            width=width,
            height=height,
            faces=tuple(face.relative(width, height) for face in faces),
            detector=self._models[0],
            classifier=self._models[1],
            backend=self._looker.pipeline.backend.name,
        )

    def _count(self, events: list[CloudEvent]) -> list[CloudEvent]:
        self.episodes += sum(event.type == VIOLATION_TYPES["started"] for event in events)
        if self._page:
            for event in events:
                self._page.add_event(event.model_dump(mode="json"))
        return events

    def _show(self, picture: Picture, faces: Sequence[Face], at: float) -> None:
        if not self._file and not self._page:
            return
        moment = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        size = (picture.shape[1], picture.shape[0])
        drawn = annotate(picture, marks_of(self._judge.faces(), faces, size), self._title, moment)
        if self._file:
            self._file.add(drawn, at)
        if self._page:
            self._page.publish(CAMERA_ID, jpeg.encode(drawn))


def _picture(frame: SourceFrame) -> Picture:
    if frame.image is not None:
        return frame.image
    data = frame.jpeg or b""
    jpeg.inspect(data)
    return jpeg.decode(data)


def marks_of(followed: Sequence[FollowedFace], faces: Sequence[Face], size: tuple[int, int]) -> list[Mark]:
    """Say how the faces of a frame are drawn: standing verdicts where a face is followed, else what was just seen."""
    width, height = size
    marks = []
    boxes = []
    for one in followed:
        x1, y1, x2, y2 = one.box
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        boxes.append(box)
        verdict: Verdict = one.verdict  # type: ignore[assignment]  # the judge's names are the events' own
        marks.append(Mark(box, verdict, one.confidence if verdict != "undetermined" else None, violation=one.violating))
    known = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]
    for face in faces:
        x1, y1, x2, y2 = face.box
        if not any(x1 <= x <= x2 and y1 <= y <= y2 for x, y in known):
            marks.append(Mark(face.box, "undetermined"))
    return marks
