"""Pixels on a device against the same done by OpenCV: at most one of 255 apart, wherever the pixels lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.geometry import square_around
from common.images import Picture, resize
from common.models.preprocess import choose_canvas, face_crops, letterbox
from workers.backends import torch_pixels
from workers.backends.torch_pixels import blur_all, crop_all, interleaved, letterbox_all, planes, resize_all, stacked
from workers.infer.vision.canvas import CANVASES
from workers.infer.vision.pipeline import blur_of


def picture(width: int, height: int, seed: int = 0) -> Picture:
    """Noise on a ramp: neighbours differ, so that a shift of a fraction of a pixel shows."""
    noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3))
    ramp = np.linspace(0, 135, width)[None, :, None]
    return np.asarray(noise + ramp, np.uint8)


def there(*pictures: Picture) -> torch.Tensor:
    return stacked([planes(torch.from_numpy(one)) for one in pictures])


def here(pictures: torch.Tensor) -> list[Picture]:
    return [interleaved(one).numpy() for one in pictures]


def apart(a: object, b: object) -> int:
    return int(np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).max(initial=0))


def test_pixels_come_back_as_they_went() -> None:
    one = picture(33, 17)
    assert np.array_equal(here(there(one))[0], one)


@pytest.mark.parametrize("target", [(640, 360), (320, 180), (960, 540), (1000, 562), (641, 361), (2560, 1440)])
def test_resizing_agrees_with_opencv(target: tuple[int, int]) -> None:
    ones = [picture(1280, 720, seed) for seed in (1, 2)]
    for ours, theirs in zip(here(resize_all(there(*ones), target)), ones, strict=True):
        assert apart(ours, resize(theirs, target)) <= 1


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_enough_and_less_is_not(half: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pixels, "_precision", lambda _device: half)
    torch_pixels._whole_axis.cache_clear()
    one = picture(1000, 700)
    worst = apart(here(resize_all(there(one), (640, 448)))[0], resize(one, (640, 448)))
    torch_pixels._whole_axis.cache_clear()
    assert worst <= 1 if half is torch.float16 else worst > 1


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (720, 1280), (500, 400), (160, 120), (641, 361)])
def test_the_letterbox_agrees_with_the_one_of_the_cpu(size: tuple[int, int]) -> None:
    canvas = choose_canvas(size, CANVASES)
    ones = [picture(*size, seed) for seed in (3, 4)]
    canvases, fit = letterbox_all(there(*ones), canvas)
    for ours, one in zip(canvases.numpy(), ones, strict=True):
        theirs, same = letterbox(one, canvas)
        assert same == fit
        assert apart(ours, theirs) <= 1


def boxes(size: tuple[int, int], count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    random = np.random.default_rng(5)
    middle = random.uniform(0, 1, (count, 2)) * size
    reach = random.uniform(3, 160, (count, 2))
    return np.concatenate([middle - reach, middle + reach], 1).astype(np.float32)


@pytest.mark.parametrize("size", [(640, 360), (121, 97)])
def test_crops_agree_with_those_of_the_cpu(size: tuple[int, int]) -> None:
    ones, faces = [picture(*size, 6), picture(*size, 7)], boxes(size, 60)
    faces[:3] = [[-500, -500, -400, -400], [10, 10, 10, 10], [size[0] - 1, 0, size[0] + 80, 60]]
    which = np.arange(60) % 2
    squares = np.stack([square_around(box, 0.25) for box in faces])
    ours = crop_all(there(*ones), which, squares, 112).numpy()
    theirs = np.concatenate([face_crops(ones[w], box[None], 112, 0.25) for w, box in zip(which, faces, strict=True)])
    assert ours.shape == (60, 112, 112, 3)
    assert not ours[0].any()
    assert apart(ours, theirs) <= 1


@pytest.mark.parametrize("side", [80, 112])
@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_sharpness_agrees_with_that_of_the_cpu(margin: float, side: int) -> None:
    crops = np.stack(
        [picture(side, side, 8), resize(picture(20, 20, 9), (side, side)), np.full((side, side, 3), 200, np.uint8)]
    )
    ours, theirs = blur_all(torch.from_numpy(crops), margin).numpy(), blur_of(crops, margin)
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-3)
