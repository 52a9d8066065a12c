"""What an operator does about a broker that says no or cannot be reached; pure."""

from __future__ import annotations

_BY_CODE = {
    "wrongpass": "check the user in MASKWATCH_…_URL, and MASKWATCH_…_PASSWORD_FILE or MASKWATCH_…_PASSWORD",
    "noauth": "it asks for a password: name it in MASKWATCH_…_PASSWORD_FILE or MASKWATCH_…_PASSWORD",
    "noperm": "its user lacks a right: compare with the table of rights in docs/security.md",
    "oom": "its memory is full: see BrokerMemory in docs/alerts.md",
    "misconf": "it cannot write to its disk: make room there, it goes on by itself",
}
_BY_WORDS = (
    ("certificate has expired", "renew the server's certificate, or set this machine's clock right"),
    ("certificate is not yet valid", "set the clocks of both machines right, or wait"),
    ("not valid for", "use the name in the certificate, or give the server one for this name"),
    ("certificate verify failed", "name the server's authority: ?ssl_ca_certs=FILE in the URL"),
    ("certificate required", "name this client's certificate: ?ssl_certfile=FILE&ssl_keyfile=FILE in the URL"),
    ("wrong version number", "that port does not speak TLS: redis:// instead of rediss://, or another port"),
    ("refused", "is it running, and is MASKWATCH_…_URL right?"),
    ("not known", "no such host: is MASKWATCH_…_URL right?"),
    ("reset by peer", "does that port speak TLS? Then rediss:// instead of redis://"),
)


def remedy(code: str, words: str) -> str:
    """Say what to do, in a few words; empty where it passes by itself or nobody knows.

    Args:
        code: As in `common.errors.BrokerError`.
        words: What the client library said.
    """
    if code in _BY_CODE:
        return _BY_CODE[code]
    return next((advice for part, advice in _BY_WORDS if part in words.lower()), "")
