"""What each broker user is meant to be able to do, written by hand, key by key, and not derived from the code.

`tests/contract/test_rights.py` tries every command on every key and holds the answers against this.
"""

from __future__ import annotations

FRAMES_KEYS = {
    "frames": "mw:{p00}:f:cam42",
    "snapshot": "mw:{p01}:pic:cam42:1:2:0",
    "crop": "mw:{p01}:crop:cam42:1:2:0",
    "snapshots": "mw:{p01}:pics",
    "crops": "mw:{p01}:crops",
}
STATE_KEYS = {
    "results": "mw:{p00}:res",
    "owner": "mw:{p00}:own",
    "state": "mw:{p00}:st",
    "events": "mw:{p00}:ev",
    "tally": "mw:{p00}:tally",
    "letters": "mw:{p00}:dlq",
    "feedback": "mw:{p00}:fb",
    "records": "mw:{p00}:fb:rec",
    "record order": "mw:{p00}:fb:time",
    "record news": "mw:{p00}:fb:out",
    "seat": "mw:judges:{p00}:own",
    "duty": "mw:notify:{p00}:own",
    "site owner": "mw:{site}:own",
    "site state": "mw:{site}:st",
    "site events": "mw:{site}:ev",
    "site tally": "mw:{site}:tally",
    "inbox": "mw:{site}:in",
    "layout": "mw:{site}:layout",
    "plan": "mw:{site}:plan",
    "plans": "mw:{site}:plan:history",
    "cursor": "mw:{site}:cursor:desk",
    "cursors": "mw:{site}:cursors",
    "refusals": "mw:{site}:feedback:refused",
    "erasures": "mw:{site}:feedback:erasures",
    "looks": "mw:{site}:pictures:access",
    "models": "mw:{site}:models",
    "versions": "mw:{site}:models:versions",
    "generations": "mw:{site}:models:generations",
    "model log": "mw:{site}:models:log",
    "model workers": "mw:{site}:models:workers",
    "uploads": "mw:{site}:models:uploads",
    "blob": "mw:{site}:models:blob:00ff",
    "shadow": "mw:{site}:models:shadow",
    "trainer lease": "mw:{site}:trainer:own",
    "trainer request": "mw:{site}:trainer:request",
    "trainer rollout": "mw:{site}:trainer:rollout",
}
FOREIGN_KEYS = {
    "other installation": "other:{p00}:f:cam42",
    "other events": "other:{p00}:ev",
    "longer prefix": "mw2:{p00}:res",
    "unknown": "mw:{site}:secrets",
    "bare": "anything",
}

GREETING = "PING HELLO CLIENT_SETINFO"
"""Everybody, everywhere."""

Intent = dict[str, str]
"""Kind of key to the commands that are allowed on it; "" for commands without keys, beside the greeting."""

LOG_READING = "XREAD XRANGE XREVRANGE XINFO_STREAM"
PLACE = "EVALSHA HGET HGETALL HSET"
READER: Intent = {"events": LOG_READING, "site events": LOG_READING, "layout": "GET"}
SUBSCRIBER: Intent = READER | {"": "TIME SCRIPT_LOAD", "cursor": PLACE, "cursors": PLACE}

REGISTRY = "EVALSHA HSET HGET HGETALL HVALS HKEYS HSTRLEN HDEL XADD XRANGE XREVRANGE PERSIST EXPIRE TTL UNLINK"
PROMOTER: Intent = dict.fromkeys(
    ("models", "versions", "generations", "model log", "model workers", "uploads", "blob"), REGISTRY
)
PLAN: Intent = {"plan": "GET HGET HMGET", "layout": "GET HGET HMGET"}
RECORD = "EVALSHA HGET HSET HDEL ZADD ZREM ZCARD ZRANGE ZREMRANGEBYRANK"

