"""TLS to the broker: only the right server, proven by the right authority, gets to see a password."""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedPair
from common.errors import BrokerUnavailableError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the test's certificates")


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> Path:
    """Make a certificate authority and give its certificate."""
    openssl(
        folder,
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return folder / f"{name}.pem"


def make_server(folder: Path, name: str, subject: str, days: int = 2) -> None:
    """Make a server's key and certificate, signed by the authority ``ca``; it ran out if ``days`` is below 0."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=broker")
    (folder / f"{name}.ext").write_text(f"subjectAltName={subject}\nauthorityKeyIdentifier=keyid\n")
    authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", *authority, "-days", str(days)),
        *("-extfile", f"{name}.ext", "-out", f"{name}.pem"),
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a stranger's authority, servers with the right name, with a wrong one, and expired."""
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder, "ca")
    make_authority(folder, "stranger")
    make_server(folder, "right", "IP:127.0.0.1")
    make_server(folder, "wrong", "DNS:other.example")
    make_server(folder, "expired", "IP:127.0.0.1", days=-1)
    return folder


@contextmanager
def terminator(certificates: Path, name: str, upstream: str) -> Iterator[int]:
    """Put TLS in front of a broker and give the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    parts = urlsplit(upstream)
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = [listener]

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            raw.settimeout(5)
            try:
                near = context.wrap_socket(raw, server_side=True)
            except OSError:
                raw.close()
                continue
            far = socket.create_connection((parts.hostname, parts.port or 0))
            held.extend((near, far))
            threading.Thread(target=pass_on, args=(near, far), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for item in held:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        thread.join(5)


def pass_on(near: ssl.SSLSocket, far: socket.socket) -> None:
    """Carry bytes both ways until either side ends; one thread, because a TLS socket is not for two."""
    with suppress(OSError, ValueError):
        while True:
            readable = [near] if near.pending() else select.select([near, far], [], [], 5)[0]
            for source in readable:
                data = source.recv(65536)
                if not data:
                    return
                (far if source is near else near).sendall(data)


def tls_url(upstream: str, port: int, authority: Path) -> str:
    """Make the TLS form of a broker's URL."""
    return f"rediss://:{urlsplit(upstream).password}@127.0.0.1:{port}/0?ssl_ca_certs={authority}"


def test_tls_with_the_right_authority_and_name_works(broker_pair: EmbeddedPair, certificates: Path) -> None:
    with terminator(certificates, "right", broker_pair.state.url) as port:
        client = connect(tls_url(broker_pair.state.url, port, certificates / "ca.pem"))
        assert call(client, "PING") is True
        client.close()


@pytest.mark.parametrize(
    ("server", "authority"), [("right", "stranger.pem"), ("wrong", "ca.pem"), ("expired", "ca.pem")]
)
def test_tls_with_a_wrong_authority_or_name_or_an_expired_certificate_fails_before_the_password(
    broker_pair: EmbeddedPair, certificates: Path, server: str, authority: str
) -> None:
    """The handshake ends it; nothing was sent, so nothing is in doubt."""
    with terminator(certificates, server, broker_pair.state.url) as port:
        client = connect(tls_url(broker_pair.state.url, port, certificates / authority))
        with pytest.raises(BrokerUnavailableError, match=r"(?i)certificate") as caught:
            call(client, "PING")
        client.close()
    assert not caught.value.in_doubt


def test_plaintext_to_a_tls_port_fails(broker_pair: EmbeddedPair, certificates: Path) -> None:
    with terminator(certificates, "right", broker_pair.state.url) as port:
        client = connect(f"redis://127.0.0.1:{port}/0", timeout_s=2)
        with pytest.raises(BrokerUnavailableError):
            call(client, "PING")
        client.close()


def test_tls_to_a_plaintext_port_fails(broker_pair: EmbeddedPair, certificates: Path) -> None:
    """A downgrade does not happen by itself."""
    port = urlsplit(broker_pair.state.url).port or 0
    client = connect(tls_url(broker_pair.state.url, port, certificates / "ca.pem"), timeout_s=0.5)
    with pytest.raises(BrokerUnavailableError) as caught:
        call(client, "PING")
    client.close()
    assert not caught.value.in_doubt
