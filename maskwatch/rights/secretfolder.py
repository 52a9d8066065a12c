"""A folder of random passwords, one file for each broker user, and what is made of them: ACL files with hashes only."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from common.errors import ConfigError
from maskwatch.rights.grants import ENDPOINTS, PLACES, Place, Role, rules
from maskwatch.rights.topology import FORMS, SINGLE, Form, Topology, fitted, places

PASSWORD_BYTES = 32
GATEWAYS = "gateways"
"""The file that remembers which gateways there are, a line ``NAME=CAMERA,CAMERA`` each."""
TOPOLOGY = "topology"
"""The file that remembers of how many servers each endpoint is, a line ``ENDPOINT=FORM`` each."""
FORMER = ".former"
"""What the file of the password before a rotation ends in; both let a user in."""

RECEIVERS = """\
# Who is told of events: docs/delivery.md. Secrets are named here, never written.
receivers: []
# - name: control-room
#   webhook:
#     url: https://hooks.example/maskwatch
#     secrets: [file:/run/secrets/control_room]
#   types: [violation]
"""


def acl_file(roles: Iterable[Role], place: Place, folder: Path, prefix: str) -> str:
    """Write the file of users that a broker or a sentinel reads at its start (``aclfile``).

    Args:
        roles: The users, `fitted` to the topology.
        place: What it is for.
        folder: Holds a file with the password of each.
        prefix: First part of the installation's keys.

    Returns:
        One line for each user, with SHA-256 hashes of passwords; ``default`` is off.

    Raises:
        ConfigError: A password is missing, empty, or readable by others.
    """
    lines = ["user default reset off"]
    for role in roles:
        rights = rules(role, place, prefix)
        if rights:
            hashes = [f"#{hashlib.sha256(one.encode()).hexdigest()}" for one in _passwords(folder, role.name)]
            lines.append(" ".join([f"user {role.name} reset on", *hashes, *rights]))
    return "\n".join(lines) + "\n"


def fill(
    roles: Iterable[Role], folder: Path, prefix: str, topology: Topology = SINGLE, *, mounted: bool = False
) -> list[str]:
    """Make what is missing in a folder of secrets, and all ACL files anew; give the names of what was made.

    Passwords that are there stay. Only its owner can enter the folder (0700).

    Args:
        roles: The users but for those that the topology brings.
        folder: Made where it is not there.
        prefix: First part of the installation's keys.
        topology: Of how many servers each endpoint is; remembered for `known_topology`.
        mounted: The files are mounted into containers, whose users are others: 0644 instead of 0600. On this machine
            the folder still keeps everybody else out.

    Raises:
        ConfigError: The folder or a file in it cannot be used.
    """
    roles = fitted(roles, topology)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        made = [name for name in [*(role.name for role in roles), "grafana"] if _made(folder / name, _password())]
        made += [name for name in ("receivers.yaml",) if _made(folder / name, RECEIVERS)]
        gateways = [
            f"{role.name.removeprefix('producer-')}={','.join(role.cameras)}\n" for role in roles if role.cameras
        ]
        if gateways:
            _write(folder / GATEWAYS, "".join(gateways))
        _write(folder / TOPOLOGY, "".join(f"{endpoint}={topology.of(endpoint)}\n" for endpoint in ENDPOINTS))
        for place in PLACES:
            path = folder / f"{place}.acl"
            if place in places(topology):
                _write(path, acl_file(roles, place, folder, prefix))
            else:
                path.unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.is_file():
                path.chmod(0o644 if mounted else 0o600)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be used: {error.strerror}") from error
    return made


def known_gateways(folder: Path) -> dict[str, tuple[str, ...]]:
    """Give the gateways for which `fill` has made users there: name to cameras."""
    try:
        lines = (folder / GATEWAYS).read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {name: tuple(cameras.split(",")) for name, _, cameras in (line.partition("=") for line in lines) if name}


def known_topology(folder: Path) -> Topology:
    """Give the topology for which `fill` has made users there; single servers where it has not."""
    try:
        lines = (folder / TOPOLOGY).read_text("utf-8").splitlines()
    except OSError:
        return SINGLE
    named = dict(line.partition("=")[::2] for line in lines)
    forms: list[Form] = [next((form for form in FORMS if form == named.get(name)), "single") for name in ENDPOINTS]
    return Topology(*forms)


def rotate(name: str, folder: Path) -> None:
    """Give a user a new password; the one before it stays valid until `retire`.

    Raises:
        ConfigError: It has none yet, or a former one that is still valid.
    """
    path, former = folder / name, folder / (name + FORMER)
    if former.exists():
        raise ConfigError(f"{former}: the password before is still valid; retire it first")
    current = _passwords(folder, name)[0]
    _write(former, current + "\n")
    _write(path, _password())


def retire(name: str, folder: Path) -> None:
    """Let the password from before a rotation count no more.

    Raises:
        ConfigError: There is none.
    """
    try:
        (folder / (name + FORMER)).unlink()
    except OSError as error:
        raise ConfigError(f"{folder / (name + FORMER)}: {error.strerror}") from error


def _passwords(folder: Path, name: str) -> list[str]:
    found = []
    for path in (folder / name, folder / (name + FORMER)):
        if path.name.endswith(FORMER) and not path.exists():
            continue
        try:
            if path.stat().st_mode & 0o004 and folder.stat().st_mode & 0o001:
                raise ConfigError(f"{path}: everybody on this machine can read it; chmod 700 {folder}")
            found.append(path.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no password to read; make them: maskwatch broker secrets {folder}") from error
        if not found[-1]:
            raise ConfigError(f"{path}: is empty")
    return found


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES) + "\n"


def _made(path: Path, content: str) -> bool:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _write(path: Path, content: str) -> None:
    """Put a file in place as a whole."""
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    part.replace(path)
