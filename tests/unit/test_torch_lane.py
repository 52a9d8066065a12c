"""Memory that runs out, and networks at fixed batch sizes: what a GPU does, done on the CPU."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workers.backends.torch_graphs import FixedBatches, Replay, sizes_up_to
from workers.backends.torch_lane import Lane, Pieces, ran_out

LANE = Lane(torch.device("cpu"))


class Sums(nn.Module):
    """Adds up each row; remembers how large batches were, and has memory for only so many."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self.room = room
        self.batches: list[int] = []

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.batches.append(len(pixels))
        return pixels.float().flatten(1).sum(1, keepdim=True)


def rows(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 2, 2, 3).contiguous()


def test_sizes_are_powers_of_two_up_to_the_most() -> None:
    assert sizes_up_to(64) == (1, 2, 4, 8, 16, 32, 64)
    assert sizes_up_to(24) == (1, 2, 4, 8, 16, 24)
    assert sizes_up_to(1) == (1,)


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (5, [8]), (8, [8]), (19, [8, 8, 4])])
def test_a_last_smaller_batch_is_padded_and_nothing_of_it_shows(count: int, batches: list[int]) -> None:
    network = Sums()
    answer = FixedBatches(network, sizes_up_to(8), LANE).run(rows(count))
    assert network.batches == batches
    assert answer.ravel().tolist() == [12 * number for number in range(count)]


def test_an_answer_outlives_the_next_replay() -> None:
    def capture(network: nn.Module, held: Tensor) -> Replay:
        answer = torch.empty((len(held), 1))  # as a graph does, every replay writes to the same place

        def replay() -> Tensor:
            return answer.copy_(network(held))

        return replay

    batches = FixedBatches(Sums(), sizes_up_to(4), LANE, capture)
    first = batches.run(rows(3))
    batches.run(rows(4).flip(0))
    assert first.ravel().tolist() == [0, 12, 24]


def test_each_size_is_recorded_once_at_warm_up_and_found_again() -> None:
    recorded: list[tuple[int, ...]] = []

    def capture(network: nn.Module, held: Tensor) -> Replay:
        recorded.append(tuple(held.shape))
        return lambda: network(held)

    batches = FixedBatches(Sums(), sizes_up_to(16), LANE, capture)
    batches.record((2, 2, 3), 5)
    assert [shape[0] for shape in recorded] == [1, 2, 4, 8]
    batches.run(rows(7))
    assert len(recorded) == 4
    batches.run(rows(9))
    assert recorded[-1] == (16, 2, 2, 3)


def test_what_the_memory_cannot_record_at_warm_up_is_not_asked_for_later() -> None:
    network = Sums()

    def capture(network: nn.Module, held: Tensor) -> Replay:
        if len(held) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return lambda: network(held)

    batches = FixedBatches(network, sizes_up_to(16), LANE, capture)
    batches.record((2, 2, 3), 16)
    assert batches.run(rows(6)).ravel().tolist() == [12 * number for number in range(6)]
    assert network.batches == [4, 2]


def test_memory_that_runs_out_halves_the_batch_and_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    network = Sums(room=5)
    batches = FixedBatches(network, sizes_up_to(16), LANE)
    with caplog.at_level(logging.WARNING, "maskwatch.infer"):
        answer = batches.run(rows(16))
        again = batches.run(rows(16))
    assert answer.ravel().tolist() == again.ravel().tolist() == [12 * number for number in range(16)]
    assert network.batches == [4] * 8
    assert [record.getMessage() for record in caplog.records] == ["device_memory"] * 2


def test_no_room_for_a_single_input_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        FixedBatches(Sums(room=0), sizes_up_to(4), LANE).run(rows(3))


def test_other_errors_are_not_taken_for_memory() -> None:
    def work(_first: int, _last: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        Pieces("test", 8, lambda: None).run(8, work)
    assert ran_out(RuntimeError("nvjpegDecode failed: 5"))


def test_room_is_made_before_a_smaller_piece_is_tried() -> None:
    room: list[str] = []

    def work(first: int, last: int) -> tuple[int, int]:
        if last - first > 2 or not room:
            room.append("tried")
            raise torch.OutOfMemoryError("CUDA out of memory")
        return first, last

    pieces = Pieces("test", 8, lambda: room.append("freed"))
    assert pieces.run(5, work) == [(0, 2), (2, 4), (4, 5)]
    assert room == ["tried", "freed", "tried", "freed"][: len(room)]


def test_arrays_reach_the_device_and_come_back_as_copies() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    array.setflags(write=False)
    with LANE.entered():
        there = LANE.to_device(array)
        there += 1
        here = LANE.to_host(there)
        there += 1
    assert here.tolist() == (array + 1).tolist()
