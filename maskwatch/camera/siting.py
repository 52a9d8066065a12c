"""Advice on where and how to hang a camera, each sentence with the figure that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from maskwatch.camera.readiness import TURNED_DEG
from producers.settings import ProducerSettings
from workers.judge.votes import SHARP_BLUR

Weight = Literal["good", "note", "must"]
GOOD_PX, ENOUGH_PX = 48.0, 32.0
"""Faces of this size (longer side, px of the published picture) are judged well; below the second, often not at all."""
PLAIN_PX = 32.0
"""Faces of this size on the detector's canvas are found as often as larger ones; see docs/models.md."""
LEAST_DETECT_PX, MOST_DETECT_PX = 256, 1920
_FROM_ABOVE, _FROM_BELOW = 0.72, 0.32
_DIM, _DARK_FACE, _GLARE = 60.0, 55.0, 205.0
_FEW_FACES = 20
_SLOW_FPS = 4.0


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence of advice.

    Attributes:
        weight: ``must`` where faces are lost, ``note`` where some are, ``good`` where nothing need be done.
        words: What to do.
        reason: What was measured.
    """

    weight: Weight
    words: str
    reason: str


def advise(figures: Mapping[str, Any]) -> list[Advice]:
    """Say what to do about a camera, the most pressing first.

    Args:
        figures: See `maskwatch.camera.readiness.figures`.
    """
    if not figures["pictures"]:
        return [Advice("must", "Mend the connection first: no picture came.", figures["trouble"] or "0 pictures")]
    light = [*_light(figures), *_focus(figures), *_rate(figures)]
    if not figures["faces"]:
        seen = f"no face in {figures['pictures']} pictures of {figures['seconds']:g} s"
        words = (
            "Look again while people pass; if they did, bring the camera nearer, in front of them, "
            "at most 30° off their way and 2–2.5 m high."
        )
        return [Advice("must", words, seen), *light]
    found = [advice for rule in (_size, _finding, _effort, _turn, _height) for advice in rule(figures)]
    if figures["faces"] < _FEW_FACES:
        found = [replace(advice, weight="note") if advice.weight == "must" else advice for advice in found]
        words = "Check again for longer, or at a busier time: the figures rest on few faces."
        found.append(Advice("note", words, f"{figures['faces']} faces in {figures['seconds']:g} s"))
    order: Callable[[Advice], int] = lambda advice: ("must", "note", "good").index(advice.weight)  # noqa: E731
    return sorted([*found, *light], key=order)


def verdict(advice: list[Advice], figures: Mapping[str, Any]) -> str:
    """Sum up: ``ready``, ``usable`` with losses, ``not ready``, or ``unclear`` where too few faces came to tell."""
    weights = {one.weight for one in advice}
    if figures["faces"] < _FEW_FACES:
        return "unclear"
    return "not ready" if "must" in weights else "usable" if "note" in weights else "ready"


def _size(figures: Mapping[str, Any]) -> list[Advice]:
    middle = figures["face_px"]["median"]
    small = figures["face_px_buckets"]["<16"] + figures["face_px_buckets"]["16-32"]
    share = small / figures["faces"]
    reason = f"median face {middle:.0f} px, {share:.0%} below {ENOUGH_PX:.0f} px"
    factor = GOOD_PX / max(middle, 1.0)
    if middle < ENOUGH_PX:
        words = (
            f"Make faces {factor:.1f} times larger: a lens of {factor:.1f} times the focal length (or that much zoom), "
            f"or the camera at 1/{factor:.1f} of the distance."
        )
        return [Advice("must", words, reason)]
    if share > 0.25:
        words = "Zoom in a little, or aim at where people are near: part of them is too far away to be judged."
        return [Advice("note", words, reason)]
    return [Advice("good", "Distance and lens fit.", reason)]


def _finding(figures: Mapping[str, Any]) -> list[Advice]:
    look = figures["second_look"]
    if look["faces"] < _FEW_FACES or look["share"] is None:
        return []
    reason = (
        f"a second look at twice the detector's size finds {look['faces']} faces, "
        f"and the usual look {look['share']:.0%} of them"
    )
    if look["share"] < 0.8:
        words = "Narrow the view to the way people take: faces far away are in the picture, but too small to be found."
        twice = 2 * figures["detect_px"]
        if twice <= min(MOST_DETECT_PX, max(figures["published"]["width"], figures["published"]["height"])):
            words += f" Or set detect_px: {twice} in the plan, for four times the detector's work."
        return [Advice("must" if look["share"] < 0.6 else "note", words, reason)]
    return [Advice("good", "Faces in view are found.", reason)]


def _effort(figures: Mapping[str, Any]) -> list[Advice]:
    """Say where a smaller canvas would do; where the usual look already misses faces it would not."""
    half, missed = figures["detect_px"] // 2, (figures["second_look"]["share"] or 1.0) < 0.95
    least = figures["detector_px"]["p10"]
    if missed or half % 32 or half < LEAST_DETECT_PX or least < 2 * PLAIN_PX:
        return []
    reason = f"nine of ten faces are at least {least:.0f} px where the detector looks, and {PLAIN_PX:.0f} px are plenty"
    words = f"Faces are large: detect_px: {half} in the plan would find them, too, for a quarter of a GPU's work."
    words += " A CPU glances first, and gains nothing."
    return [Advice("good", words, reason)]


def _turn(figures: Mapping[str, Any]) -> list[Advice]:
    share, middle = figures["turned_share"], figures["yaw_deg"]["median"]
    reason = f"{share:.0%} of the faces are turned more than {TURNED_DEG:.0f}°, median {middle:+.0f}°"
    if share > 0.35:
        side = "right" if middle > 0 else "left"
        aside = f"; most look to the picture's {side}, so move it that way" if abs(middle) > 12 else ""
        words = f"Hang the camera so that people come towards it, within {TURNED_DEG:.0f}° of their way{aside}."
        return [Advice("must" if share > 0.6 else "note", words, reason)]
    return [Advice("good", f"The angle fits: most faces are within {TURNED_DEG:.0f}°.", reason)]


def _height(figures: Mapping[str, Any]) -> list[Advice]:
    drop = figures["nose_drop"]["median"]
    reason = f"the nose is at {drop:.0%} of the way from eyes to mouth, where about 50% is straight on"
    if drop > _FROM_ABOVE:
        return [Advice("note", "Hang it lower (2–2.5 m), or aim from further away: faces are seen from above.", reason)]
    if drop < _FROM_BELOW:
        return [Advice("note", "Hang it higher (2–2.5 m): faces are seen from below.", reason)]
    return [Advice("good", "The height fits.", reason)]


def _focus(figures: Mapping[str, Any]) -> list[Advice]:
    sharp, blur = figures["sharpness"]["median"], figures["blur"]
    limit = ProducerSettings.model_fields["blurred_sharpness"].default
    if sharp < limit:
        words = "Focus the lens and clean its glass: nothing in the picture is sharp."
        return [Advice("must", words, f"sharpness of the whole picture {sharp:.0f}, {limit:g} and more is sharp")]
    if blur is None:
        return []
    reason = f"median sharpness of faces {blur['median']:.0f}, {SHARP_BLUR:g} and more is sharp"
    if blur["median"] < SHARP_BLUR and figures["face_px"]["median"] >= ENOUGH_PX:
        words = "Shorten the exposure to 1/100 s or less with more light, and set the focus to where people pass."
        return [Advice("note", words, reason)]
    return [Advice("good", "Faces are sharp enough for their size.", reason)]


def _light(figures: Mapping[str, Any]) -> list[Advice]:
    luma, face = figures["brightness"]["median"], figures["face_brightness"]
    reason = f"median brightness {luma:.0f} of 255"
    if face is not None:
        reason += f", of faces {face['median']:.0f}"
    if luma < _DIM:
        return [Advice("must" if luma < _DIM / 2 else "note", "Add light, from the camera's side.", reason)]
    if luma > _GLARE:
        return [Advice("note", "Lower the exposure, or turn the camera away from the light.", reason)]
    if face is not None and face["median"] < _DARK_FACE and luma - face["median"] > 40:
        words = "Turn the camera away from windows and lamps, or switch its backlight compensation on."
        return [Advice("note", words, reason)]
    return [Advice("good", "The light suffices.", reason)]


def _rate(figures: Mapping[str, Any]) -> list[Advice]:
    delivered = figures["delivered"]
    size = f"{delivered['width']} × {delivered['height']} px at {delivered['fps']:g} frames a second"
    found = []
    if delivered["own_rate"] and delivered["fps"] < _SLOW_FPS:
        words = "Let the camera send at least 5 frames a second: verdicts are votes of several pictures."
        found.append(Advice("note", words, size))
    if delivered["width"] < 1280 and figures["faces"] and figures["face_px"]["median"] < ENOUGH_PX:
        words = "Let the camera send a larger picture, at least 1280 px wide, if it can."
        found.append(Advice("note", words, size))
    return found or [Advice("good", "Frame rate and resolution suffice.", size)]
