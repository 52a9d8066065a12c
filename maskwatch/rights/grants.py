"""The words in which rights are said: commands on kinds of keys, and what several roles have in common.

Key patterns lack the installation's prefix: ``{p*}`` is any partition, ``{site}`` the site as a whole. A grant holds by
itself: commands of one grant never reach the keys of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Endpoint = Literal["frames", "state"]
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
Place = Literal["frames", "state", "sentinels"]
"""What has a file of users of its own: the servers of an endpoint, and the sentinels that watch them."""
PLACES: tuple[Place, ...] = get_args(Place)

FRAMES = "{p*}:f:*"
PICTURES, PICTURE_LISTS = ("{p*}:pic:*", "{p*}:crop:*"), ("{p*}:pics", "{p*}:crops")
PLAN, PLANS, LAYOUT = "{site}:plan", "{site}:plan:history", "{site}:layout"
RESULTS, TALLIES, LETTERS = "{p*}:res", "{p*}:tally", "{p*}:dlq"
OWNERS, STATES, EVENTS = ("{p*}:own", "{site}:own"), ("{p*}:st", "{site}:st"), ("{p*}:ev", "{site}:ev")
SEATS, DUTY, INBOX = "judges:{p*}:own", "notify:{p*}:own", "{site}:in"
CURSORS = ("{site}:cursor:*", "{site}:cursors")
HANDED_IN, RECORDS, RECORD_ORDER, RECORD_NEWS = "{p*}:fb", "{p*}:fb:rec", "{p*}:fb:time", "{p*}:fb:out"
REFUSALS, ERASURES, LOOKS = "{site}:feedback:refused", "{site}:feedback:erasures", "{site}:pictures:access"
MODELS, VERSIONS, GENERATIONS = "{site}:models", "{site}:models:versions", "{site}:models:generations"
MODEL_LOG, MODEL_WORKERS, SHADOW = "{site}:models:log", "{site}:models:workers", "{site}:models:shadow"
BLOBS = ("{site}:models:blob:*", "{site}:models:uploads")
REGISTRY = (MODELS, VERSIONS, GENERATIONS, MODEL_LOG, MODEL_WORKERS, *BLOBS)
TRAINING = ("{site}:trainer:own", "{site}:trainer:request", "{site}:trainer:rollout")


@dataclass(frozen=True, slots=True)
class Grant:
    """Commands, and the keys on which they may be used.

    Attributes:
        why: What it is for.
        commands: Names as in ACL rules, such as ``script|load``, parted by blanks.
        keys: Patterns; none for commands without keys.
        access: ``R`` read, ``W`` write, ``RW`` both.
        channels: Patterns of channels on which they may be used instead.
    """

    why: str
    commands: str
    keys: tuple[str, ...] = ()
    access: Literal["R", "W", "RW"] = "R"
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """One broker user.

    Attributes:
        name: Its name, also of the file with its password.
        about: Who it is for.
        frames: What it may do on the frames broker; None: it has no user there.
        state: The same on the state broker.
        cameras: The cameras that it is limited to; empty for none.
        sentinels: The same on sentinels.
    """

    name: str
    about: str
    frames: tuple[Grant, ...] | None
    state: tuple[Grant, ...] | None
    cameras: tuple[str, ...] = ()
    sentinels: tuple[Grant, ...] | None = None

    def on(self, place: Place) -> tuple[Grant, ...] | None:
        """Give its grants at a place."""
        return {"frames": self.frames, "state": self.state, "sentinels": self.sentinels}[place]


EVERYBODY = Grant("greet", "ping hello client|setinfo")
CLOCK = Grant("the broker's clock", "time")
VITALS = Grant("the broker's clock, memory and disk", "time info")
SCRIPTS = Grant("send scripts; each needs the right to write its keys", "script|load")
PLAN_READING = Grant("follow the plan", "get hget hmget", (PLAN, LAYOUT))
NEWS = Grant("news for the site stage", "xadd", (INBOX,), "W")

EVENT_READING = Grant("read the event logs", "xread xrange xrevrange xinfo|stream", EVENTS)
READING = (EVENT_READING, Grant("find the partitions", "get", (LAYOUT,)))
REMEMBERING = (
    CLOCK,
    SCRIPTS,
    Grant("its place in the log", "evalsha hget hgetall hset", CURSORS, "RW"),
)

REGISTRY_READING = (
    Grant("which models serve", "hget", (MODELS,)),
    Grant("versions", "hget hvals", (VERSIONS,)),
    Grant("files of models", "hget", BLOBS[:1]),
    Grant("who serves what", "hgetall", (MODEL_WORKERS,)),
    Grant("the registry's log", "xrevrange", (MODEL_LOG,)),
)
REGISTRY_WRITING = (
    VITALS,
    SCRIPTS,
    *REGISTRY_READING,
    Grant(
        "publish, promote, roll back, retire",
        "evalsha hset hget hgetall hvals hkeys hstrlen hdel xadd xrange xrevrange persist expire ttl unlink",
        REGISTRY,
        "RW",
    ),
    Grant("comparisons of a candidate", "hgetall", (SHADOW,)),
    NEWS,
)

VERDICTS_READING = (
    Grant("what people said", "hmget hget", (RECORDS,)),
    Grant("what people said, by time", "zrangebyscore", (RECORD_ORDER,)),
    Grant("orders to erase", "xrange", (ERASURES,)),
)
VERDICTS = (
    CLOCK,
    SCRIPTS,
    *VERDICTS_READING,
    Grant("what waits to become an event", "hgetall hdel hlen", (RECORD_NEWS,), "RW"),
    Grant(
        "take in and forget what people said",
        "evalsha hget hset hdel zadd zrem zcard zrange zremrangebyrank",
        (RECORDS, RECORD_ORDER, RECORD_NEWS),
        "RW",
    ),
    Grant("count what was not taken", "hincrby hgetall", (REFUSALS,), "RW"),
    Grant("find an alarm", "evalsha_ro xrevrange", EVENTS),
    NEWS,
)


def rules(role: Role, place: Place, prefix: str = "mw") -> list[str]:
    """Give a role's rights in the words of ``ACL SETUSER``; empty where it has no user at this place."""
    grants = role.on(place)
    if grants is None:
        return []
    loose = [one for one in (EVERYBODY, *grants) if not (one.keys or one.channels)]
    keyless = dict.fromkeys(name for one in loose for name in one.commands.split())
    selectors = dict.fromkeys(_selector(one, prefix) for one in grants if one.keys or one.channels)
    return ["resetchannels", *(f"+{name}" for name in keyless), *selectors]


def _selector(grant: Grant, prefix: str) -> str:
    where = [f"%{grant.access}~{prefix}:{key}" for key in grant.keys] + [f"&{name}" for name in grant.channels]
    return f"({' '.join([*where, *(f'+{name}' for name in grant.commands.split())])})"
