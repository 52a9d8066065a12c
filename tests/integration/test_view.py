"""The live page: moving pictures, events, and nobody else's business."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import jpeg
from common.errors import PortInUseError
from maskwatch.run.view import EVENTS_KEPT, HOST, ViewServer
from tests.waiting import until

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def server() -> Iterator[ViewServer]:
    with ViewServer() as server:
        yield server


def picture(level: int) -> bytes:
    return jpeg.encode(np.full((90, 160, 3), level, np.uint8))


def get(server: ViewServer, path: str, host: str = "localhost") -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{server.port}"})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_the_page_needs_nothing_from_elsewhere(server: ViewServer) -> None:
    status, body, headers = get(server, "/")
    assert status == 200
    assert b"<title>maskwatch</title>" in body
    assert b"http://" not in body
    assert b"https://" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_cameras_and_the_last_events_are_listed(server: ViewServer) -> None:
    server.publish("gate-1", picture(10))
    for number in range(EVENTS_KEPT + 5):
        server.add_event({"id": str(number)})
    state = json.loads(get(server, "/events.json")[1])
    assert [camera["id"] for camera in state["cameras"]] == ["gate-1"]
    assert state["count"] == EVENTS_KEPT + 5
    assert [event["id"] for event in state["events"]][-1] == str(EVENTS_KEPT + 4)
    assert len(state["events"]) == EVENTS_KEPT


HEAD = b"\r\n--maskwatch-next-picture\r\nContent-Type: image/jpeg\r\n\r\n"


def read_part(answer: http.client.HTTPResponse) -> bytes:
    part = b""
    while not part.endswith(HEAD):
        part += answer.read(1)
    return part.removesuffix(HEAD)


def test_a_camera_is_a_stream_of_its_newest_pictures(server: ViewServer) -> None:
    server.publish("gate-1", picture(10))
    connection = http.client.HTTPConnection(HOST, server.port, timeout=5)
    connection.request("GET", "/camera/gate-1.mjpeg")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
    assert read_part(answer) == b""
    assert read_part(answer) == picture(10)
    server.publish("gate-1", picture(200))
    assert read_part(answer) == picture(200)
    connection.close()


def test_a_viewer_that_goes_away_does_not_hold_the_others_up(server: ViewServer) -> None:
    server.publish("gate-1", picture(10))
    for _ in range(5):
        connection = http.client.HTTPConnection(HOST, server.port, timeout=5)
        connection.request("GET", "/camera/gate-1.mjpeg")
        connection.getresponse()
        connection.close()
    for level in range(50):
        server.publish("gate-1", picture(level))
    assert get(server, "/events.json")[0] == 200


@pytest.mark.parametrize("path", ["/camera/nobody.mjpeg", "/camera/../view.py", "/camera/", "/secrets"])
def test_what_is_not_there_is_not_found(server: ViewServer, path: str) -> None:
    assert get(server, path)[0] == 404


def test_a_foreign_name_for_this_machine_is_refused(server: ViewServer) -> None:
    """A page of somebody else must not read the pictures by a name of its own that points to loopback."""
    server.publish("gate-1", picture(10))
    assert get(server, "/camera/gate-1.mjpeg", host="attacker.example")[0] == 403


def test_a_port_that_is_taken_is_named(server: ViewServer) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            ViewServer(port)


def test_closing_gives_the_port_back_while_somebody_watches() -> None:
    server = ViewServer()
    server.publish("gate-1", picture(10))
    connection = http.client.HTTPConnection(HOST, server.port, timeout=5)
    connection.request("GET", "/camera/gate-1.mjpeg")
    answer = connection.getresponse()
    assert read_part(answer) + read_part(answer) == picture(10)
    port = server.port
    server.close()
    connection.close()

    def free() -> bool:
        try:
            ViewServer(port).close()
        except PortInUseError:
            return False
        return True

    until(free, 5)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian package chromium)")
def test_a_browser_shows_the_pictures_and_the_events(server: ViewServer, tmp_path: Path) -> None:
    for name, colour in (("gate-1", (0, 0, 200)), ("gate-2", (0, 200, 0))):
        server.publish(name, jpeg.encode(np.full((180, 320, 3), colour, np.uint8)))
    data = {"verdict": "no_mask", "lifecycle": "started", "camera": {"id": "gate-1"}}
    server.add_event({"time": "2026-01-01T12:00:00.000Z", "data": data})
    expected = ((0, 0, 200), (0, 200, 0))

    def shows_everything() -> bool:
        page = screenshot(server.url, tmp_path)
        shares = [(np.abs(page - colour).max(axis=2) < 12).mean() for colour in expected]
        red_bar = (np.abs(page - (0x3E, 0x54, 0xE2)).max(axis=2) < 12).sum()
        return bool(min(shares) > 0.05 and red_bar > 100)

    until(shows_everything, 40)


def screenshot(url: str, folder: Path) -> np.ndarray:
    """Take a picture of the page soon after it was loaded; it may be too soon."""
    shot = folder / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--window-size=1400,800"]
    flags += [f"--user-data-dir={tempfile.mkdtemp(dir=folder)}", "--virtual-time-budget=3000", f"--screenshot={shot}"]
    subprocess.run([str(CHROMIUM), *flags, url], check=True, timeout=40, capture_output=True)
    page = cv2.imread(str(shot))
    assert page is not None
    return page.astype(int)
