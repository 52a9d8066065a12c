"""``maskwatch camera check``: looks at a source for a while, sums up how well faces show, and says what to do."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import jpeg
from common.errors import FrameRejectedError, SourceEndedError, SourceError
from common.geometry import Letterbox, iou_matrix
from common.images import Picture
from common.lifecycle import Deadline, StopSignal
from common.models.preprocess import choose_canvas
from common.siteplan import Camera, load_plan
from common.zones import Polygon, Zone, contains, deciding_point
from maskwatch.camera import findings, readiness, siting
from maskwatch.camera.readiness import FaceSample, Survey, nose_drop, yaw_deg
from maskwatch.look.looking import Looker, open_pipeline
from producers import picture
from producers.capture import Capture
from producers.pacing import Pacer
from producers.sources.source import PICTURE_SUFFIXES, SourceFrame, SourceSettings, open_source
from workers.infer.vision.canvas import canvases_of
from workers.infer.vision.face import Face
from workers.recording import write_picture

_LOOK_FPS, _CLOSER_EVERY = 4.0, 4
_LARGEST_PX, _FASTEST_FPS = 4096, 60.0
_SILENCE_S = 15.0
_SAME_FACE = 0.4
_PASSWORD = re.compile(r"://[^/\s]*@")
Zones = Sequence[tuple[Zone, Polygon]]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the command line asked for.

    Attributes:
        source: As in a site plan, or the id of a camera in ``site``.
        seconds: How long to look, s; of a recording, its first seconds.
        out: Folder for the picture and the figures; None writes nothing.
        as_json: Print one JSON object and nothing else.
        site: Site plan whose cameras and zones may be named.
    """

    source: str
    seconds: float = 60.0
    out: Path | None = None
    as_json: bool = False
    site: Path | None = None


