"""What a broker of several servers needs on top: clients that find their way, and servers that know one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from maskwatch.rights.grants import ENDPOINTS, PLACES, Endpoint, Grant, Place, Role

Form = Literal["single", "sentinel", "cluster"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Topology:
    """Of how many servers each endpoint is, and who names the primary."""

    frames: Form = "single"
    state: Form = "single"

    def of(self, endpoint: Endpoint) -> Form:
        """Give an endpoint's form."""
        return self.frames if endpoint == "frames" else self.state


SINGLE = Topology()
HELLO_CHANNEL = "__sentinel__:hello"
WATCHED = (
    Grant("see how a server fares", "info"),
    Grant("make it primary or replica, in one step", "multi exec slaveof replicaof config|rewrite client|kill"),
    Grant("end a script that hangs", "script|kill"),
    Grant("name its connections", "client|setname"),
    Grant("find other sentinels", "publish subscribe", channels=(HELLO_CHANNEL,)),
)
AMONG_SENTINELS = (
    Grant("agree that a primary is gone", "sentinel|is-master-down-by-addr"),
    Grant("name its connections", "client|setname"),
    Grant("tell of itself", "publish", channels=(HELLO_CHANNEL,)),
)
COPYING = (Grant("copy everything from its primary", "psync replconf"),)
FORMING = (
    Grant("see how a server fares", "info"),
    Grant(
        "form and mend a cluster",
        "cluster|addslots cluster|addslotsrange cluster|set-config-epoch cluster|meet cluster|replicate "
        "cluster|forget cluster|failover",
    ),
    Grant(
        "see a cluster",
        "cluster|info cluster|nodes cluster|slots cluster|shards cluster|myid cluster|keyslot cluster|countkeysinslot",
    ),
)
DIRECTING = (
    Grant("see what sentinels know", "info sentinel|masters sentinel|replicas sentinel|sentinels sentinel|ckquorum"),
    Grant("order a failover", "sentinel|failover"),
)

CLUSTER_WAY = Grant("find the nodes of a cluster, and keys that move", "cluster|slots command asking")
SENTINEL_WAY = Grant("which server is the primary", "sentinel|masters")

_KEEPER = "guard"
_SERVERS: tuple[tuple[Role, Form | None], ...] = (
    (Role("replica", "servers that copy another", COPYING, COPYING), None),
    (Role("sentinel", "sentinels", WATCHED, WATCHED, sentinels=AMONG_SENTINELS), "sentinel"),
    (Role("steward", "people who look after servers; no key", FORMING, FORMING, sentinels=DIRECTING), "cluster"),
)
"""Users that are no role of ours, and at which form each is needed on servers; None: at any but a single one."""


def fitted(roles: Iterable[Role], topology: Topology) -> list[Role]:
    """Give the roles what they need with this topology, and the servers users of their own.

    A role gets a user on the sentinels where they watch an endpoint at which it has one.
    """
    return [*(_fitted(role, topology) for role in roles), *server_roles(topology)]


def server_roles(topology: Topology) -> list[Role]:
    """Give the users that servers and those who look after them have; none where each endpoint is a single server."""
    made = []
    for role, form in _SERVERS:
        fits = {one: one != "single" if form is None else one == form for one in FORMS}
        frames, state = (role.on(one) if fits[topology.of(one)] else None for one in ENDPOINTS)
        one = replace(role, frames=frames, state=state, sentinels=role.sentinels if watched(topology) else None)
        made += [one] if any(one.on(place) is not None for place in PLACES) else []
    return made


def places(topology: Topology) -> tuple[Place, ...]:
    """Say which files of users there are."""
    return PLACES if watched(topology) else ENDPOINTS


def watched(topology: Topology) -> bool:
    """Say whether there are sentinels."""
    return "sentinel" in (topology.frames, topology.state)


def _fitted(role: Role, topology: Topology) -> Role:
    if role.name == _KEEPER:  # it goes to each server by itself, and looks for nobody
        return replace(role, sentinels=role.state) if watched(topology) else role
    found = {topology.of(endpoint) for endpoint in ENDPOINTS if role.on(endpoint) is not None}
    return replace(
        role,
        frames=_wider(role.frames, topology.frames),
        state=_wider(role.state, topology.state),
        sentinels=(SENTINEL_WAY,) if "sentinel" in found else None,
    )


def _wider(grants: tuple[Grant, ...] | None, form: Form) -> tuple[Grant, ...] | None:
    return grants if grants is None or form != "cluster" else (*grants, CLUSTER_WAY)
