"""From pictures to faces: order, coordinates at reduced sizes, and how few calls it takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

import producers
from common import jpeg
from common.images import Picture, halve, resize
from workers.backends.backend import BackendOptions, Pixels, Scores, glancing, load_models
from workers.backends.openvino_backend import OpenVinoBackend
from workers.backends.torch_backend import TorchBackend
from workers.infer.vision.canvas import canvases_of
from workers.infer.vision.decoding import DecodedFrame
from workers.infer.vision.face import Face
from workers.infer.vision.opening import pipeline_for
from workers.infer.vision.patches import PATCH_PX
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings, blur_of

Make = Callable[..., FacePipeline]
PORTRAITS = Path(producers.__file__).parent / "portraits"


class Counting(OpenVinoBackend):
    """OpenVINO that remembers how it was called."""

    def __init__(self) -> None:
        super().__init__(*load_models(), BackendOptions())
        self.calls: list[tuple[str, int]] = []
        self.canvases: list[tuple[int, int]] = []

    def detect(self, canvases: Pixels) -> Scores:
        self.calls.append(("detect", len(canvases)))
        self.canvases.append((canvases.shape[2], canvases.shape[1]))
        return super().detect(canvases)

    def glance(self, canvases: Pixels) -> Scores:
        self.calls.append(("glance", len(canvases)))
        self.canvases.append((canvases.shape[2], canvases.shape[1]))
        return super().glance(canvases)

    def classify(self, crops: Pixels) -> Scores:
        self.calls.append(("classify", len(crops)))
        return super().classify(crops)


class CountingThere(TorchBackend):
    """Torch as on a GPU, but on the CPU, that remembers how it was called."""

    def __init__(self) -> None:
        super().__init__(*load_models(), BackendOptions(device="cpu"), on_device=True)
        self.calls: list[tuple[str, int]] = []
        self.canvases: list[tuple[int, int]] = []

    def detect_there(self, canvases: Tensor) -> Tensor:
        self.calls.append(("detect", len(canvases)))
        self.canvases.append((int(canvases.shape[2]), int(canvases.shape[1])))
        return super().detect_there(canvases)

    def classify_there(self, crops: Tensor) -> Tensor:
        self.calls.append(("classify", len(crops)))
        return super().classify_there(crops)


@functools.cache
def backend(kind: str) -> Counting | CountingThere:
    return Counting() if kind == "host" else CountingThere()


@pytest.fixture(params=["host", "device"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pipeline(kind: str) -> Make:
    return functools.partial(pipeline_for, backend(kind), load_models())


@functools.cache
def portrait() -> Picture:
    return jpeg.decode((PORTRAITS / "hopper.jpg").read_bytes())


def on_grey(picture: Picture, size: tuple[int, int], at: tuple[int, int]) -> Picture:
    scene = np.full((size[1], size[0], 3), 90, np.uint8)
    scene[at[1] : at[1] + picture.shape[0], at[0] : at[0] + picture.shape[1]] = picture
    return scene


def scene(size: tuple[int, int] = (1280, 720), at: tuple[int, int] = (500, 200), side: int = 300) -> Picture:
    return on_grey(resize(portrait(), (side, side)), size, at)


def overlap(a: Face, b: Face) -> float:
    x = max(0.0, min(a.box[2], b.box[2]) - max(a.box[0], b.box[0]))
    y = max(0.0, min(a.box[3], b.box[3]) - max(a.box[1], b.box[1]))
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (a, b)]
    return x * y / (sum(areas) - x * y)


def test_a_face_is_found_where_it_is_with_landmarks_inside(pipeline: Make) -> None:
    (face,) = pipeline().read([scene()])[0]
    x1, y1, x2, y2 = face.box
    assert 500 < (x1 + x2) / 2 < 800
    assert 200 < (y1 + y2) / 2 < 500
    assert len(face.landmarks) == 5
    assert all(x1 < x < x2 and y1 < y < y2 for x, y in face.landmarks)
    assert sum(face.probabilities) == pytest.approx(1, abs=0.01)
    assert face.label_score == max(face.probabilities)


def test_lists_come_back_in_order_whatever_the_sizes(pipeline: Make) -> None:
    empty = np.full((480, 640, 3), 90, np.uint8)
    lying, standing, small = scene(), scene((720, 1280), (200, 700)), scene((640, 480), (100, 100), 250)
    found = pipeline().read([empty, lying, standing, empty, small, lying])
    assert [len(faces) for faces in found] == [0, 1, 1, 0, 1, 1]
    assert overlap(found[1][0], found[5][0]) > 0.95
    assert found[2][0].box[1] > 600
    assert found[4][0].box[0] < 350


def test_each_canvas_costs_one_call_and_all_faces_together_one(kind: str, pipeline: Make) -> None:
    reader = pipeline(PipelineSettings(glance=False, quick=False))
    backend(kind).calls.clear()
    reader.read([scene(), scene((640, 480), (100, 100), 250), scene(), scene((720, 1280), (200, 700))])
    assert sorted(backend(kind).calls) == [("classify", 4), ("detect", 1), ("detect", 1), ("detect", 2)]


def test_no_pictures_and_no_faces_give_empty_lists(pipeline: Make) -> None:
    assert pipeline().read([]) == []
    assert pipeline().read([np.zeros((360, 640, 3), np.uint8)]) == [[]]


def test_boxes_of_a_reduced_picture_are_in_pixels_of_the_full_frame(pipeline: Make) -> None:
    full = scene()
    data = jpeg.encode(full, 95)
    (exact,) = pipeline().read([full])[0]
    (reduced,) = pipeline().read([jpeg.decode(data, 2)], [(1280, 720)])[0]
    assert overlap(exact, reduced) > 0.8
    relative = reduced.relative(1280, 720)
    assert relative.box[0] == pytest.approx(reduced.box[0] / 1280, abs=1e-4)
    assert relative.landmarks[2][1] == pytest.approx(reduced.landmarks[2][1] / 720, abs=1e-4)


def test_only_so_many_faces_of_a_picture_are_kept(pipeline: Make) -> None:
    side = resize(portrait(), (200, 200))
    crowd = on_grey(side, (1280, 720), (40, 40))
    for column in range(1, 5):
        crowd[40:240, 40 + 240 * column : 240 + 240 * column] = side
    assert len(pipeline().read([crowd])[0]) == 5
    assert len(pipeline(PipelineSettings(max_faces=2)).read([crowd])[0]) == 2


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32), np.zeros((0, 10, 3), np.uint8)],
)
def test_what_is_no_picture_is_refused_by_its_place(wrong: NDArray[np.uint8], pipeline: Make) -> None:
    with pytest.raises(ValueError, match="picture 1: "):
        pipeline().read([np.zeros((10, 10, 3), np.uint8), wrong])
    with pytest.raises(ValueError, match="1 sizes for 0 pictures"):
        pipeline().read([], [(1, 1)])


def test_a_blurred_face_measures_smaller_than_a_sharp_one() -> None:
    sharp = resize(portrait(), (112, 112))[None]
    blurred = resize(resize(portrait(), (14, 14)), (112, 112))[None]
    values = blur_of(np.concatenate([sharp, blurred]), 0.25)
    assert values.shape == (2,)
    assert values[0] > 3 * values[1] > 0
    assert blur_of(np.empty((0, 112, 112, 3), np.uint8), 0.25).shape == (0,)
    assert blur_of(np.full((1, 112, 112, 3), 200, np.uint8), 0.25)[0] == 0


@pytest.mark.parametrize("face_px", [24, 40])
@pytest.mark.parametrize("side", [80, 96, 160])
def test_a_faces_sharpness_hardly_depends_on_the_side_that_the_classifier_takes(face_px: int, side: int) -> None:
    """Else a network of another size would move faces across the judge's thresholds."""
    small = resize(portrait(), (face_px, face_px))
    there, usual = (blur_of(resize(small, (px, px))[None], 0.25)[0] for px in (side, 112))
    assert 0.6 < there / usual < 1.6


