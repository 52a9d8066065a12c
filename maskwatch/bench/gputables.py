"""What the bench of a GPU found, for people or for machines."""

from __future__ import annotations

import json

from maskwatch.bench.gpureport import WANTED, GpuReport
from maskwatch.bench.layout import show_doubts, show_table


def show_gpu(report: GpuReport, *, as_json: bool) -> None:
    """Print what a GPU does: a table, or one JSON object."""
    found = report.as_dict()
    if as_json:
        print(json.dumps(found))
        return
    cuda = f", CUDA {found['cuda']}" if found["cuda"] else ""
    print(
        f"{found['device']}, torch {found['torch']}{cuda}; 1280x720 JPEG, {found['faces_per_frame']} faces a frame, ",
        end="",
    )
    print(f"batches of {found['batch']}\n")
    titles = {
        "fps": "JPEG to results",
        "decode_fps": f"decoding alone ({found['decoder']})",
        "networks_fps": "the two networks alone",
        "looking_fps": "all after decoding",
    }
    rows = [("", "frames/s"), *((title, str(report.rounds.figure(name))) for name, title in titles.items())]
    show_table(rows)
    print(
        f"\nlimit: {found['limit']}; the whole reaches {found['ratio_to_limit']:.0%} of it (wanted: {WANTED:.0%}); ",
        end="",
    )
    print(f"the host spends {found['host_ms']} ms of its processor on a frame")
    parity = found["parity"]
    verdict = "within tolerance" if parity["within"] else "NOT within tolerance"
    print(f"beside {found['reference']}: {parity['faces']} faces, {parity['only_here']} only here, ", end="")
    print(
        f"{parity['only_there']} only there, {parity['verdicts_changed']} other verdicts; 99 % of faces overlap ",
        end="",
    )
    off = parity["score_off"], parity["probability_off"]
    print(f"99 % of faces overlap by {parity['iou_low']}, scores and probabilities are {off} apart: {verdict}")
    show_doubts(report.troubles())
