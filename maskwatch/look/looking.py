"""``maskwatch image`` and ``maskwatch video``: the service's own inference and judgement, without a broker."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from common.errors import ConfigError, FrameRejectedError
from common.images import Picture
from common.lifecycle import StopSignal
from common.schema import LABELS
from maskwatch.look.watching import Watch, WatchOptions
from producers.sources.source import PICTURE_SUFFIXES
from workers.annotate import Mark, annotate
from workers.backends.backend import load_models, open_backend
from workers.infer.settings import InferSettings
from workers.infer.vision.face import Face
from workers.infer.vision.pipeline import FacePipeline
from workers.recording import read_picture, write_picture

_AT_ONCE = 4


def image(paths: Sequence[Path], *, as_json: bool, out: Path | None = None) -> int:
    """Look at pictures and print what was seen; one line of JSON for each picture, or a few words.

    Args:
        paths: Pictures, or folders of them.
        as_json: Print JSON and nothing else; what cannot be read gives an object with ``file`` and ``error``.
        out: Folder for annotated copies, made where it is missing.

    Returns:
        0, or 1 where something could not be read; everything else was still looked at.

    Raises:
        ConfigError: ``out`` cannot be written.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {out}: is no folder")
    files = list(_files(paths))
    failed = False
    with open_pipeline() as looker, _progress(shown=not as_json and len(files) > 1) as progress:
        task = progress.add_task("pictures", total=len(files))
        for start in range(0, len(files), _AT_ONCE):
            batch = files[start : start + _AT_ONCE]
            for (path, copy), (picture, faces, error) in zip(batch, _look(looker.pipeline, batch), strict=True):
                failed |= bool(error)
                _tell(_report(path, picture, faces, error), as_json=as_json)
                if out is not None and picture is not None:
                    write_picture(out / copy, annotate(picture, [mark_of(face) for face in faces]))
                progress.advance(task)
    return 1 if failed else 0


def video(
    source: str,
    *,
    as_json: bool,
    out: Path | None = None,
    view: bool = False,
    fps: float = 10.0,
    stop: StopSignal | None = None,
) -> int:
    """Watch a video through inference and judge; print its events as they come.

    Args:
        source: A file, URL, ``webcam:N`` or ``synthetic:NAME``.
        as_json: Print events as JSON lines and nothing else, else a line of words for each.
        out: Annotated copy, ``.mp4`` or ``.avi``.
        view: Show it live in a page of this machine's browser; files then play at their own speed.
        fps: Frames a second to look at.
        stop: Ends it early; None listens to SIGINT and SIGTERM.

    Returns:
        0 at the end of the video, or when it was stopped; 1 where a live source broke off.

    Raises:
        SourceError: Nothing can be read from the source; nothing was printed.
        ConfigError: ``out`` cannot be written.
    """
    options = WatchOptions(source, fps=fps, out=out, view=view)
    stop = stop or StopSignal().install()
    with open_pipeline() as looker, Watch(options, looker, stop) as watch:
        console = Console(stderr=True)
        if watch.url:
            console.print(f"view: {watch.url}", highlight=False, soft_wrap=True)
        with _progress(shown=not as_json) as progress:
            task = progress.add_task("frames", total=None)
            for event in watch.events(on_frame=lambda: progress.advance(task)):
                _print(event.model_dump_json() if as_json else _event_words(event.model_dump()))
        if not as_json:
            console.print(f"{watch.frames} frames, {watch.episodes} violations", highlight=False)
        if watch.trouble:
            console.print(f"maskwatch: {watch.trouble}", highlight=False, soft_wrap=True)
    return 1 if watch.trouble else 0


class Looker:
    """The bundled models behind one pipeline; a context manager that gives the backend back."""

    def __init__(self) -> None:
        settings = InferSettings()
        self.detector, self.classifier = load_models(settings.detector_dir, settings.classifier_dir)
        self._stack = ExitStack()
        backend = open_backend(settings.backend, self.detector, self.classifier, settings.options())
        self._stack.enter_context(closing(backend))
        self.pipeline = FacePipeline(backend, self.detector, self.classifier, settings.pipeline())

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def open_pipeline() -> Looker:
    """Load the models as an infer worker would, by the same settings."""
    return Looker()


def mark_of(face: Face) -> Mark:
    """Say how a face is drawn."""
    return Mark(face.box, face.label, face.label_score)


Seen = tuple[Picture | None, list[Face], str]


def _look(pipeline: FacePipeline, batch: Sequence[tuple[Path, Path]]) -> list[Seen]:
    answers: list[Seen] = []
    for path, _ in batch:
        try:
            answers.append((read_picture(path), [], ""))
        except FrameRejectedError as error:
            answers.append((None, [], str(error)))
    pictures = [picture for picture, _, _ in answers if picture is not None]
    found = iter(pipeline.read(pictures))
    return [(picture, next(found) if picture is not None else [], error) for picture, _, error in answers]


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Give each picture with the name of its annotated copy, which no other picture's copy has."""
    taken: set[Path] = set()
    for path in paths:
        folder = path.is_dir()
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES) if folder else []
        for file in inside or [path]:
            copy = file.relative_to(path) if inside else Path(file.name)
            number = 2
            while copy in taken:
                copy = copy.with_name(f"{file.stem}-{number}{file.suffix}")
                number += 1
            taken.add(copy)
            yield file, copy


def _report(path: Path, picture: Picture | None, faces: Sequence[Face], error: str) -> dict[str, Any]:
    if picture is None:
        return {"file": str(path), "error": "no pictures in this folder" if path.is_dir() else error}
    height, width = picture.shape[:2]
    described = [_describe(face, width, height) for face in faces]
    return {"file": str(path), "width": width, "height": height, "faces": described}


def _describe(face: Face, width: int, height: int) -> dict[str, Any]:
    x1, y1, x2, y2 = face.box
    box = [min(max(value, 0.0), side) for value, side in ((x1, width), (y1, height), (x2, width), (y2, height))]
    return {
        "box": [round(value, 1) for value in box],
        "score": round(face.score, 4),
        "label": face.label,
        "label_score": round(face.label_score, 4),
        "probabilities": {label: round(share, 4) for label, share in zip(LABELS, face.probabilities, strict=True)},
    }


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print(json.dumps(report, ensure_ascii=False))
    elif "error" in report:
        sys.stdout.flush()
        print(f"maskwatch: {report['file']}: {report['error']}", file=sys.stderr)
    else:
        faces = ", ".join(f"{face['label'].replace('_', ' ')} {face['label_score']:.0%}" for face in report["faces"])
        _print(f"{report['file']}: {faces or 'no face'}")


def _print(line: str) -> None:
    print(line, flush=True)


def _event_words(event: dict[str, Any]) -> str:
    data = event["data"]
    if "lifecycle" not in data:
        return f"{event['time']}  camera {data['state']}"
    seconds = f" after {data['duration_ms'] / 1000:.1f} s" if data["lifecycle"] == "ended" else ""
    return f"{event['time']}  {data['verdict'].replace('_', ' '):12}  {data['lifecycle']}{seconds}"


def _progress(*, shown: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not (shown and console.is_terminal))
