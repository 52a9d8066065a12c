"""The fault campaign: ``python -m tests.faults.campaign [--only NAME,…] [--json FILE]``, or ``make faults``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.rig import Rig
from tests.faults.table import SCENARIOS
from tests.faults.trial import Scenario, Verdict, run_alone, try_out


def run_campaign(scenarios: Iterable[Scenario], folder: Path) -> Iterator[Verdict]:
    """Try scenarios one after the other, those that need no rig of their own on one station."""
    chosen = list(scenarios)
    shared = [one for one in chosen if one.build is None and one.alone is None]
    if shared:
        with Rig(folder / "shared") as rig:
            for scenario in shared:
                yield try_out(rig, scenario)
    for scenario in chosen:
        if scenario not in shared:
            yield run_alone(scenario, folder / scenario.name)


def line(verdict: Verdict) -> str:
    """Give one line of the table."""
    state = "ok  " if verdict.passed else "FAIL"
    words = verdict.note if verdict.passed else "; ".join(f"{name}: {why}" for name, why in verdict.failures.items())
    measured = f"{verdict.recovery_s:>6.1f} s of {verdict.bound_s:>5.1f}"
    return f"{state} {verdict.number:>2}  {verdict.name:<30} {measured}  {words}"


def main(arguments: list[str]) -> int:
    """Run, print the table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--only", default="", help="names or numbers of scenarios, with commas")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--keep", type=Path, help="folder for logs that stays")
    options = parser.parse_args(arguments)
    wanted = [part for part in options.only.split(",") if part]
    chosen = [one for one in SCENARIOS if not wanted or one.name in wanted or str(one.number) in wanted]
    verdicts = []
    with TemporaryDirectory(prefix="faults-") as temporary:
        for verdict in run_campaign(chosen, options.keep or Path(temporary)):
            print(line(verdict), flush=True)
            verdicts.append(verdict)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(one) for one in verdicts], indent=1) + "\n", "utf-8")
    failed = sum(not one.passed for one in verdicts)
    print(f"{len(verdicts)} scenarios, {failed} failed")
    return 1 if failed or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
