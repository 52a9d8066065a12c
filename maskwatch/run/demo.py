"""``maskwatch demo``: four synthetic cameras, the whole pipeline, and the events compared with the scene's truth."""

from __future__ import annotations

import sys
import time
from typing import Any

from common.siteplan import Camera, SitePlan
from maskwatch.run.looks import Looks
from maskwatch.run.oracle import Comparison, compare, expected_episodes
from maskwatch.run.running import RunOptions, RunReport, print_summary, run

CAMERAS = ("concourse", "gates", "platform", "arrivals")


def run_demo(options: RunOptions, fps: float) -> int:
    """Run the demo with so many frames a second of each camera, and sum it up.

    Returns:
        0 where every frame is accounted for and the events are exactly what the truth asks for, else 1. What a role
        that died or a machine that is too slow kept from being looked at is said, and is no fault of the events.
    """
    plan = demo_plan(time.time(), fps)
    looks = Looks(max(1.0, 3 / fps))
    report = run(plan, options, "maskwatch demo · four synthetic cameras", looks.note)
    comparison = compare_with_truth(plan, report).without_unseen(looks.seen_s)
    summary = report.summary | truth_figures(comparison)
    _explain(comparison)
    print_summary(summary, as_json=options.json_summary)
    return 0 if summary["unaccounted"] == 0 and comparison.agrees else 1


def demo_plan(epoch: float, fps: float) -> SitePlan:
    """Make the demo's site plan; the scenes' clocks show 0 at Unix time ``epoch``, s."""
    cameras = [
        Camera(
            id=name,
            name=name.capitalize(),
            source=f"synthetic:{name}?seed={number + 1}&epoch={epoch:.3f}",
            fps=fps,
            width=960,
        )
        for number, name in enumerate(CAMERAS)
    ]
    return SitePlan(site="demo", cameras=cameras)


def compare_with_truth(plan: SitePlan, report: RunReport) -> Comparison:
    """Compare the events of a run with the truth of its synthetic cameras."""
    return compare(expected_episodes(plan.cameras, (report.first_frame_s, report.ended_s)), report.events)


def truth_figures(comparison: Comparison) -> dict[str, Any]:
    """Give what the demo adds to a summary."""
    return {
        "events_expected": len(comparison.expected),
        "events_found": len(comparison.found),
        "events_missing": len(comparison.missing),
        "events_unseen": len(comparison.unseen),
        "events_extra": len(comparison.extra),
    }


def _explain(comparison: Comparison) -> None:
    for words, stretches in (("missing", comparison.missing), ("hardly looked at", comparison.unseen)):
        for want in stretches:
            kinds = "/".join(sorted(want.kinds))
            print(f"{words}: {want.camera}: {kinds} from {want.start:.1f} to {want.end:.1f}", file=sys.stderr)
    for episode in comparison.extra:
        kinds = "/".join(sorted(episode.verdicts))
        print(f"unexplained: {episode.camera}: {kinds} from {episode.start:.1f}", file=sys.stderr)
