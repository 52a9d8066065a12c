"""Exactly one owner judges a partition: lease, fence, offset and the one commit that holds them together.

The lease only decides who tries. Safety is the fence: a commit names the epoch of its lease and the offset it started
from, and is refused as a whole when either is no longer what the broker holds. Partition `SITE` is the site stage's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.broker.client import Client, call, call_many
from common.broker.lag import broker_now_ms, clocks_ms
from common.broker.reading import order_of, read_present
from common.broker.scripts import Argument, Script
from common.errors import BrokerError, BrokerUnavailableError, FencedError, OffsetMovedError
from common.partition import Keys

LEASE_TTL_S = 6.0
EVENTS_KEPT = 100_000
TALLIES_KEPT_MS = 6 * 3_600_000
BEGINNING = "0-0"
_CAMERA = b"c:"

_NOW_MS = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""

_ACQUIRE = Script(
    "#!lua flags=allow-oom"
    + _NOW_MS
    + """
local held = redis.call('HMGET', KEYS[1], 'owner', 'exp', 'epoch')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1] and tonumber(held[2] or '0') > now then return false end
local epoch = string.format('%.0f', math.max(tonumber(held[3] or '0') + 1, now))
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'exp', string.format('%.0f', now + tonumber(ARGV[2])), 'epoch', epoch)
return epoch
"""
)

_RENEW = Script(
    "#!lua flags=allow-oom"
    + _NOW_MS
    + """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'exp', string.format('%.0f', now + tonumber(ARGV[2])))
return 1
"""
)

_RELEASE = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'exp', '0')
return 1
""")

_COMMIT = Script("""#!lua flags=allow-oom
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
if epoch ~= ARGV[1] then return {'fenced', epoch} end
local offset = redis.call('HGET', KEYS[2], 'offset') or '0-0'
if offset ~= ARGV[2] then return {'offset', offset} end
local at = 12
for _ = 1, tonumber(ARGV[6]) do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*',
    'event', ARGV[at], 'type', ARGV[at + 1], 'camera', ARGV[at + 2], 'id', ARGV[at + 3])
  at = at + 4
end
for _ = 1, tonumber(ARGV[7]) do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, tonumber(ARGV[8]) do
  redis.call('HDEL', KEYS[2], ARGV[at])
  at = at + 1
end
for _ = 1, tonumber(ARGV[9]) do
  redis.call('XADD', KEYS[5], 'MINID', ARGV[11], '*', 't', ARGV[at])
  at = at + 1
end
redis.call('HSET', KEYS[2], 'offset', ARGV[3])
if ARGV[4] ~= '' then redis.call('XTRIM', KEYS[4], 'MINID', ARGV[10], ARGV[4]) end
return {'ok', ARGV[3]}
""")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to try to judge a partition; ``epoch`` is what commits are checked against."""

    partition: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a partition now, and for how many seconds more unless renewed."""

    owner: str
    epoch: int
    left_s: float


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What the last commit left: the offset up to which results are judged, and each camera's state."""

    offset: str
    cameras: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event to be logged: CloudEvents JSON, and what subscribers filter and de-duplicate on."""

    event: bytes
    type: str
    camera: str
    id: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One step of a partition, carried out as a whole or not at all.

    Attributes:
        from_offset: Offset that this step started from, as loaded or as last committed.
        to_offset: Offset up to which results are judged now; may equal ``from_offset``.
        events: Events to append, in order.
        states: Camera to its new state; cameras not named keep theirs.
        removed: Cameras whose state is to be forgotten.
        tallies: Counts for statistics to append, in order; those of the last six hours are kept.
        trim_before_ms: Judged results older than this (wall clock, ms) may go; 0 keeps all. Unjudged ones always stay.
        trim_exactly: They go to the last one, rather than in blocks.
        read_to: Entry id up to which what may be trimmed was read, where ``to_offset`` is no entry id.
        events_kept: About how many events the partition's log keeps.
    """

    from_offset: str
    to_offset: str
    events: list[EventRecord] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    tallies: list[bytes] = field(default_factory=list)
    trim_before_ms: int = 0
    trim_exactly: bool = False
    read_to: str = ""
    events_kept: int = EVENTS_KEPT