def test_each_frame_is_looked_at_on_the_canvas_of_its_camera(kind: str, pipeline: Make) -> None:
    whole = scene()
    half = resize(whole, (640, 360))
    frames = [
        DecodedFrame(half, 1280, 720),
        DecodedFrame(half, 1280, 720, 320),
        DecodedFrame(whole, 1280, 720, 960),
        DecodedFrame(half, 1280, 720, 320),
    ]
    backend(kind).canvases.clear()
    found = pipeline(PipelineSettings(glance=False)).look(frames)
    assert sorted(backend(kind).canvases) == [(320, 192), (640, 384), (960, 576)]
    assert [len(faces) for faces in found] == [1, 1, 1, 1]
    usual, small, large, again = (faces[0] for faces in found)
    assert small == again
    assert min(overlap(usual, small), overlap(usual, large)) > 0.7


def test_a_half_that_is_at_hand_is_glanced_at(kind: str, pipeline: Make) -> None:
    picture = resize(scene(), (640, 360))
    plain = DecodedFrame(picture, 1280, 720)
    (wanted,) = pipeline().look([plain])
    assert pipeline().look([replace(plain, half=halve(picture)), plain]) == [wanted, wanted]
    if kind == "host":
        nothing = np.zeros((180, 320, 3), np.uint8)
        assert pipeline().look([replace(plain, half=nothing), plain]) == [[], wanted]


