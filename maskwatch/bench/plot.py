"""A picture of where a frame's time goes."""

from __future__ import annotations

from pathlib import Path

from common.errors import ConfigError

ORDER = ("read", "guard", "decode", "resize", "detect", "boxes", "crop", "classify", "report", "publish", "ack")


def draw_stages(stages: dict[str, float], path: Path) -> None:
    """Draw ms a frame for each stage, in the order in which a frame meets them.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib (pip install 'maskwatch[train]')") from error
    names = [name for name in ORDER if name in stages] + sorted(set(stages) - set(ORDER))
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    bars = axes.barh(names, [stages[name] for name in names], color="#4477aa")
    axes.bar_label(bars, [f"{stages[name]:.2f}" for name in names], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="ms a frame", xlim=(0, 1.15 * max(stages.values())))
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
