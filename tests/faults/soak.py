"""A long run with faults at random: ``python -m tests.faults.soak --minutes 30 --seed 1``, or ``make soak MINUTES=30``.

Every fault is followed by a wait until all is well again; processes are replaced, models promoted, brokers killed, the
network harmed. At the end the cameras stop, and every invariant is checked over the whole run.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.broker.models.store import BrokerRegistry
from tests.faults.build import Build
from tests.faults.invariants import GROWN_UP_S, broken, grown
from tests.faults.rig import Rig
from tests.faults.role import Role, Size
from tests.model_versions import make_version

RECOVERY_BOUND_S = 30.0
SLACK_BYTES = 8 << 20
"""A grown-up process may grow by a tenth and by this, in all the time that it lives."""
Fault = Callable[["Soak"], None]


@dataclass
class Soak:
    """One long run.

    Attributes:
        rig: The station.
        chance: Decides everything, from one seed.
        recovery_s: What each kind of fault took, in order.
        failures: What was not as it must be.
        faults: What may happen; empty for everything.
    """

    rig: Rig
    chance: random.Random
    recovery_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    faults: tuple[Fault, ...] = ()
    _sizes: dict[tuple[str, int], Size] = field(default_factory=dict)
    _generation: int = 0

    def run(self, seconds: float) -> None:
        """Do harm for so long, then look at everything."""
        self.rig.show()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.rig.pause(self.chance.uniform(2, 6))
            self._one(self.chance.choice(self.faults or FAULTS))
        self.rig.pause(3)
        after = self.rig.sizes()
        if why := grown(self._sizes, after, SLACK_BYTES):
            self.failures.append(f"I6: {why}")
        self.rig.hide()
        self.failures += [f"{name}: {why}" for name, why in broken(self.rig, {}, {}).items()]

    def pick(self, *kinds: str) -> Role:
        """Choose a process of these kinds."""
        return self.rig.roles[self.chance.choice([n for n in sorted(self.rig.roles) if n.split("-")[0] in kinds])]

    def promote(self) -> None:
        """Put the same network in service under another name."""
        registry = BrokerRegistry(self.rig.witness.state, self.rig.keys.prefix)
        self._generation += 1
        ref = registry.publish(make_version(self.rig.folder, f"soak{self._generation}"), "soak")
        registry.promote([ref], registry.current().generation, "soak", "a fault")

    def _one(self, fault: Fault) -> None:
        name = fault.__name__.strip("_")
        try:
            fault(self)
            took_s = self.rig.recovered_in(time.monotonic(), 2 * RECOVERY_BOUND_S)
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__}: {error} [{self.rig.trouble()}]"[:400])
            return
        self.recovery_s[name].append(took_s)
        if took_s > RECOVERY_BOUND_S:
            self.failures.append(f"{name}: recovery took {took_s:.1f} s")
        self._note_sizes()

    def _note_sizes(self) -> None:
        for name, size in self.rig.sizes().items():
            if size.age_s >= GROWN_UP_S:
                self._sizes.setdefault(name, size)


def kill_process(soak: Soak) -> None:
    soak.pick("infer", "judge", "producer").kill()


def kill_broker(soak: Soak) -> None:
    soak.chance.choice([soak.rig.pair.frames, soak.rig.pair.state]).kill()


def freeze_process(soak: Soak) -> None:
    role = soak.pick("infer", "judge", "producer")
    role.send(signal.SIGSTOP)
    soak.rig.pause(soak.chance.uniform(1, 10))
    role.send(signal.SIGCONT)


def harm_network(soak: Soak) -> None:
    toxics: list[dict[str, Any]] = [
        {"refuse": True}, {"blackhole": True}, {"drop_replies": True}, {"latency_s": 0.3},
        {"reset_after": 150_000}, {"bytes_per_s": 200_000},
    ]  # fmt: skip
    proxy = soak.chance.choice([soak.rig.frames, soak.rig.state])
    chosen = soak.chance.choice(toxics)
    proxy.harm(**chosen)
    if "refuse" in chosen:
        proxy.cut()
    soak.rig.pause(soak.chance.uniform(1, 6))
    proxy.heal()


def flush_frames(soak: Soak) -> None:
    soak.rig.ask("frames", "FLUSHALL")


def replace_all(soak: Soak) -> None:
    for name in [name for name in soak.rig.roles if not name.startswith("producer")]:
        kind, number = name.split("-")
        soak.rig.remove(name)
        soak.rig.add(kind, int(number))


def promote_model(soak: Soak) -> None:
    soak.promote()


FAULTS: tuple[Fault, ...] = (
    kill_process, kill_process, freeze_process, kill_broker, harm_network, harm_network, flush_frames, replace_all,
    promote_model,
)  # fmt: skip


def soak(minutes: float, seed: int, folder: Path) -> Soak:
    """Run for so many minutes; gives what was seen."""
    with Rig(folder, Build(judges=2)) as rig:
        one = Soak(rig, random.Random(seed))
        one.run(60 * minutes)
        return one


def main(arguments: list[str]) -> int:
    """Run, print what each kind of fault took, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="soak-") as temporary:
        done = soak(options.minutes, options.seed, options.keep or Path(temporary))
    for name, took_s in sorted(done.recovery_s.items()):
        print(
            f"{name:<16} {len(took_s):>3} times, recovery {statistics.median(took_s):.1f} s, most {max(took_s):.1f} s"
        )
    for failure in done.failures:
        print(f"FAIL {failure}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        figures = {"minutes": options.minutes, "seed": options.seed, "recovery_s": done.recovery_s}
        options.json.write_text(json.dumps(figures | {"failures": done.failures}, indent=1) + "\n", "utf-8")
    return 1 if done.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