class PartitionStore:
    """Leases, states and commits of partitions for one owner (state endpoint).

    After `BrokerUnavailableError` from `commit` with ``in_doubt``, never send the commit again: `acquire`, then `load`;
    an offset that moved says that it had worked.
    """

    def __init__(
        self, client: Client, blocking_client: Client, keys: Keys, owner: str, ttl_s: float = LEASE_TTL_S
    ) -> None:
        """Act for ``owner``, a name no other living process uses; leases end ``ttl_s`` seconds after their renewal."""
        self._client, self._blocking = client, blocking_client
        self._keys = keys
        self._owner = owner
        self._ttl_ms = round(1000 * ttl_s)

    def acquire(self, partition: int) -> Lease | None:
        """Take a partition that is free, expired or already ours (with a new epoch); None where another holds it."""
        epoch = _ACQUIRE.run(self._client, [self._keys.owner(partition)], [self._owner, self._ttl_ms])
        return None if epoch is None else Lease(partition, self._owner, int(epoch))

    def renew(self, lease: Lease) -> bool:
        """Extend a lease; False where another has taken the partition since."""
        return bool(_RENEW.run(self._client, [self._keys.owner(lease.partition)], [str(lease.epoch), self._ttl_ms]))

    def release(self, lease: Lease) -> bool:
        """Give a partition back at once; False where another has taken it already."""
        return bool(_RELEASE.run(self._client, [self._keys.owner(lease.partition)], [str(lease.epoch)]))

    def owners(self) -> dict[int, Holder]:
        """Say who holds which partition now; free and expired ones are left out, and those whose node is away."""
        now_ms = broker_now_ms(self._client)
        numbers = range(self._keys.partitions)
        commands = [("HMGET", self._keys.owner(number), "owner", "exp", "epoch") for number in numbers]
        holders = {}
        for number, answer in zip(numbers, call_many(self._client, commands), strict=True):
            if isinstance(answer, BrokerUnavailableError):
                continue
            if isinstance(answer, BrokerError):
                raise answer
            owner, expires, epoch = answer
            if owner and int(expires or 0) > now_ms:
                holders[number] = Holder(owner.decode(), int(epoch), (int(expires) - now_ms) / 1000)
        return holders

    def load(self, partition: int) -> PartitionState:
        """Load what the last commit left; call it after `acquire`, never before."""
        stored = call(self._client, "HGETALL", self._keys.state(partition))
        cameras = {
            name.removeprefix(_CAMERA).decode(): state for name, state in stored.items() if name.startswith(_CAMERA)
        }
        return PartitionState(stored.get(b"offset", BEGINNING.encode()).decode(), cameras)

    def clocks(self, partitions: Iterable[int]) -> dict[int, int]:
        """Read for each partition the clock, ms, by which its entries are timed; left out is whose node is away."""
        numbers = {self._keys.owner(number): number for number in partitions}
        return {numbers[key]: now_ms for key, now_ms in clocks_ms(self._client, numbers).items()}

    def read(self, offsets: Mapping[int, str], count: int, block_s: float) -> dict[int, list[tuple[str, bytes]]]:
        """Read up to ``count`` results per partition behind the offsets, waiting up to ``block_s`` s for the first.

        Returns:
            Partition to (entry id, payload) in stream order; the payload is empty where the entry is not one of ours.
            All partitions are named, but for those whose node does not answer while others do.
        """
        numbers = {self._keys.results(number): number for number in offsets}
        ids = {key: offsets[number] for key, number in numbers.items()}
        found = read_present(self._client, self._blocking, ("XREAD", "COUNT", count), ids, block_s)
        return {
            number: [(entry_id, (fields or {}).get(b"r", b"")) for entry_id, fields in found.entries.get(key, ())]
            for key, number in numbers.items()
            if key not in found.lost
        }

    def commit(self, lease: Lease, step: Commit) -> None:
        """Carry out one step as a whole.

        Raises:
            FencedError: Another owner took the partition; nothing was written.
            OffsetMovedError: The stored offset is not ``from_offset``; nothing was written.
            BrokerUnavailableError: With ``in_doubt`` it may be done: `acquire` and `load` before going on.
            BrokerRefusedError: Nothing was written.
        """
        number, name = lease.partition, self._keys
        keys = [key(number) for key in (name.owner, name.state, name.events, name.results, name.tallies)]
        verdict, found = _COMMIT.run(self._client, keys, _arguments(lease, step))
        if verdict == b"fenced":
            raise FencedError(f"partition {number} has epoch {found.decode() or 'none'}, this lease has {lease.epoch}")
        if verdict == b"offset":
            raise OffsetMovedError(f"partition {number} is at {found.decode()}, not at {step.from_offset}")


def _arguments(lease: Lease, step: Commit) -> list[Argument]:
    arguments: list[Argument] = [str(lease.epoch), step.from_offset, step.to_offset, _trim_id(step), step.events_kept]
    arguments += [len(step.events), len(step.states), len(step.removed), len(step.tallies)]
    arguments += ["=" if step.trim_exactly else "~", max(0, step.trim_before_ms - TALLIES_KEPT_MS)]
    for event in step.events:
        arguments += [event.event, event.type, event.camera, event.id]
    for camera, state in step.states.items():
        arguments += [_CAMERA + camera.encode(), state]
    arguments += [*(_CAMERA + camera.encode() for camera in step.removed), *step.tallies]
    return arguments


def _trim_id(step: Commit) -> str:
    if step.trim_before_ms <= 0:
        return ""
    return min(step.read_to or step.to_offset, f"{step.trim_before_ms}-0", key=order_of)
