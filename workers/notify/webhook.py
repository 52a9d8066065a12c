"""One signed POST for each event: to a checked address, within a deadline, believing nothing that comes back."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, unquote

from common.errors import ConfigError
from common.lifecycle import Deadline
from common.settings import read_secret
from common.subscription import Event
from common.trace import read_trace
from workers.notify.addresses import RefusedAddressError, resolve
from workers.notify.outcome import Outcome
from workers.notify.receivers import Webhook, check_url, is_reference
from workers.notify.signing import headers, key_of

CONTENT_TYPE = "application/cloudevents+json"
BODY_CAP_BYTES = 64 << 10


class WebhookSender:
    """Calls one webhook. `send` is for one thread; a connection is made for each attempt."""

    def __init__(self, webhook: Webhook, url: SplitResult, keys: Sequence[bytes]) -> None:
        """Take a checked URL and one or two keys; most callers want `open_webhook`."""
        self._webhook, self._url, self._keys = webhook, url, keys
        self.secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self.secure else 80)
        self._tls = ssl.create_default_context(cafile=webhook.ca_file) if self.secure else None
        self._lock = threading.Lock()
        self._cutter: socket.socket | None = None
        self._cut = False

    @property
    def place(self) -> str:
        """Host and port, for logs: the rest of a URL may hold secrets."""
        return f"{self._host}:{self._port}"

    def send(self, event: Event, now: float) -> Outcome:
        """Try once; every failure becomes an outcome."""
        deadline = Deadline.after(self._webhook.timeout_s)
        self._cut = False
        try:
            with self._connected(deadline) as connection:
                connection.request("POST", self._target(), body=event.raw, headers=self._headers(event, now))
                response = connection.getresponse()
                # A connection that was cut looks like the end of the headers.
                return Outcome.TIMEOUT if self._cut else self._judged(response)
        except RefusedAddressError:
            return Outcome.REFUSED_ADDRESS
        except ssl.SSLError:
            return Outcome.TIMEOUT if self._cut else Outcome.TLS
        except TimeoutError:
            return Outcome.TIMEOUT
        except OSError:
            return Outcome.TIMEOUT if self._cut else Outcome.UNREACHABLE
        except HTTPException:
            return Outcome.TIMEOUT if self._cut else Outcome.HTTP_ERROR

    def cancel(self) -> None:
        """Break the connection of an attempt that is under way."""
        with self._lock:
            self._cut = True
            if self._cutter is not None:
                with suppress(OSError):
                    self._cutter.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing is held between attempts."""

    @contextmanager
    def _connected(self, deadline: Deadline) -> Iterator[HTTPConnection]:
        """Connect to a checked address by number; the name is only for the certificate and the Host header."""
        plain = self._plain_socket(deadline)
        with self._lock:
            self._cutter = plain.dup()  # works beside TLS, and while another thread is inside a read
        timer = threading.Timer(deadline.left_s(), self.cancel)
        timer.daemon = True
        timer.start()
        connection = self._connection()
        try:
            connection.sock = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
            yield connection
        finally:
            timer.cancel()
            connection.close()
            plain.close()
            with self._lock:
                self._cutter.close()
                self._cutter = None

    def _plain_socket(self, deadline: Deadline) -> socket.socket:
        addresses = resolve(self._host, self._port, allow_private=self._webhook.allow_private)
        failure: OSError = OSError("no address")
        for address in addresses:
            if deadline.spent():
                raise TimeoutError
            try:
                return socket.create_connection((address, self._port), timeout=deadline.left_s())
            except OSError as error:
                failure = error
        raise failure

    def _connection(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port)
        return HTTPSConnection(self._host, self._port, context=self._tls)

    def _target(self) -> str:
        return (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")

    def _headers(self, event: Event, now: float) -> dict[str, str]:
        made = {"Content-Type": CONTENT_TYPE, "User-Agent": "maskwatch", "Connection": "close"}
        if self._url.username is not None:
            pair = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            made["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        trace = read_trace(event.body.get("traceparent"))
        if trace is not None and trace.sampled:  # "unsampled" would tell the receiver not to record its part either
            made["traceparent"] = trace.text()
        return made | headers(self._keys, event.id, int(now), event.raw)

    def _judged(self, response: HTTPResponse) -> Outcome:
        with suppress(OSError, HTTPException):  # the answer is known; what follows is only read so as to be polite
            response.read(BODY_CAP_BYTES)
        if 200 <= response.status < 300:
            return Outcome.DELIVERED
        if response.status == 410:
            return Outcome.GONE
        return Outcome.REDIRECT if 300 <= response.status < 400 else Outcome.HTTP_ERROR


def open_webhook(webhook: Webhook, named: str) -> WebhookSender:
    """Fetch URL and secrets from where they are kept, and check them.

    Raises:
        ConfigError: One is missing or cannot be used; ``named`` says whose it is.
    """
    url = read_secret(webhook.url, f"{named}.url").get_secret_value() if is_reference(webhook.url) else webhook.url
    try:
        parts = check_url(url, allow_private=webhook.allow_private)
        keys = [
            key_of(read_secret(secret, f"{named}.secrets[{index}]").get_secret_value(), f"{named}.secrets[{index}]")
            for index, secret in enumerate(webhook.secrets)
        ]
        return WebhookSender(webhook, parts, keys)
    except ValueError as error:
        raise ConfigError(f"{named}.{error}") from None
    except OSError as error:
        raise ConfigError(f"{named}.ca_file: cannot be used: {error.strerror}") from error
