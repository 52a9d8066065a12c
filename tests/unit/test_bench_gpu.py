"""What the bench of a GPU says of its rounds: which limit, what share of it, and when not to quote it."""

from __future__ import annotations

import pytest

from maskwatch.bench.gpu import batches_of
from maskwatch.bench.gpureport import GpuReport

WELL = {"within": True, "faces": 192}


def report(decode: float = 6000.0, networks: float = 9000.0, fps: float = 5000.0, **more: object) -> GpuReport:
    made = GpuReport(64, decoder="nvjpeg", parity=dict(WELL), reference="openvino-cpu-f32", about={"device": "a GPU"})
    for name, value in (("decode_fps", decode), ("networks_fps", networks), ("fps", fps), ("looking_fps", 8000.0)):
        for share in (0.99, 1.0, 1.01):
            made.rounds.note(name, value * share)
    for attribute, changed in more.items():
        setattr(made, attribute, changed)
    return made


@pytest.mark.parametrize(
    ("decode", "networks", "limit", "ratio"), [(6000.0, 9000.0, "decoding", 0.833), (9000.0, 6250.0, "networks", 0.8)]
)
def test_the_slower_part_is_named_as_the_limit(decode: float, networks: float, limit: str, ratio: float) -> None:
    found = report(decode, networks).as_dict()
    assert (found["limit"], found["ratio_to_limit"]) == (limit, ratio)
    assert found["quotable"]
    assert found["fps"] == 5000.0


def test_what_differs_from_the_cpu_is_not_quotable() -> None:
    (trouble,) = report(parity={**WELL, "within": False}).troubles()
    assert "differ from those of openvino-cpu-f32" in trouble


def test_decoding_on_the_cpu_is_not_what_was_asked_for() -> None:
    assert report(decoder="cpu").troubles() == ["frames were decoded on the CPU"]


def test_scattered_rounds_are_said_to_be() -> None:
    made = report()
    made.rounds.values["fps"] = [5000.0, 2500.0, 6000.0]
    assert any("too far apart" in trouble for trouble in made.troubles())


@pytest.mark.parametrize(("files", "size"), [(64, 64), (64, 48), (4, 2), (3, 8), (64, 256)])
def test_batches_are_full_and_hold_frames_in_turn(files: int, size: int) -> None:
    batches = batches_of([bytes([number]) for number in range(files)], size)
    assert batches
    assert {len(batch) for batch in batches} == {size}
    assert batches[0][0] == b"\x00"
