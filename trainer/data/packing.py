"""Write a pack: pictures shrunk until the whole data set fits into one small file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import FrameRejectedError, TrainingError
from common.images import Picture, resize
from common.jpeg import decode, encode, inspect
from trainer.data.folders import portraits_of
from trainer.data.packs import CROPS, MANIFEST, SCENES
from trainer.data.pictures import Portrait, Scene, Skips, clip_faces, load_picture, read_scenes

# Tried from the top: long side of scenes, of one-person pictures (whose face is large: 160 px are as much as training
# cuts out), and the highest JPEG quality.
LADDER = (
    (960, 960, 90), (800, 480, 85), (640, 320, 80), (640, 256, 75), (640, 208, 70), (640, 176, 65), (560, 160, 62),
    (480, 160, 60), (480, 144, 58), (416, 144, 58), (352, 144, 58), (288, 128, 55), (224, 112, 50),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rung:
    """One way of shrinking: long sides of scenes and of one-person pictures, px, and the JPEG quality."""

    scene_px: int
    portrait_px: int
    quality: int

    def side_of(self, item: Scene | Portrait) -> int:
        """Give the long side for a picture."""
        return self.scene_px if isinstance(item, Scene) else self.portrait_px


@dataclass(frozen=True, slots=True)
class PackLimits:
    """How small a pack must be.

    Attributes:
        long_side_px: Longest side of its pictures; 0 chooses the largest that keeps the whole within ``max_bytes``.
        quality: JPEG quality at most, 1..100; exactly this where the side is given.
        max_bytes: Size of the whole file.
    """

    long_side_px: int = 0
    quality: int = 85
    max_bytes: int = 60_000_000


@dataclass(slots=True)
class PackReport:
    """What was packed; also in the pack as its manifest."""

    scene_px: int
    portrait_px: int
    quality: int
    pictures: int = 0
    faces: int = 0
    bytes: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def count(self, line: dict[str, Any]) -> None:
        """Count one packed picture by its line."""
        self.pictures += 1
        self.faces += len(line.get("faces", [None]))
        self.by_source[line["source"]] = self.by_source.get(line["source"], 0) + 1


def write_pack(
    items: Sequence[Scene | Portrait], out: Path, limits: PackLimits, progress: Callable[[str], None]
) -> PackReport:
    """Write a pack aside and move it into its place when it is whole.

    Args:
        items: What goes in.
        out: The file to write.
        limits: How small it must be.
        progress: Told now and then what is being done.

    Raises:
        TrainingError: Nothing to pack, it cannot be made small enough, or not be written; what was at ``out`` stays.
    """
    if not items:
        raise TrainingError("nothing to pack: give --scenes, --crops or both")
    rungs = _fitting(items, limits)
    aside = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for rung in rungs:
            progress(f"packing {len(items)} pictures at a long side of {rung.scene_px} px")
            report = _write(items, aside, rung)
            if report.bytes <= limits.max_bytes:
                aside.replace(out)
                return report
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
    raise TrainingError(
        f"{out}: {report.bytes / 1e6:.0f} MB at a long side of {report.scene_px} px, more than "
        f"{limits.max_bytes / 1e6:.0f} MB; lower --long-side or --quality, or allow more with --max-mb"
    )


def pack_data(
    indexes: tuple[list[Path], list[Path]], out: Path, limits: PackLimits, val: float, progress: Callable[[str], None]
) -> PackReport:
    """Read scenes and one-person pictures from their indexes or folders and pack them; see ``write_pack``."""
    skips = Skips()
    items: list[Scene | Portrait] = []
    for index in indexes[0]:
        items += _named_apart(read_scenes(index), index, len(items))
    for index in indexes[1]:
        items += _named_apart(portraits_of(index, val, skips), index, len(items))
    report = write_pack(items, out, limits, progress)
    report.skipped = list(dict.fromkeys([*skips.listed, *report.skipped]))
    return report


def _named_apart(
    items: Sequence[Scene] | Sequence[Portrait], index: Path, before: int
) -> list[Scene | Portrait]:  # fmt: skip
    """Lead groups by their index's name: two data sets may use the same number for different pictures."""
    name = f"{index.resolve().parent.name if index.suffix == '.jsonl' else index.stem}-{before}"
    return [item.model_copy(update={"group": f"{name}:{item.group}"}) for item in items]


