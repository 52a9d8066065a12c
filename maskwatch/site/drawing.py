"""``maskwatch site draw``: a camera's zones over its picture."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from common import jpeg
from common.advice import nearest
from common.errors import ConfigError, FrameRejectedError, SourceUnreachableError
from common.images import Picture, draw_line, fill_polygon
from common.siteplan import Camera, SitePlan
from common.zones import Polygon, Zone, area
from producers.sources.source import open_source
from workers.annotate import write_plate
from workers.recording import read_picture, write_picture

_COLOURS = ((214, 146, 46), (120, 82, 200), (60, 160, 220), (150, 170, 50), (190, 90, 160), (70, 120, 240))
_SHADE = 0.28
_PATIENCE_S = 15.0


def draw_zones(plan: SitePlan, camera_id: str, out: Path, image: Path | None = None) -> list[str]:
    """Draw a camera's zones and write the picture.

    Args:
        plan: The site plan.
        camera_id: Whose zones.
        out: Where to write; the suffix says as what.
        image: Picture to draw on; None takes one from the camera's source.

    Returns:
        A line for each zone, and one that names the picture.

    Raises:
        ConfigError: The plan has no such camera, ``image`` is no picture, or ``out`` cannot be written.
        SourceError: The camera gives no picture.
    """
    camera = plan.camera(camera_id)
    if camera is None:
        hint = nearest(camera_id, [one.id for one in plan.cameras])
        raise ConfigError(f"camera: the plan has no camera '{camera_id}'{hint}")
    drawn = plan.zones_of(camera_id)
    picture = render(
        [(zone, corners, _standard(plan, camera, zone)) for zone, corners in drawn], _backdrop(camera, image)
    )
    write_picture(out, picture)
    lines = [
        f"{zone.id}: {area(corners):.0%} of the picture, {_standard(plan, camera, zone)}, {zone.test_point} of the face"
        for zone, corners in drawn
    ]
    return [*(lines or [f"{camera_id} has no zones"]), f"written: {out}"]


def render(zones: list[tuple[Zone, Polygon, str]], picture: Picture) -> Picture:
    """Draw zones on a copy of a picture: shaded, outlined, with corner numbers left out and names inside.

    Args:
        zones: Each with its polygon and what is asked for inside, in words.
        picture: uint8, (H, W, 3), BGR; left as it is.

    Returns:
        uint8, (H, W, 3), BGR.
    """
    canvas = picture.copy()
    height, width = canvas.shape[:2]
    line = max(2, round(max(height, width) / 400))
    places = []
    for number, (zone, corners, words) in reversed(list(enumerate(zones))):
        colour = _COLOURS[number % len(_COLOURS)]
        points = np.array(corners, np.float32) * (width - 1, height - 1)
        shaded = canvas.copy()
        fill_polygon(shaded, points, colour)
        canvas = np.asarray(canvas * (1 - _SHADE) + shaded * _SHADE, np.uint8)
        for begin, end in zip(points, np.roll(points, -1, axis=0), strict=True):
            draw_line(canvas, np.array([begin, end]), colour, line)
        top = points[points[:, 1].argmin()]
        places.append(
            (f"{zone.id}: {words}", (round(float(points[:, 0].mean())) - 60, round(float(top[1])) + 3 * line))
        )
    for words, corner in places:
        write_plate(canvas, words, corner)
    return canvas


def _standard(plan: SitePlan, camera: Camera, zone: Zone) -> str:
    policy = plan.policy(zone.policy or camera.policy)
    hours = ", by hours" if policy.hours else ""
    return f"{policy.id} ({'mask required' if policy.required else 'no mask required'}{hours})"


def _backdrop(camera: Camera, image: Path | None) -> Picture:
    if image is not None:
        try:
            return read_picture(image)
        except FrameRejectedError as error:
            raise ConfigError(f"--image: {image}: {error}") from error
    deadline = time.monotonic() + _PATIENCE_S
    with closing(open_source(camera)) as source:
        while time.monotonic() < deadline:
            frame = source.read()
            if frame is not None:
                return frame.image if frame.image is not None else jpeg.decode(frame.jpeg or b"")
    raise SourceUnreachableError(f"camera {camera.id}: no picture within {_PATIENCE_S:.0f} s")
