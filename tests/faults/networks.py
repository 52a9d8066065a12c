"""Scenarios that harm brokers and the network before them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.faults.rig import Rig
from tests.faults.trial import Finding, Scenario

_ENOUGH_S = 60.0
Act = Callable[[Rig], Finding]


def kill_broker(endpoint: str) -> Act:
    """4, 5: a broker is killed and started again at once, the state broker with its append-only file."""

    def act(rig: Rig) -> Finding:
        broker = getattr(rig.pair, endpoint)
        restarts = broker.restarts
        broker.kill()
        rig.wait_for(lambda: broker.restarts > restarts)
        back = time.monotonic()
        return Finding(rig.recovered_in(back, _ENOUGH_S))

    return act


def flush_frames(rig: Rig) -> Finding:
    """6: everything on the frames broker is gone while workers wait; groups are made again, calmly."""
    rig.ask("frames", "CONFIG RESETSTAT")
    flushed = time.monotonic()
    rig.ask("frames", "FLUSHALL")
    recovery_s = rig.recovered_in(flushed, _ENOUGH_S)
    calls: Any = rig.ask("frames", "INFO", "commandstats")
    tries = int(calls["cmdstat_xgroup|create"]["calls"])
    assert tries <= 2 * (1 + recovery_s) * len(rig.witness.cameras), f"{tries} tries in {recovery_s:.1f} s"
    return Finding(recovery_s, f"{tries} groups asked for")


def stop_broker(endpoint: str) -> Act:
    """7: a broker hangs for 12 s: processes stay alive, say that they are not ready, and go on."""

    def act(rig: Rig) -> Finding:
        broker = getattr(rig.pair, endpoint)
        os.kill(broker.pid, signal.SIGSTOP)
        began = time.monotonic()
        unready: set[str] = set()
        try:
            while time.monotonic() - began < 12:
                for name, role in rig.roles.items():
                    alive, _ = role.answer("/healthz")
                    assert alive == 200, f"{name} is not alive any more"
                    if role.answer("/readyz")[0] != 200:
                        unready.add(name.split("-")[0])
                rig.pause(0.5)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        back = time.monotonic()
        expected = {"state": {"judge", "infer"}, "frames": {"producer", "infer"}}[endpoint]
        assert unready >= expected, f"only {sorted(unready)} said that they are not ready"
        return Finding(rig.recovered_in(back, _ENOUGH_S))

    return act


def toxic(endpoint: str, seconds: float, **toxics: Any) -> Act:
    """8, 9: the network before a broker has a fault for a while."""

    def act(rig: Rig) -> Finding:
        proxy = getattr(rig, endpoint)
        proxy.harm(**toxics)
        if toxics.get("refuse"):
            proxy.cut()
        try:
            rig.pause(seconds)
        finally:
            proxy.heal()
        healed = time.monotonic()
        recovery_s = rig.recovered_in(healed, _ENOUGH_S)
        duplicates = sum(account.duplicates for account in rig.witness.accounts().values())
        return Finding(recovery_s, f"{duplicates} duplicate results so far")

    return act


def full_frames(rig: Rig) -> Finding:
    """13: the frames broker is at its memory limit; consumers drain, frames are refused and counted."""
    used: Any = rig.ask("frames", "INFO", "memory")
    rig.ask("frames", "CONFIG SET", "maxmemory", int(0.9 * int(used["used_memory"])))
    try:
        rig.pause(6)
        assert rig.roles["producer-0"].metric("maskwatch_frames_dropped_total", reason="oom") > 0
    finally:
        rig.ask("frames", "CONFIG SET", "maxmemory", 0)
    return Finding(rig.recovered_in(time.monotonic(), _ENOUGH_S))


def full_state(rig: Rig) -> Finding:
    """13: the state broker is at its memory limit; results wait, leases are kept."""
    epochs = {number: holder.epoch for number, holder in rig.witness.store.owners().items()}
    rig.ask("state", "CONFIG SET", "maxmemory", 1)
    try:
        rig.pause(8)
        assert {number: holder.epoch for number, holder in rig.witness.store.owners().items()} == epochs
    finally:
        rig.ask("state", "CONFIG SET", "maxmemory", 0)
    return Finding(rig.recovered_in(time.monotonic(), _ENOUGH_S))


SCENARIOS = (
    Scenario(4, "kill_state_broker", 5, kill_broker("state"), truth=True, quick=True, quiet_s=12),
    Scenario(5, "kill_frames_broker", 5, kill_broker("frames"), truth=True, quick=True, quiet_s=12),
    Scenario(6, "flush_frames_broker", 3, flush_frames),
    Scenario(7, "stop_state_broker", 5, stop_broker("state")),
    Scenario(7, "stop_frames_broker", 5, stop_broker("frames")),
    Scenario(8, "replies_of_frames_lost", 5, toxic("frames", 10, drop_replies=True)),
    Scenario(8, "replies_of_state_lost", 5, toxic("state", 10, drop_replies=True)),
    Scenario(9, "frames_cut", 10, toxic("frames", 6, refuse=True)),
    Scenario(9, "state_cut", 10, toxic("state", 6, refuse=True)),
    Scenario(9, "frames_blackhole", 10, toxic("frames", 10, blackhole=True)),
    Scenario(9, "state_blackhole", 10, toxic("state", 10, blackhole=True)),
    Scenario(9, "frames_latency", 10, toxic("frames", 8, latency_s=0.3)),
    Scenario(9, "state_latency", 10, toxic("state", 8, latency_s=0.3)),
    Scenario(9, "frames_reset_in_mid_frame", 10, toxic("frames", 8, reset_after=150_000), quick=True),
    Scenario(9, "frames_narrow", 10, toxic("frames", 8, bytes_per_s=200_000)),
    Scenario(13, "frames_broker_full", 5, full_frames),
    Scenario(13, "state_broker_full", 5, full_state),
)