INTENT: dict[str, dict[str, Intent | None]] = {
    "producer": {
        "frames": {"": "TIME INFO", "frames": "XADD XTRIM XLEN XINFO_GROUPS"},
        "state": PLAN,
    },
    "infer": {
        "frames": {
            "": "TIME INFO",
            "frames": "XREADGROUP XACK XAUTOCLAIM XCLAIM XPENDING XTRIM XLEN XGROUP_CREATE XINFO_GROUPS XINFO_STREAM",
            "snapshot": "SET DEL PEXPIRE EXISTS",
            "crop": "SET DEL PEXPIRE EXISTS",
            "snapshots": "ZADD ZREM ZREMRANGEBYSCORE PEXPIRE ZCARD ZRANGEBYSCORE",
            "crops": "ZADD ZREM ZREMRANGEBYSCORE PEXPIRE ZCARD ZRANGEBYSCORE",
        },
        "state": PLAN
        | {
            "": "TIME INFO SCRIPT_LOAD",
            "results": "XADD",
            "letters": "XADD",
            "events": "XREAD",
            "inbox": "XADD",
            "models": "HGET",
            "versions": "HGET HVALS",
            "blob": "HGET",
            "model workers": "EVALSHA HSET HGETALL HDEL",
            "model log": "EVALSHA XADD XREVRANGE",
            "shadow": "HSET EXPIRE",
        },
    },
    "judge": {
        "frames": None,
        "state": PLAN
        | {
            "": "TIME INFO SCRIPT_LOAD",
            "results": "XREAD XRANGE XREVRANGE XTRIM EVALSHA",
            "owner": "HGET HMGET HGETALL HSET HDEL EVALSHA",
            "state": "HGET HMGET HGETALL HSET HDEL EVALSHA",
            "site owner": "HGET HMGET HGETALL HSET HDEL EVALSHA",
            "site state": "HGET HMGET HGETALL HSET HDEL EVALSHA",
            "seat": "HGET HMGET HGETALL HSET HDEL EVALSHA",
            "events": f"{LOG_READING} XADD EVALSHA EVALSHA_RO",
            "site events": f"{LOG_READING} XADD EVALSHA EVALSHA_RO",
            "tally": "XREAD XRANGE XREVRANGE XADD EVALSHA",
            "site tally": "EVALSHA",
            "inbox": "XREAD XRANGE XREVRANGE XTRIM XADD EVALSHA",
            "letters": "XADD",
            "feedback": "XRANGE XLEN XDEL XTRIM",
            "records": f"{RECORD} HMGET",
            "record order": f"{RECORD} ZRANGEBYSCORE",
            "record news": f"{RECORD} HGETALL HLEN",
            "refusals": "HINCRBY HGETALL",
            "erasures": "XRANGE",
        },
    },
    "notify": {
        "frames": None,
        "state": SUBSCRIBER | {"duty": "EVALSHA HGET HMGET HSET"},
    },
    "reader": {"frames": None, "state": READER},
    "subscriber": {"frames": None, "state": SUBSCRIBER},
    "trainer": {
        "frames": {"crop": "GET"},
        "state": PLAN
        | PROMOTER
        | {
            "": "TIME INFO SCRIPT_LOAD",
            "shadow": "HGETALL",
            "inbox": "XADD",
            "results": "XREVRANGE",
            "records": "HGET HMGET",
            "record order": "ZRANGEBYSCORE",
            "erasures": "XRANGE",
            "trainer lease": "EVALSHA GET SET HGET HMGET HSET DEL",
            "trainer request": "EVALSHA GET SET HGET HMGET HSET DEL",
            "trainer rollout": "EVALSHA GET SET HGET HMGET HSET DEL",
        },
    },
    "operator": {
        "frames": {
            "": "TIME INFO",
            "frames": "XLEN XINFO_GROUPS",
            "snapshot": "GET DEL",
            "crop": "GET DEL",
            "snapshots": "ZRANGEBYSCORE ZREM",
            "crops": "ZRANGEBYSCORE ZREM",
        },
        "state": PROMOTER
        | {
            "": "TIME INFO SCRIPT_LOAD",
            "layout": "GET HGET HMGET SET",
            "plan": "GET HGET HMGET EVALSHA HSET XADD XRANGE XREVRANGE",
            "plans": "HGET EVALSHA HSET XADD XRANGE XREVRANGE",
            "shadow": "HGETALL",
            "inbox": "XADD",
            "events": f"{LOG_READING} EVALSHA_RO",
            "site events": f"{LOG_READING} EVALSHA_RO",
            "cursor": f"{PLACE} HDEL DEL",
            "cursors": f"{PLACE} HDEL DEL",
            "records": f"{RECORD} HMGET",
            "record order": f"{RECORD} ZRANGEBYSCORE",
            "record news": f"{RECORD} HGETALL HLEN",
            "refusals": "HINCRBY HGETALL",
            "erasures": "XRANGE XADD",
            "looks": "XADD XLEN XREVRANGE",
            "owner": "HMGET",
            "site owner": "HMGET",
            "duty": "HMGET",
            "state": "HGET",
            "results": "XREAD XRANGE",
            "trainer lease": "GET HGET HMGET HSET",
            "trainer request": "GET HGET HMGET HSET",
            "trainer rollout": "GET HGET HMGET HSET",
        },
    },
    "guard": {
        "frames": {"": "ACL_LOG ACL_LOAD ACL_WHOAMI"},
        "state": {"": "ACL_LOG ACL_LOAD ACL_WHOAMI"},
    },
}

CLUSTER_WAY = "CLUSTER_SLOTS COMMAND COMMAND_COUNT COMMAND_DOCS COMMAND_GETKEYS COMMAND_INFO COMMAND_LIST ASKING"
"""What everybody but the guard may do on the nodes of a cluster, on top."""

NODES: dict[str, str] = {
    "replica": "PSYNC REPLCONF",
    "steward": (
        "INFO CLUSTER_INFO CLUSTER_NODES CLUSTER_SLOTS CLUSTER_SHARDS CLUSTER_MYID CLUSTER_KEYSLOT "
        "CLUSTER_COUNTKEYSINSLOT CLUSTER_ADDSLOTS CLUSTER_ADDSLOTSRANGE CLUSTER_SET-CONFIG-EPOCH CLUSTER_MEET "
        "CLUSTER_REPLICATE CLUSTER_FORGET CLUSTER_FAILOVER"
    ),
}
"""Who may do what on the nodes of a cluster, without any key."""

WATCHED: dict[str, str] = {
    "replica": "PSYNC REPLCONF",
    "sentinel": (
        "INFO MULTI EXEC SLAVEOF REPLICAOF CONFIG_REWRITE CLIENT_KILL CLIENT_SETNAME SCRIPT_KILL PUBLISH_HELLO "
        "SUBSCRIBE_HELLO"
    ),
}
"""Who may do what on servers that sentinels watch, without any key."""

SENTINELS: dict[str, str] = {
    **dict.fromkeys(INTENT, "SENTINEL_MASTERS"),
    "guard": "ACL_LOG ACL_LOAD ACL_WHOAMI",
    "sentinel": "SENTINEL_IS-MASTER-DOWN-BY-ADDR CLIENT_SETNAME PUBLISH_HELLO",
    "steward": "INFO SENTINEL_MASTERS SENTINEL_REPLICAS SENTINEL_SENTINELS SENTINEL_CKQUORUM SENTINEL_FAILOVER",
}
"""Who may do what on sentinels; they hold no keys."""
