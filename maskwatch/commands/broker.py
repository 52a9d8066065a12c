"""``maskwatch broker acl | secrets``: users and passwords of the brokers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from maskwatch.rights import Role, Topology

app = typer.Typer(help="Users and passwords of the brokers.", no_args_is_help=True, rich_markup_mode=None)

_PREFIX = typer.Option("mw", "--prefix", help="First part of every key.")
_TOPOLOGY = typer.Option(
    None,
    "--topology",
    metavar="ENDPOINT=FORM",
    help="frames or state = single, sentinel or cluster; FORM alone means both; the folder remembers it.",
)
_GATEWAYS = typer.Option(
    None,
    "--gateway",
    metavar="NAME=CAMERA,…",
    help="One more producer, of these cameras only; may be repeated; the folder remembers it.",
)


@app.command()
def acl(
    endpoint: str = typer.Option(..., "--endpoint", help="frames, state or sentinels."),
    secrets: Path = typer.Option(..., "--secrets", help="Folder with a file for each user, that holds its password."),
    prefix: str = _PREFIX,
    gateway: list[str] = _GATEWAYS,
    topology: list[str] = _TOPOLOGY,
) -> None:
    """Print the file of users for a broker or for sentinels (`aclfile`): rights, and hashes of passwords."""
    from common.advice import nearest
    from common.errors import ConfigError
    from maskwatch.rights import PLACES, fitted
    from maskwatch.rights.secretfolder import acl_file
    from maskwatch.rights.topology import places

    form = _form(topology, secrets)
    known = next((one for one in PLACES if one == endpoint), None)
    if known is None:
        raise ConfigError(f"--endpoint {endpoint}: frames, state or sentinels{nearest(endpoint, PLACES)}")
    if known not in places(form):
        raise ConfigError("--endpoint sentinels: there are none; say which they watch: --topology state=sentinel")
    print(acl_file(fitted(_roles(gateway, secrets), form), known, secrets, _checked(prefix)), end="")


@app.command()
def secrets(
    folder: Path = typer.Argument(help="Folder to fill; what is there stays."),
    prefix: str = _PREFIX,
    gateway: list[str] = _GATEWAYS,
    topology: list[str] = _TOPOLOGY,
    mounted: bool = typer.Option(False, "--mounted", help="Files that containers of other users can read (0644)."),
    rotate: str = typer.Option("", "--rotate", metavar="USER", help="A new password; the one before stays valid."),
    retire: str = typer.Option("", "--retire", metavar="USER", help="The one before a rotation is valid no more."),
) -> None:
    """Make the passwords that are missing, and the files of users: `frames.acl`, `state.acl`, `sentinels.acl`."""
    from common.advice import nearest
    from common.errors import ConfigError
    from maskwatch.rights import fitted, secretfolder
    from maskwatch.rights.topology import places

    roles, form = _roles(gateway, folder), _form(topology, folder)
    names = [role.name for role in fitted(roles, form)]
    for asked, carry_out in ((rotate, secretfolder.rotate), (retire, secretfolder.retire)):
        if asked and asked not in names:
            raise ConfigError(f"there is no user '{asked}'{nearest(asked, names)}")
        if asked:
            carry_out(asked, folder)
    made = secretfolder.fill(roles, folder, _checked(prefix), form, mounted=mounted)
    written = ", ".join(f"{place}.acl" for place in places(form))
    print(f"{folder}: made {', '.join(made) or 'nothing new'}; written {written}")


def _roles(gateways: list[str] | None, folder: Path) -> list[Role]:
    """Give every user: those that always are, the gateways that the folder knows, and those named now."""
    from common.errors import ConfigError
    from maskwatch.rights import ROLES, gateway
    from maskwatch.rights.secretfolder import known_gateways

    named = known_gateways(folder)
    for text in gateways or []:
        name, _, cameras = text.partition("=")
        if not _fits(name) or not all(_fits(camera) for camera in cameras.split(",")):
            raise ConfigError(f"--gateway {text}: must be NAME=CAMERA,CAMERA,…, of lower-case letters, digits, _ -")
        named[name] = tuple(cameras.split(","))
    return [*ROLES.values(), *(gateway(name, cameras) for name, cameras in named.items())]


def _form(asked: list[str] | None, folder: Path) -> Topology:
    """Give the topology: what is asked for, else what the folder knows."""
    from dataclasses import replace

    from common.advice import nearest
    from common.errors import ConfigError
    from maskwatch.rights import ENDPOINTS, FORMS
    from maskwatch.rights.secretfolder import known_topology

    found = known_topology(folder)
    for text in asked or []:
        endpoint, _, wanted = text.rpartition("=")
        form = next((one for one in FORMS if one == wanted), None)
        if endpoint not in ("", *ENDPOINTS):
            raise ConfigError(f"--topology {text}: frames or state{nearest(endpoint, ENDPOINTS)}")
        if form is None:
            raise ConfigError(f"--topology {text}: single, sentinel or cluster{nearest(wanted, FORMS)}")
        found = replace(found, **dict.fromkeys([endpoint] if endpoint else ENDPOINTS, form))
    return found


def _fits(name: str) -> bool:
    import re

    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name) is not None


def _checked(prefix: str) -> str:
    from common.settings import ServiceSettings, load

    return load(ServiceSettings, prefix=prefix).prefix
