"""The primary that Sentinel names: asks the sentinels, as a user of theirs where they have users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import redis
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError  # noqa: A004 - the library's own
from redis.sentinel import MasterNotFoundError, Sentinel

from common.errors import ConfigError

OPTIONS = ("sentinel_user", "sentinel_password_file")
"""What a broker URL may say of how to ask the sentinels."""


class Sentinels(Sentinel):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """Sentinels of which one that turns us away is told from one that does not answer."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Give host and port of a service's primary; the sentinel that knew it is asked first the next time.

        Raises:
            AuthenticationError: No sentinel names it, and at least one refuses our user or password.
            MasterNotFoundError: No sentinel answers, knows the service, or holds its primary for alive.
        """
        turned_away: AuthenticationError | None = None
        for at, sentinel in enumerate(self.sentinels):
            try:
                found = cast(Any, sentinel).sentinel_masters().get(service_name)
            except AuthenticationError as error:
                turned_away = error
            except (ConnectionError, TimeoutError):
                continue
            else:
                if found and cast(Any, self).check_master_state(found, service_name):
                    self.sentinels[0], self.sentinels[at] = sentinel, self.sentinels[0]
                    return found["ip"], found["port"]
        raise turned_away or MasterNotFoundError(f"no sentinel names a primary of {service_name!r}")


def primary_of(
    service: str, sentinels: Sequence[tuple[str, int]], asking: Mapping[str, Any], options: Mapping[str, Any]
) -> redis.Redis:
    """Make a client of a service's primary, which is looked for at its first command and after each loss of it.

    Args:
        service: The name that the sentinels know it by.
        sentinels: Their addresses.
        asking: Options of connections to them.
        options: Options of connections to the primary.
    """
    make: Any = Sentinels
    return cast(redis.Redis, make(sentinels, sentinel_kwargs=asking).master_for(service, **options))


def take_credentials(options: dict[str, Any]) -> dict[str, str]:
    """Take `OPTIONS` out of the options of a URL, and give those of connections to the sentinels.

    A user without a file has the servers' password. Without both, nothing is given: sentinels that have no users
    refuse any password.

    Raises:
        ConfigError: The file cannot be read.
    """
    user, file = (options.pop(name, None) for name in OPTIONS)
    found = {"username": user} if user else {}
    try:
        password = Path(file).read_text("utf-8").strip() if file else options.get("password") if user else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"broker URL: sentinel_password_file {file} cannot be read") from error
    return found | ({"password": password} if password else {})