def _fitting(items: Sequence[Scene | Portrait], limits: PackLimits) -> tuple[Rung, ...]:
    """Give the ways of shrinking worth trying: from the mildest that a sample of the pictures says will fit."""
    if limits.long_side_px:
        return (Rung(limits.long_side_px, limits.long_side_px, limits.quality),)
    ladder = tuple(Rung(scene, portrait, min(quality, limits.quality)) for scene, portrait, quality in LADDER)
    step = max(1, len(items) // 300)
    sample = [(load_picture(item.path, Skips()), item) for item in items[::step]]
    for position, rung in enumerate(ladder):
        total = sum(
            len(shrink(picture, item.path, rung.side_of(item), rung.quality))
            for picture, item in sample
            if picture is not None
        )
        if total * len(items) / max(1, len(sample)) + 300 * len(items) <= limits.max_bytes:
            return ladder[position:]
    return ladder[-1:]


def shrink(picture: Picture, original: Path, long_side_px: int, quality: int) -> bytes:
    """Make a picture's JPEG at most so long, or keep the file's own bytes where they are as small."""
    height, width = picture.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    if scale < 1:
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        return encode(resize(picture, size), quality)
    data = encode(picture, quality)
    if original.suffix.lower() in {".jpg", ".jpeg"} and original.is_file():
        own = original.read_bytes()
        try:
            inspect(own)
        except FrameRejectedError:
            return data
        if len(own) <= 1.1 * len(data):
            return own
    return data


def _write(items: Sequence[Scene | Portrait], path: Path, rung: Rung) -> PackReport:
    report, skips = PackReport(rung.scene_px, rung.portrait_px, rung.quality), Skips()
    lines: dict[str, list[str]] = {SCENES: [], CROPS: []}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, item in enumerate(items):
            picture = load_picture(item.path, skips)
            if picture is None:
                continue
            data, name = shrink(picture, item.path, rung.side_of(item), rung.quality), f"images/{number:06}.jpg"
            _store(archive, name, data)
            line = {**_line(item, picture, decode(data), skips), "file": name, "from": item.file,
                    "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip
            lines[SCENES if isinstance(item, Scene) else CROPS].append(json.dumps(line, ensure_ascii=False))
            report.count(line)
        for index, texts in lines.items():
            _store(archive, index, "".join(f"{text}\n" for text in texts).encode(), zipfile.ZIP_DEFLATED)
        report.skipped = skips.listed
        about = {"format": "maskwatch-pack", "version": 1, **asdict(report)}
        del about["bytes"]
        _store(archive, MANIFEST, json.dumps(about, indent=1).encode(), zipfile.ZIP_DEFLATED)
    report.bytes = path.stat().st_size
    return report


def _line(item: Scene | Portrait, picture: Picture, packed: Picture, skips: Skips) -> dict[str, Any]:
    if isinstance(item, Portrait):
        return item.model_dump(mode="json", exclude={"root"})
    factors = np.array([packed.shape[1] / picture.shape[1], packed.shape[0] / picture.shape[0]] * 2)
    whole = clip_faces(item, (picture.shape[1], picture.shape[0]), skips)
    faces = [{"box": np.round(np.array(face.box) * factors, 2).tolist(), "label": face.label} for face in whole.faces]
    about = item.model_dump(mode="json", exclude={"root", "faces"})
    return {**about, "width": packed.shape[1], "height": packed.shape[0], "faces": faces}


def _store(archive: zipfile.ZipFile, name: str, data: bytes, how: int = zipfile.ZIP_STORED) -> None:
    about = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # no times: the same data makes the same file
    about.compress_type = how
    archive.writestr(about, data)
