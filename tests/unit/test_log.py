"""Log lines carry an event and fields; floods are held to one line a second per reason."""

from __future__ import annotations

import json

import pytest

from common.log import Log, OncePer, configure


def test_json_lines_hold_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    Log("test").info("camera_connected", camera="gate-1", attempt=3)
    Log("test").debug("not_shown")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["camera"], line["attempt"], line["level"]) == ("camera_connected", "gate-1", 3, "info")


def test_text_lines_name_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "text")
    Log("test").warning("camera_lost", camera="gate-1")
    assert capsys.readouterr().err.rstrip().endswith("camera_lost camera=gate-1")


def test_one_line_a_second_per_reason_and_the_rest_is_counted() -> None:
    now = [100.0]
    once = OncePer(1.0, clock=lambda: now[0])
    assert [once.permit("oom") for _ in range(3)] == [0, None, None]
    assert once.permit("other") == 0
    now[0] += 1.5
    assert once.permit("oom") == 2
