"""Lost cameras: what the log tells of them, and the knock before a decoder is opened."""

from __future__ import annotations

import socket

import pytest

from common.errors import SourceUnreachableError
from producers.losses import AGAIN_S, BURST, BURST_S, Losses
from producers.sources.reach import answers_at_once, knock


def test_a_camera_is_told_of_once_for_each_reason_and_again_after_ten_minutes() -> None:
    losses = Losses()
    assert losses.permit("gate", "unreachable", 0.0) == 0
    assert losses.permit("gate", "unreachable", 1.0) is None
    assert losses.permit("gate", "unreachable", AGAIN_S - 1) is None
    assert losses.permit("gate", "no video", 20.0) == 2
    assert losses.permit("gate", "no video", 20.0 + AGAIN_S) == 0


def test_the_next_loss_of_a_camera_that_delivered_is_news() -> None:
    losses = Losses()
    losses.permit("gate", "unreachable", 0.0)
    losses.forget("gate")
    assert losses.permit("gate", "unreachable", 1.0) == 0


def test_a_thousand_cameras_that_die_together_do_not_drown_one_that_dies_of_something_else() -> None:
    losses = Losses()
    said = [losses.permit(f"cam-{number}", "unreachable", number / 1000) for number in range(1000)]
    assert sum(one is not None for one in said) == BURST
    assert losses.permit("gate", "no video", 1.0) == 1000 - BURST
    later = [losses.permit(f"cam-{number}", "unreachable", BURST_S + 1) for number in range(1000)]
    assert sum(one is not None for one in later) == BURST, "those that were held back are told of later"
    assert later[0] is None


def test_a_closed_door_is_named_without_user_or_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        knock(f"rtsp://operator:secret@127.0.0.1:{port}/stream", 2.0)
    with pytest.raises(SourceUnreachableError, match="does not answer") as caught:
        knock(f"rtsp://operator:secret@127.0.0.1:{port}/stream", 2.0)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "operator" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["webcam:0", "synthetic:hall?seed=1", "lobby.mp4", "file:///lobby.mp4", "rtsp://host:port/x", "rtsp://[/x"],
)
def test_what_has_no_door_is_let_through(source: str) -> None:
    knock(source, 0.1)
    assert not answers_at_once(source)


def test_a_door_is_found_open_or_shut_at_once_where_no_name_is_to_be_looked_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        assert answers_at_once(f"rtsp://127.0.0.1:{port}/stream")
        assert not answers_at_once(f"rtsp://localhost:{port}/stream")
    with pytest.raises(SourceUnreachableError, match=f"127.0.0.1:{port} does not answer"):
        answers_at_once(f"rtsp://operator:secret@127.0.0.1:{port}/stream")
    assert not answers_at_once(f"rtsp://localhost:{port}/stream")
