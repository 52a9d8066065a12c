"""Signatures of webhooks by the Standard Webhooks convention (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from common.errors import ConfigError

SECRET_PREFIX = "whsec_"  # noqa: S105 - the convention's prefix, no secret
SHORTEST_KEY, LONGEST_KEY = 24, 64


def key_of(secret: str, named: str) -> bytes:
    """Read the key out of a ``whsec_…`` secret.

    Args:
        secret: The prefix, then base64 of 24 to 64 random bytes.
        named: What to call it in the complaint; the secret itself is never shown.

    Raises:
        ConfigError: It has another form.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ConfigError(
            f"{named}: must be {SECRET_PREFIX} and base64 of {SHORTEST_KEY} to {LONGEST_KEY} random bytes; "
            f'make one with: echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Give the ``webhook-signature`` header: one ``v1,…`` for each live key, parted by blanks."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def headers(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Give the three headers of the convention."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature(keys, message_id, timestamp_s, body),
    }
