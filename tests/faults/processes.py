"""Scenarios that end, stop and replace processes of the product."""

from __future__ import annotations

import random
import signal
import time

from tests.faults.backends import EACH_S
from tests.faults.rig import SESSION_SILENT_S, Rig
from tests.faults.trial import Finding, Scenario
from tests.waiting import until

LEASE_S = 6.0
_ENOUGH_S = 60.0


def kill_worker(rig: Rig) -> Finding:
    """1: one of two workers is killed with frames in hand; it comes back, the other goes on."""
    with rig.besides("infer", 1):
        rig.pause(2)
        rig.wait_for(rig.witness.pending)
        killed = time.monotonic()
        rig.roles["infer-0"].kill()
        return Finding(rig.recovered_in(killed, _ENOUGH_S))


def kill_judges(rig: Rig) -> Finding:
    """2: whichever judge lives is killed every 0.4 to 1.2 s, for 20 s."""
    chance = random.Random(2)
    kills = 0
    killed = time.monotonic()
    with rig.besides("judge", 1):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            rig.pause(chance.uniform(0.4, 1.2))
            for name in ("judge-0", "judge-1"):
                if rig.roles[name].running and rig.roles[name].pid in rig.owners():
                    rig.roles[name].kill()
                    killed, kills = time.monotonic(), kills + 1
                    break
        recovery_s = rig.recovered_in(killed, _ENOUGH_S)
    return Finding(recovery_s, f"{kills} kills")


def kill_owner(rig: Rig) -> Finding:
    """2: one of two judges is killed and does not come back; the other takes its partitions."""
    with rig.besides("judge", 1) as heir:
        rig.wait_for(lambda: len(rig.owners()) == 2)
        victim = rig.roles["judge-0"]
        victim.wanted = False
        killed = time.monotonic()
        victim.kill()
        recovery_s = rig.recovered_in(killed, _ENOUGH_S)
        assert rig.owners() == {heir.pid}
        victim.start()
        rig.wait_for(lambda: len(rig.owners()) == 2)
    return Finding(recovery_s)


def zombie_judge(rig: Rig) -> Finding:
    """3: a judge is stopped for three leases and wakes up believing that it still owns its partitions."""
    zombie = rig.roles["judge-0"]
    with rig.besides("judge", 1) as heir:
        rig.wait_for(lambda: len(rig.owners()) == 2)
        stopped = time.monotonic()
        zombie.send(signal.SIGSTOP)
        rig.wait_for(lambda: rig.owners() == {heir.pid})
        recovery_s = rig.recovered_in(stopped, _ENOUGH_S)
        rig.pause(max(0.0, 3 * LEASE_S - (time.monotonic() - stopped)))
        zombie.send(signal.SIGCONT)
        rig.wait_for(lambda: zombie.pid in rig.owners())
    return Finding(recovery_s, f"{zombie.metric('maskwatch_commits_fenced_total'):.0f} commits fenced")


def slow_worker(rig: Rig) -> Finding:
    """12: inference takes ten times what the cameras ask for; the newest frames of every camera win."""
    rig.remove("infer-0")
    slow = rig.add("infer", 0, backend="tests.faults.backends:Slow", MASKWATCH_INFER_BATCH_SIZE="2")
    try:
        began = time.time()
        rig.pause(10)
        _assert_shed_fairly(rig, began + 3)
        size = slow.size()
        assert size is not None
        rig.pause(5)
        later = slow.size()
        assert later is not None
        assert later.rss < size.rss * 1.1, "memory is not flat"
    finally:
        rig.remove("infer-0")
        rig.add("infer", 0)
    lifted = time.monotonic()
    return Finding(rig.recovered_in(lifted, _ENOUGH_S))


def _assert_shed_fairly(rig: Rig, since_s: float) -> None:
    looked_at = [one for one in rig.witness.results() if one.inferred_at >= since_s and one.outcome.value == "ok"]
    shares = [sum(one.camera == camera for one in looked_at) for camera in rig.witness.cameras]
    assert min(shares) >= 0.5 * sum(shares) / len(shares), f"shares {shares}"
    ages = sorted(one.inferred_at - one.published_at for one in looked_at)
    p99 = ages[min(len(ages) - 1, int(0.99 * len(ages)))]
    assert p99 <= 2.0 + 3 * EACH_S, f"the oldest looked at was {p99:.1f} s old"


def end_worker(rig: Rig) -> Finding:
    """29: one of two workers is asked to end under load: status 0, and its frames go on at once."""
    with rig.besides("infer", 1):
        rig.pause(1)
        rig.wait_for(rig.witness.pending)
        asked = time.monotonic()
        status = rig.remove("infer-0")
        drained_s = time.monotonic() - asked
        assert status == 0
        assert drained_s < 10
        recovery_s = rig.recovered_in(asked, _ENOUGH_S)
        rig.add("infer", 0)
    return Finding(recovery_s, f"ended in {drained_s:.1f} s")


def end_judge(rig: Rig) -> Finding:
    """29: one of two judges is asked to end under load: the other has all partitions within two seconds."""
    with rig.besides("judge", 1) as heir:
        rig.wait_for(lambda: len(rig.owners()) == 2)
        asked = time.monotonic()
        status = rig.remove("judge-0")
        ended = time.monotonic()
        rig.wait_for(lambda: rig.owners() == {heir.pid} and len(rig.witness.store.owners()) == rig.keys.partitions)
        taken_s = time.monotonic() - ended
        assert status == 0
        assert taken_s < 2
        recovery_s = rig.recovered_in(asked, _ENOUGH_S)
        rig.add("judge", 0)
    return Finding(recovery_s, f"ended in {ended - asked:.1f} s, taken over {taken_s:.1f} s later")


def wrong_clock(shift_s: float) -> Scenario:
    """23: the cameras' machine is off by an hour; order, age and leases do not ask it."""

    def act(rig: Rig) -> Finding:
        rig.hide()
        rig.pause(SESSION_SILENT_S)
        rig.clock_shift_s = shift_s
        began = time.monotonic()
        rig.show()
        recovery_s = time.monotonic() - began
        producer = rig.roles["producer-0"]
        skew_s = until(lambda: producer.metric("maskwatch_clock_skew_seconds", endpoint="frames"), 15)
        assert abs(skew_s - shift_s) < 5, f"skew is said to be {skew_s}"
        before = sum(account.dropped.get("stale", 0) for account in rig.witness.accounts().values())
        rig.pause(5)
        stale = sum(account.dropped.get("stale", 0) for account in rig.witness.accounts().values()) - before
        assert stale <= 10, f"{stale} frames stale"
        rig.hide()
        rig.clock_shift_s = 0.0
        rig.pause(SESSION_SILENT_S)
        rig.show()
        return Finding(recovery_s, f"skew shown: {skew_s:.0f} s")

    sign = "ahead" if shift_s > 0 else "behind"
    return Scenario(23, f"producer_an_hour_{sign}", 30, act)


SCENARIOS = (
    Scenario(1, "kill_worker", 13, kill_worker, truth=True, quick=True, quiet_s=12),
    Scenario(2, "kill_judges_again_and_again", 8, kill_judges, truth=True, quiet_s=4),
    Scenario(2, "kill_owner", 8, kill_owner),
    Scenario(3, "zombie_judge", 8, zombie_judge),
    Scenario(12, "slow_worker", 5, slow_worker),
    wrong_clock(3600),
    wrong_clock(-3600),
    Scenario(29, "end_worker", 5, end_worker),
    Scenario(29, "end_judge", 5, end_judge, quick=True),
)
