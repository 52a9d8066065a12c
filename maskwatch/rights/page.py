"""The table of rights as documentation shows it: ``python -m maskwatch.rights.page FILE`` puts it into a page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from maskwatch.rights.grants import EVERYBODY, PLACES, Grant, Place, Role
from maskwatch.rights.roles import ROLES
from maskwatch.rights.topology import CLUSTER_WAY, SENTINEL_WAY, Topology, fitted, server_roles

BEGIN, END = "<!-- rights: made by `make rights` -->", "<!-- end of rights -->"


def table() -> str:
    """Write what each user may do: a row for each grant, and what a cluster or sentinels ask for on top."""
    lines = [
        f"Everybody may {_commands(EVERYBODY)}. `mw:` stands for the prefix, `{{p*}}` for any partition.",
        "",
        "| user | broker | what for | commands | keys |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(role.name, place, grant) for role in ROLES.values() for place, grant in _granted(role)]
    return "\n".join([*lines, "", *_several_servers()])


def _several_servers() -> Iterator[str]:
    yield "Where an endpoint is a Cluster, or sentinels watch it, these come on top. Sentinels have users of their own."
    yield ""
    yield "| user | where | what for | commands | keys |"
    yield "|---|---|---|---|---|"
    keeper = fitted([ROLES["guard"]], Topology(state="sentinel"))[0]
    yield _row("every one above but guard", "nodes of a cluster", CLUSTER_WAY)
    yield _row("every one above but guard", "sentinels", SENTINEL_WAY)
    yield from (_row("guard", "sentinels", grant) for grant in keeper.on("sentinels") or ())
    shown = ((Topology(state="sentinel"), "watched servers"), (Topology(state="cluster"), "nodes of a cluster"))
    for topology, where in shown:
        for role in server_roles(topology):
            for place, grant in _granted(role):
                yield _row(role.name, where if place == "state" else place, grant)


def _granted(role: Role) -> Iterator[tuple[Place, Grant]]:
    yield from ((place, grant) for place in PLACES for grant in role.on(place) or ())


def _row(user: str, where: str, grant: Grant) -> str:
    keys = " ".join(f"`{key}`" for key in grant.keys)
    access = {"R": "read ", "W": "write ", "RW": ""}[grant.access] if keys else ""
    channels = " ".join(f"channel `{name}`" for name in grant.channels)
    return f"| {' | '.join((user, where, grant.why, _commands(grant), f'{access}{keys}' or channels or '–'))} |"


def put_into(text: str) -> str:
    """Replace what stands between the two marks.

    Raises:
        ValueError: The page has no such marks.
    """
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page lacks {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _commands(grant: Grant) -> str:
    return " ".join(f"`{name}`".replace("|", "\\|") for name in grant.commands.split())


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(put_into(page.read_text("utf-8")), "utf-8")
