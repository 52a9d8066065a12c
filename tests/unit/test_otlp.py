"""What a receiver gets by OTLP, and what is said where it does not take it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from common.otlp import OtlpWriter
from common.settings import OtelSettings
from common.spans import Span
from common.trace import Trace
from tests.trace_receiver import TraceReceiver

PLACE = Trace(0xAB, 0xCD, sampled=True)


def a_span(**changes: Any) -> Span:
    plain = Span("frame judged", "consumer", PLACE, 0x12, 1_790_000_000.5, 1_790_000_000.75, {"maskwatch.seq": 7})
    return plain._replace(**changes)


def a_writer(endpoint: str, **settings: Any) -> OtlpWriter:
    return OtlpWriter(OtelSettings(endpoint=endpoint, **settings), "judge")


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_a_span_arrives_as_it_was_told(path: str) -> None:
    with TraceReceiver() as receiver:
        writer = a_writer(receiver.url + path)
        assert writer.write([a_span(), a_span(role="producer", failed=True, parent=0)]) == ""
        writer.close()
    assert receiver.paths == ["/v1/traces"]
    mine, other = receiver.spans
    assert (mine.trace, mine.span, mine.parent) == (f"{0xAB:032x}", f"{0xCD:016x}", f"{0x12:016x}")
    assert (mine.begin_ns, mine.end_ns) == (1_790_000_000_500_000_000, 1_790_000_000_750_000_000)
    assert (mine.facts, mine.failed, mine.role) == ({"maskwatch.seq": 7}, False, "judge")
    me = mine.resource["service.instance.id"]
    assert me.endswith(f"-{os.getpid()}")
    assert (other.parent, other.failed, other.role) == ("", True, "producer")
    assert other.resource["service.instance.id"] == f"told-by-judge-{me}"


def test_headers_come_from_a_file_and_show_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization=Bearer canary=1, X-Scope=west\n")
    with TraceReceiver() as receiver:
        settings = OtelSettings(endpoint=receiver.url, headers_file=path)
        writer = OtlpWriter(settings, "judge")
        assert writer.write([a_span()]) == ""
        writer.close()
    assert (receiver.headers[0]["authorization"], receiver.headers[0]["x-scope"]) == ("Bearer canary=1", "west")
    assert "canary" not in repr(settings)
    assert b"canary" not in receiver.bodies[0]


def test_headers_of_another_form_are_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="header 2 is not name=value") as caught:
        a_writer("http://127.0.0.1:9", headers="a=b,canary")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "cause"), [("401", "status 401"), ("404", "status 404"), ("503", "Service Unavailable")]
)
def test_a_refusal_is_named(status: str, cause: str) -> None:
    with TraceReceiver(mood=status) as receiver:
        writer = a_writer(receiver.url, timeout_s=2)
        assert writer.write([a_span()]) == cause
        writer.close()


def test_a_receiver_that_is_down_is_named_by_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    with TraceReceiver() as receiver:
        url = receiver.url
    writer = a_writer(url, timeout_s=2)
    assert writer.write([a_span()]) == "ConnectionError"
    writer.close()
    assert capsys.readouterr().err == ""
