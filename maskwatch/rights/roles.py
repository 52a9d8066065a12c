"""Every broker user that there is, and exactly what it may do at each endpoint."""

from __future__ import annotations

from maskwatch.rights.grants import (
    CURSORS,
    DUTY,
    ERASURES,
    EVENT_READING,
    EVENTS,
    FRAMES,
    HANDED_IN,
    INBOX,
    LAYOUT,
    LETTERS,
    LOOKS,
    MODEL_LOG,
    MODEL_WORKERS,
    NEWS,
    OWNERS,
    PICTURE_LISTS,
    PICTURES,
    PLAN,
    PLAN_READING,
    PLANS,
    READING,
    REGISTRY_READING,
    REGISTRY_WRITING,
    REMEMBERING,
    RESULTS,
    SCRIPTS,
    SEATS,
    SHADOW,
    STATES,
    TALLIES,
    TRAINING,
    VERDICTS,
    VERDICTS_READING,
    VITALS,
    Grant,
    Role,
)

PRODUCER = Role(
    "producer",
    "cameras",
    frames=(
        VITALS,
        Grant("publish frames", "xadd", (FRAMES,), "W"),
        Grant("remove old frames, wait for readers", "xtrim xlen", (FRAMES,), "W"),
        Grant("how far readers are", "xinfo|groups", (FRAMES,)),
    ),
    state=(PLAN_READING,),
)

INFER = Role(
    "infer",
    "inference workers",
    frames=(
        VITALS,
        Grant(
            "take frames and give them back",
            "xreadgroup xack xautoclaim xclaim xpending xtrim xlen xgroup|create xinfo|groups xinfo|stream",
            (FRAMES,),
            "RW",
        ),
        Grant("leave small pictures, never read them", "set del pexpire exists", PICTURES, "W"),
        Grant("their lists", "zadd zrem zremrangebyscore pexpire zcard", PICTURE_LISTS, "W"),
        Grant("which pictures there are", "zrangebyscore", PICTURE_LISTS),
    ),
    state=(
        VITALS,
        SCRIPTS,
        PLAN_READING,
        Grant("results and dead letters", "xadd", (RESULTS, LETTERS), "W"),
        Grant("which pictures events name", "xread", EVENTS[:1]),
        *REGISTRY_READING,
        Grant("say what it serves", "evalsha hset hgetall hdel", (MODEL_WORKERS,), "RW"),
        Grant("say which version it refused", "evalsha xadd xrevrange", (MODEL_LOG,), "RW"),
        Grant("compare a candidate", "hset expire", (SHADOW,), "W"),
        NEWS,
    ),
)

JUDGE = Role(
    "judge",
    "judges, and the site stage in their process",
    frames=None,
    state=(
        VITALS,
        SCRIPTS,
        PLAN_READING,
        Grant("read results, tallies, events and news", "xread xrange xrevrange", (RESULTS, TALLIES, *EVENTS, INBOX)),
        Grant("how much of the log is gone", "xinfo|stream", EVENTS),
        Grant("leases and state", "hget hmget hgetall hset hdel", (*OWNERS, *STATES, SEATS), "RW"),
        Grant("events and tallies", "xadd", (*EVENTS, TALLIES), "W"),
        Grant("remove what is judged", "xtrim", (RESULTS, INBOX), "W"),
        Grant(
            "commit as one step",
            "evalsha",
            (*OWNERS, *STATES, SEATS, *EVENTS, RESULTS, TALLIES, INBOX, "{site}:tally"),
            "RW",
        ),
        Grant("dead letters", "xadd", (LETTERS,), "W"),
        *VERDICTS,
        Grant("what other tools handed in", "xrange xlen xdel xtrim", (HANDED_IN,), "RW"),
    ),
)

READER = Role("reader", "programs that read events and keep their own place", None, READING)
SUBSCRIBER = Role("subscriber", "programs that read events, their place remembered", None, (*READING, *REMEMBERING))
NOTIFY = Role(
    "notify",
    "webhooks and MQTT",
    None,
    (*READING, *REMEMBERING, Grant("whose turn it is", "evalsha hget hmget hset", (DUTY,), "RW")),
)

TRAINER = Role(
    "trainer",
    "retraining and promotion",
    frames=(Grant("face crops that people labelled", "get", PICTURES[1:]),),
    state=(
        PLAN_READING,
        *REGISTRY_WRITING,
        *VERDICTS_READING,
        Grant("results of two versions side by side", "xrevrange", (RESULTS,)),
        Grant("its lease, requests and progress", "evalsha get set hget hmget hset del", TRAINING, "RW"),
    ),
)

OPERATOR = Role(
    "operator",
    "people at the desk: site, models, feedback, events, status, doctor",
    frames=(
        VITALS,
        Grant("how far reading is behind", "xlen xinfo|groups", (FRAMES,)),
        Grant("small pictures that events name", "get", PICTURES),
        Grant("which pictures there are", "zrangebyscore", PICTURE_LISTS),
        Grant("erase pictures", "del", PICTURES, "W"),
        Grant("erase pictures from the lists", "zrem", PICTURE_LISTS, "W"),
    ),
    state=(
        PLAN_READING,
        Grant("fix the number of partitions", "set", (LAYOUT,), "W"),
        Grant("publish the plan", "evalsha hget hset xadd xrange xrevrange", (PLAN, PLANS), "RW"),
        *REGISTRY_WRITING,
        *VERDICTS,
        Grant("order to erase", "xadd", (ERASURES,), "W"),
        EVENT_READING,
        Grant("readers' places", "evalsha hget hgetall hset hdel del", CURSORS, "RW"),
        Grant("who looked at pictures", "xadd xlen xrevrange", (LOOKS,), "RW"),
        Grant("who works", "hmget", (*OWNERS, DUTY)),
        Grant("how far it is judged", "hget", STATES[:1]),
        Grant("results", "xread xrange", (RESULTS,)),
        Grant("the trainer: lease, requests, progress", "get hget hmget hset", TRAINING, "RW"),
    ),
)

GUARD = Role(
    "guard",
    "security: reads what was denied, has the broker read its file of users again; reaches no key",
    frames=(Grant("the log of denied attempts, and the file of users", "acl|log acl|load acl|whoami"),),
    state=(Grant("the log of denied attempts, and the file of users", "acl|log acl|load acl|whoami"),),
)

ROLES: dict[str, Role] = {
    role.name: role for role in (PRODUCER, INFER, JUDGE, NOTIFY, READER, SUBSCRIBER, TRAINER, OPERATOR, GUARD)
}
"""Every broker user there is; ``default`` is off."""


def gateway(name: str, cameras: tuple[str, ...]) -> Role:
    """Give a producer's role that can publish for these cameras only: ``producer-<name>``."""
    keys = tuple(f"{{p*}}:f:{camera}" for camera in cameras)
    assert PRODUCER.frames is not None  # noqa: S101 - said above
    narrowed = tuple(
        Grant(grant.why, grant.commands, keys, grant.access) if grant.keys else grant for grant in PRODUCER.frames
    )
    return Role(f"producer-{name}", f"cameras {', '.join(cameras)}", narrowed, PRODUCER.state, cameras)