def check(options: CheckOptions, stop: StopSignal | None = None) -> int:
    """Look at a source and print figures and advice.

    Returns:
        0 where the camera can be used; 1 where faces would be lost (``not ready``) or too few came (``unclear``).

    Raises:
        SourceError: Nothing can be read from the source.
        ConfigError: The plan cannot be used, or ``out`` cannot be written.
    """
    camera, zones = _camera(options)
    with open_pipeline() as looker:
        surveyor = Surveyor(looker, camera, zones)
        surveyor.run(options.seconds, stop or StopSignal().install())
        recall = readiness.recall_table(looker.detector.manifest.metrics)
    figures = readiness.figures(surveyor.survey, recall)
    advice = siting.advise(figures)
    said = [{"weight": one.weight, "advice": one.words, "because": one.reason} for one in advice]
    report = {"verdict": siting.verdict(advice, figures), **figures, "advice": said}
    if options.out is not None:
        name = f"camera-check-{_file_name(options.source)}"
        write_picture(options.out / f"{name}.png", findings.picture_of(surveyor, report, advice))
        (options.out / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        report["picture"] = str(options.out / f"{name}.png")
    for line in [json.dumps(report, ensure_ascii=False)] if options.as_json else findings.lines(report, advice):
        print(line)
    sys.stdout.flush()
    return 0 if report["verdict"] in ("ready", "usable") else 1


class Surveyor:
    """Looks at one source the way the service would; keeps the picture that shows its faces best.

    Attributes:
        survey: What was measured.
        best: The picture with the most to see, uint8, (H, W, 3), BGR; None before the first.
        best_faces: The faces in it.
    """

    def __init__(self, looker: Looker, camera: Camera, zones: Zones) -> None:
        self.survey = Survey(_PASSWORD.sub("://***@", camera.source))
        self.best: Picture | None = None
        self.best_faces: list[Face] = []
        self._camera = camera
        self._zones = zones
        usual = looker.pipeline
        self._usual = usual if camera.detect_px is None else usual.on(canvases_of(camera.detect_px))
        self.survey.detect_px = max(map(max, self._usual.canvases))
        self._closer = usual.on(tuple((2 * width, 2 * height) for width, height in self._usual.canvases))

    def run(self, seconds: float, stop: StopSignal) -> None:
        """Look until the time is over, the source ends or somebody stops it.

        Raises:
            SourceError: Not one picture came.
        """
        pacer = Pacer(_LOOK_FPS)
        first: float | None = None
        count = 0
        for frame, lost in self._frames(seconds, stop):
            first = frame.captured_at if first is None else first
            survey, span_s = self.survey, frame.captured_at - first
            if span_s > seconds:
                break
            count += 1 + lost
            survey.seconds = span_s
            survey.fps = (count - 1) / span_s if span_s > 0 else 0.0
            survey.size = (frame.width, frame.height)
            if pacer.keep(frame.captured_at):
                self._look(frame)

    def _frames(self, seconds: float, stop: StopSignal) -> Iterator[tuple[SourceFrame, int]]:
        """Give pictures, each with how many were missed before it because looking takes its time."""
        scheme, path = self._camera.source.partition(":")[0], Path(self._camera.source)
        self.survey.own_rate = not (scheme == "synthetic" or path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES)
        fps = _FASTEST_FPS if self.survey.own_rate else _LOOK_FPS
        settings = SourceSettings(fps=fps, width=_LARGEST_PX, realtime=False)
        capture = Capture(lambda: open_source(self._camera, settings), "check")
        patience = Deadline.after(_SILENCE_S)
        over = time.monotonic() + seconds + _SILENCE_S
        came = False
        try:
            while not stop.is_set() and not patience.spent() and (not capture.live or time.monotonic() < over):
                frame = capture.next(0.2)
                if frame is not None:
                    came, patience = True, Deadline.after(_SILENCE_S)
                    yield frame, sum(capture.take_lost().values())
            self.survey.trouble = "" if not patience.spent() else f"no picture for {_SILENCE_S:.0f} s"
        except SourceEndedError:
            return
        except SourceError as error:
            if not came:
                raise
            self.survey.trouble = str(error)
        finally:
            capture.abandon()
            capture.join(1.0)

    def _look(self, frame: SourceFrame) -> None:
        try:
            whole = frame.image if frame.image is not None else _decoded(frame.jpeg or b"")
        except FrameRejectedError:
            return
        shown = picture.fit(whole, self._camera.width)
        reading = picture.read(picture.thumbnail(SourceFrame(0.0, shown.shape[1], shown.shape[0], shown)))
        faces = self._usual.read([shown])[0]
        survey = self.survey
        survey.published = (shown.shape[1], shown.shape[0])
        survey.lumas.append(reading.luma)
        survey.sharpness.append(reading.sharpness)
        survey.faces += [self._sample(face, shown) for face in faces]
        if survey.looked_at % _CLOSER_EVERY == 0:
            self._look_closer(shown, faces)
        survey.looked_at += 1
        if self.best is None or _worth(faces) > _worth(self.best_faces):
            self.best, self.best_faces = shown, faces

    def _look_closer(self, shown: Picture, faces: Sequence[Face]) -> None:
        """Find out what the usual look misses: faces that show only on a larger canvas."""
        closer = self._closer.read([shown])[0]
        there, found = self.survey.closer
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        known = iou_matrix(np.array([face.box for face in closer], np.float32).reshape(-1, 4), boxes)
        both = int((known.max(axis=1, initial=0.0) >= _SAME_FACE).sum())
        self.survey.closer = (there + len(closer), found + both)

    def _sample(self, face: Face, shown: Picture) -> FaceSample:
        size = (shown.shape[1], shown.shape[0])
        x1, y1, x2, y2 = face.box
        px = max(x2 - x1, y2 - y1)
        scale = Letterbox.fit(size, choose_canvas(size, self._usual.canvases)).scale
        inside = shown[max(0, round(y1)) : max(1, round(y2)), max(0, round(x1)) : max(1, round(x2)), 1]
        luma = float(inside.mean()) if inside.size else 0.0
        return FaceSample(
            px, px * scale, yaw_deg(face.landmarks), nose_drop(face.landmarks), face.blur, luma, self._zone(face, size)
        )

    def _zone(self, face: Face, size: tuple[int, int]) -> str:
        box = face.relative(*size).box
        for zone, corners in self._zones:
            if contains(corners, *deciding_point(box, zone.test_point)):
                return zone.id
        return ""


def _camera(options: CheckOptions) -> tuple[Camera, Zones]:
    plan = load_plan(options.site).resolved(options.site.parent) if options.site else None
    known = plan.camera(options.source) if plan else None
    if plan is not None and known is not None:
        return known, plan.zones_of(known.id)
    return Camera(id="check", source=options.source), []


def _worth(faces: Sequence[Face]) -> float:
    return sum(math.sqrt(max(0.0, face.box[2] - face.box[0])) * face.score for face in faces)


def _decoded(data: bytes) -> Picture:
    jpeg.inspect(data)
    return jpeg.decode(data)


def _file_name(source: str) -> str:
    plain = _PASSWORD.sub("://", source).partition("?")[0].rstrip("/")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(plain).stem).strip("-")[:60] or "camera"
