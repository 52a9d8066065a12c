"""Draws how long the station took to recover: ``python -m tests.faults.soak_picture build/soak.json PICTURE.png``."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw one line a kind of fault, one dot a recovery; ``figures`` is what the soak wrote."""
    times = dict(sorted(figures["recovery_s"].items(), key=lambda one: statistics.median(one[1])))
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(times) + 1.2), layout="constrained")
    for height, took_s in enumerate(times.values()):
        axes.plot(took_s, [height] * len(took_s), "o", markersize=5, alpha=0.35, color="tab:blue", markeredgewidth=0)
        axes.plot([statistics.median(took_s)], [height], "|", markersize=16, markeredgewidth=2, color="tab:orange")
    axes.set_yticks(range(len(times)), [f"{name.replace('_', ' ')} ({len(took)})" for name, took in times.items()])
    axes.set(xscale="log", xlabel="seconds until everything is judged again; the stroke is the median")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    count = sum(len(took) for took in times.values())
    axes.set_title(f"{figures['minutes']:g} minutes, seed {figures['seed']}: {count} faults", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
