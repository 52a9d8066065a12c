"""What the benches found, for people (a table) or for machines (one JSON object, last)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from maskwatch.bench.capacity import BROKER_SHARE, JUDGED_A_SECOND, KEPT_S, LOAD, Measured, Wanted, needed
from maskwatch.bench.cpu import SIZE
from maskwatch.bench.figures import Figure
from maskwatch.bench.layout import show_doubts, show_table
from maskwatch.bench.report import CpuReport


def show_cpu(report: CpuReport, *, as_json: bool) -> None:
    """Print what one core does."""
    found = report.as_dict()
    if as_json:
        print(json.dumps(found))
        return
    print(f"one core, {SIZE[0]}x{SIZE[1]} JPEG, {found['faces_per_frame']} faces a frame, broker on another core\n")
    rows = [
        ("worker, broker to result", "fps", "cpu_fps"),
        ("decoding alone, full size", "decode_fps", "cpu_decode_fps"),
        ("decoding alone, half size", "decode_half_fps", "cpu_decode_half_fps"),
        ("the well-known script", "reference_fps", "cpu_reference_fps"),
    ]
    cells = [("", "frames/s", "frames/s of processor time")]
    cells += [(title, _cell(report.rounds.figure(wall)), _cell(report.rounds.figure(cpu))) for title, wall, cpu in rows]
    for title, below in (("worker / decoding", "decode_fps"), ("worker / script", "reference_fps")):
        pair = report.rounds.ratio("fps", below), report.rounds.ratio("cpu_fps", f"cpu_{below}")
        cells.append((title, _cell(pair[0]), _cell(pair[1])))
    show_table(cells)
    if report.reference:
        print(f"\nno script: {report.reference}")
    late = ", ".join(f"{name} {value} ms" for name, value in report.latency_ms.items() if name != "load")
    print(f"\npublished to result at {report.latency_ms['load']:.0%} of that: {late}")
    print(f"start to first result {found['start_s']} s; memory {found['memory_mb']} MB")
    quality = found["accuracy"]
    side = quality["long_side_px"]
    found_faces = quality["faces_average_precision"] or f"unknown (maskwatch evaluate scenes DATA --long-side {side})"
    print(f"{quality['detector']} at {side} px: average precision {found_faces}; ", end="")
    print(f"{quality['classifier']}: {quality['verdicts_right']} of the verdicts right")
    print("ms a frame: " + ", ".join(f"{name} {ms:.2f}" for name, ms in report.stages.items()))
    show_doubts(report.troubles())


def show_rates(title: str, rates: dict[str, Figure], notes: dict[str, Any], *, as_json: bool) -> None:
    """Print figures by name, with what they were measured on."""
    troubles = [f"{name}: the rounds lie too far apart ({figure})" for name, figure in rates.items()
                if not figure.quotable]  # fmt: skip
    if as_json:
        medians = {name: round(figure.median, 2) for name, figure in rates.items()}
        spread = {name: round(figure.spread, 3) for name, figure in rates.items()}
        print(json.dumps({**medians, **notes, "spread": spread, "quotable": not troubles, "troubles": troubles}))
        return
    print(f"{title} ({', '.join(f'{name} {value}' for name, value in notes.items())})\n")
    show_table([(name, str(figure)) for name, figure in rates.items()])
    show_doubts(troubles)


def show_capacity(wanted: Wanted, measured: Measured, *, as_json: bool) -> int:
    """Print what this machine carries and what the wanted cameras need; gives the exit status."""
    model = None if measured.cameras < 1 else needed(wanted, measured)
    if as_json:
        print(json.dumps({"wanted": asdict(wanted), "measured": asdict(measured),
                          "needed": model and asdict(model)}))  # fmt: skip
        return 0 if model else 1
    shape = f"{wanted.fps:g} frames/s of {wanted.size[0]}x{wanted.size[1]}"
    if model is None:
        print(f"Not even one camera at {shape} has its results within {wanted.objective_ms:.0f} ms here.")
        return 1
    print(f"This machine carries {measured.cameras} cameras at {shape} (p95 {measured.p95_ms:.0f} ms), ", end="")
    print(f"with {measured.workers} workers on a core each.\n\n{wanted.cameras} cameras need:")
    show_table(
        [
            ("infer workers, a core and a process each", str(model.workers)),
            ("their memory", f"{model.workers_mb} MB"),
            ("cores for the judge", str(model.judge_cores)),
            ("brokers or shards for frames", str(model.broker_shards)),
            ("their memory", f"{model.frames_broker_mb} MB"),
            ("network at the frames brokers", f"{model.network_gbit_s} Gbit/s"),
            ("memory of the producers", f"{model.producers_mb} MB"),
        ]
    )
    print(
        f"\nModel: workers at {LOAD:.0%} of what was measured; {JUDGED_A_SECOND} results a second for a judge's core; "
        f"{BROKER_SHARE:.0%} of the {measured.broker_fps:.0f} frames a second that one client put through one broker; "
        f"frames of {measured.kilobytes:.0f} kB kept for {KEPT_S:.0f} s, in and out."
    )
    return 0


def _cell(figure: Figure | None) -> str:
    return "–" if figure is None else str(figure)
