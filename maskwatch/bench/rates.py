"""Parts measured alone: decoding on one core, and what the embedded broker carries for one client."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import jpeg
from common.broker.client import connect
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.layout import ensure_layout
from common.broker.results import ResultWriter
from common.partition import Keys
from common.schema import FrameHeader, encode
from maskwatch.bench.figures import Figure, Rounds
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores, pin

FRAMES = 32
BURST = 128
RESULT_BYTES = 900
Notes = dict[str, Any]


def decode_rates(seconds: float, size: tuple[int, int]) -> tuple[dict[str, Figure], Notes]:
    """Give frames a second that one core decodes at full, half and quarter size, and what they were."""
    frames = bench_frames(FRAMES, size)
    pin(0, {cores()[0]})
    rounds = Rounds()

    def turn() -> None:
        for name, reduce in (("full", 1), ("half", 2), ("quarter", 4)):
            began = time.perf_counter()
            for frame in frames:
                jpeg.decode(frame, reduce)
            rounds.note(name, FRAMES / (time.perf_counter() - began))

    return _repeat(turn, rounds, seconds), _notes(frames, size)


def broker_rates(seconds: float, size: tuple[int, int]) -> tuple[dict[str, Figure], Notes]:
    """Give entries a second that one client writes, reads and acknowledges, and what they were."""
    frames, own, rounds = bench_frames(FRAMES, size), cores(), Rounds()
    with TemporaryDirectory(prefix="maskwatch-bench-") as folder, EmbeddedPair(Path(folder)) as pair:
        for broker in (pair.frames, pair.state):
            pin(broker.pid, {own[-1]})
        pin(0, {own[0]})
        frames_client, state = connect(pair.frames.url), connect(pair.state.url)
        keys = Keys("mw", ensure_layout(state, "mw", 4))
        reader = FrameReader(frames_client, connect(pair.frames.url, blocking_s=1.0), keys, "bench")
        reader.set_cameras(["bench"])
        writer, results = FrameWriter(frames_client, keys), ResultWriter(state, keys)
        header = encode(FrameHeader(session=1, seq=0, captured_at=time.time(), width=size[0], height=size[1]))

        def turn() -> None:
            _timed(rounds, "frames_written", lambda: _write(writer, header, frames))
            got = _timed(rounds, "frames_read", lambda: _read_all(reader))
            _timed(rounds, "frames_acknowledged", lambda: reader.ack(got))
            payloads = [(0, b"x" * RESULT_BYTES)] * BURST
            _timed(rounds, "results_written", lambda: results.append_many(payloads))

        found = _repeat(turn, rounds, seconds)
    mean_mb = sum(map(len, frames)) / len(frames) / 1e6
    return found, {**_notes(frames, size), "read_mb_a_second": round(found["frames_read"].median * mean_mb)}


def _write(writer: FrameWriter, header: bytes, frames: list[bytes]) -> None:
    for number in range(BURST):
        writer.append("bench", header, frames[number % len(frames)], 2 * BURST)


def _read_all(reader: FrameReader) -> list[Any]:
    got: list[Any] = []
    while len(got) < BURST:
        got += reader.read(16, 16, 64 << 20, 1.0)
    return got


def _timed(rounds: Rounds, name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    answer = work()
    rounds.note(name, BURST / (time.perf_counter() - began))
    return answer


def _repeat(turn: Callable[[], None], rounds: Rounds, seconds: float) -> dict[str, Figure]:
    turn()
    rounds.values.clear()  # the first turn pays for what is set up once
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or any(len(values) < 3 for values in rounds.values.values()):
        turn()
    return {name: Figure(tuple(values)) for name, values in rounds.values.items()}


def _notes(frames: list[bytes], size: tuple[int, int]) -> Notes:
    return {"size": f"{size[0]}x{size[1]}", "kilobytes": round(sum(map(len, frames)) / len(frames) / 1000)}
