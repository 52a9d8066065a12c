"""The table of rights as documentation shows it: ``python -m maskwatch.rights.page FILE`` puts it into a page."""

from __future__ import annotations

import sys
from pathlib import Path

from maskwatch.rights.grants import ENDPOINTS, EVERYBODY, Grant
from maskwatch.rights.roles import ROLES

BEGIN, END = "<!-- rights: made by `make rights` -->", "<!-- end of rights -->"


def table() -> str:
    """Write what each user may do: a row for each grant."""
    lines = [
        f"Everybody may {_commands(EVERYBODY)}. `mw:` stands for the prefix, `{{p*}}` for any partition.",
        "",
        "| user | broker | what for | commands | keys |",
        "|---|---|---|---|---|",
    ]
    for role in ROLES.values():
        for endpoint in ENDPOINTS:
            for grant in role.on(endpoint) or ():
                keys = " ".join(f"`{key}`" for key in grant.keys)
                access = {"R": "read ", "W": "write ", "RW": ""}[grant.access] if keys else ""
                row = (role.name, endpoint, grant.why, _commands(grant), f"{access}{keys}" or "–")
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


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
