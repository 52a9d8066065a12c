"""One trainer at a time for an installation: a lease on the state broker with an epoch that only rises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from common.broker.client import Client, call
from common.broker.lag import broker_now_ms
from common.broker.models.store import Fence
from common.broker.scripts import Script
from common.errors import BrokerError, FencedError
from common.lifecycle import StopSignal
from common.log import Log
from common.partition import Keys

KEY = "trainer"

_ACQUIRE = Script("""#!lua flags=allow-oom
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'owner', 'exp', 'epoch')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1] and tonumber(held[2] or '0') > now then return false end
local epoch = string.format('%.0f', math.max(tonumber(held[3] or '0') + 1, now))
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'exp', string.format('%.0f', now + tonumber(ARGV[2])), 'epoch', epoch)
return epoch
""")

_RENEW = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], 'exp', string.format('%.0f', now + tonumber(ARGV[2])))
return 1
""")

_RELEASE = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'exp', '0')
return 1
""")

_log = Log("trainer")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who trains now, and for how many seconds more unless renewed."""

    owner: str
    epoch: int
    left_s: float


class TrainerLease:
    """The right to train, publish and promote (state endpoint).

    Args:
        client: Command client.
        keys: Key names of the installation.
        owner: A name that no other living process uses.
        ttl_s: The lease ends so many seconds after its last renewal.
    """

    def __init__(self, client: Client, keys: Keys, owner: str, ttl_s: float) -> None:
        self._client = client
        self._key = keys.site(f"{KEY}:own")
        self._owner = owner
        self._ttl_ms = round(1000 * ttl_s)
        self.epoch = 0

    @property
    def fence(self) -> Fence:
        """What keeps a registry from moving anything once the lease is another's."""
        return Fence(self._key, lambda: self.epoch)

    @property
    def held(self) -> bool:
        """Whether it was ours when last looked at."""
        return self.epoch > 0

    def acquire(self) -> bool:
        """Take the lease if it is free, expired or ours already, with a new epoch."""
        epoch = _ACQUIRE.run(self._client, [self._key], [self._owner, self._ttl_ms])
        self.epoch = 0 if epoch is None else int(epoch)
        return self.held

    def renew(self) -> bool:
        """Extend the lease; False where another has taken it."""
        if not self.held or not _RENEW.run(self._client, [self._key], [str(self.epoch), self._ttl_ms]):
            self.epoch = 0
        return self.held

    def check(self) -> None:
        """Make sure of the lease before something is published or promoted.

        Raises:
            FencedError: Another trainer has it; nothing was done.
        """
        before = self.epoch
        if not self.renew():
            raise FencedError(f"the trainer's lease of epoch {before} was taken over; nothing was published")

    def release(self) -> None:
        """Give the lease back at once."""
        if self.held:
            _RELEASE.run(self._client, [self._key], [str(self.epoch)])
            self.epoch = 0

    def holder(self) -> Holder | None:
        """Say who trains now."""
        owner, expires, epoch = call(self._client, "HMGET", self._key, "owner", "exp", "epoch")
        left_s = (int(expires or 0) - broker_now_ms(self._client)) / 1000
        return Holder(owner.decode(), int(epoch), left_s) if owner and left_s > 0 else None


class LeaseKeeper:
    """Renews a held lease from a thread of its own while training blocks the main one; a context manager.

    Args:
        lease: Held.
        period_s: How often; a third of the lease's life is right.
        lost: Called once if another trainer has taken over, or the broker stayed away for the lease's life.
    """

    def __init__(self, lease: TrainerLease, period_s: float, lost: Callable[[], None]) -> None:
        self._lease = lease
        self._period_s = period_s
        self._lost = lost
        self._stop = StopSignal()
        self._thread = threading.Thread(target=self._run, name="trainer-lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set("done")
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(self._period_s):
            try:
                kept = self._lease.renew()
                failures = 0
            except BrokerError as error:
                failures += 1
                kept = failures < 3  # by then the lease has run out, and another trainer may hold it
                _log.warning("lease_not_renewed", code=error.code)
            if not kept:
                _log.error("lease_lost")
                self._lost()
                return