def test_a_pipeline_on_other_canvases_looks_for_pictures_of_people_on_the_usual_ones(kind: str, pipeline: Make) -> None:
    small = pipeline().on(canvases_of(320))
    backend(kind).canvases.clear()
    small.read([scene()])
    assert backend(kind).canvases == [(320, 192)]
    if kind == "host":
        small.find([scene()], 0.3)
        assert backend(kind).canvases[1:] == [(640, 384)]


def test_a_large_face_is_found_at_a_glance(pipeline: Make) -> None:
    near, host = scene(), backend("host")
    reader = pipeline_for(host, load_models())
    host.calls.clear()
    host.canvases.clear()
    (face,) = reader.read([near])[0]
    assert host.calls[0] == ("glance", 1)
    assert host.canvases[0] == (320, 192)
    assert (640, 384) not in host.canvases
    (whole,) = pipeline(PipelineSettings(glance=False)).read([near])[0]
    assert overlap(face, whole) > 0.8


def test_a_small_face_is_looked_at_in_a_patch() -> None:
    host, far = backend("host"), scene(side=80)
    reader = pipeline_for(host, load_models())
    host.canvases.clear()
    (face,) = reader.read([far])[0]
    assert set(host.canvases) == {(320, 192), (PATCH_PX, PATCH_PX)}
    (whole,) = pipeline_for(host, load_models(), PipelineSettings(glance=False)).read([far])[0]
    assert overlap(face, whole) > 0.8
    assert abs(face.score - whole.score) < 0.1
    assert np.abs(np.array(face.landmarks) - np.array(whole.landmarks)).max() < 4


def test_the_patches_of_many_frames_are_looked_at_together_and_go_to_their_own() -> None:
    host = backend("host")
    places = [(100, 100), (900, 500), (40, 600), (640, 300)]
    reader = pipeline_for(host, load_models())
    host.calls.clear()
    found = reader.read([scene(at=place, side=90) for place in places])
    assert [name for name, _ in host.calls][:2] == ["glance", "detect"]
    assert "detect" not in [name for name, _ in host.calls][2:]
    for (face,), (x, y) in zip(found, places, strict=True):
        assert x < (face.box[0] + face.box[2]) / 2 < x + 90
        assert y < (face.box[1] + face.box[3]) / 2 < y + 90


def test_a_frame_full_of_places_is_looked_at_whole_beside_one_that_is_not() -> None:
    host, side = backend("host"), resize(portrait(), (80, 80))
    crowd = on_grey(side, (1280, 720), (20, 20))
    for row in range(5):
        for column in range(9):
            crowd[20 + 140 * row : 100 + 140 * row, 20 + 140 * column : 100 + 140 * column] = side
    reader = pipeline_for(host, load_models())
    host.canvases.clear()
    many, one = reader.read([crowd, scene(side=80)])
    assert (640, 384) in host.canvases
    assert len(many) == len(pipeline_for(host, load_models(), PipelineSettings(glance=False)).read([crowd])[0]) == 45
    assert len(one) == 1


def test_a_warm_pipeline_has_compiled_what_a_glance_needs() -> None:
    fresh = Counting()
    reader = FacePipeline(fresh, *load_models())
    reader.warm_up(4)
    ready = set(fresh.canvases)
    fresh.canvases.clear()
    reader.read([scene(), scene(side=80), scene((640, 480), (100, 100), 250), scene((640, 640), (100, 100), 250)])
    assert set(fresh.canvases) <= ready


def test_a_backend_that_does_not_glance_looks_at_everything() -> None:
    there = TorchBackend(*load_models(), BackendOptions(device="cpu"))
    assert glancing(there, load_models()[0]) is None
    (face,) = FacePipeline(there, *load_models()).read([scene(side=80)])[0]
    assert face.score > 0.7


def test_what_frames_usually_take_is_spent_whatever_they_show() -> None:
    host = backend("host")
    host.calls.clear()
    pipeline_for(host, load_models()).spend(frames=4, faces=12)
    assert host.calls == [("glance", 4), ("detect", 1), ("classify", 2)]
    host.calls.clear()
    pipeline_for(host, load_models(), PipelineSettings(glance=False, quick=False)).spend(frames=4, faces=12)
    assert host.calls == [("detect", 4), ("classify", 12)]
