"""Files of model versions on the broker, named by their SHA-256, in chunks so that nobody else waits long."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from common.broker.client import Client, call
from common.broker.clusternodes import route
from common.broker.lag import broker_now_ms
from common.broker.models.scripts import CHUNK
from common.errors import BrokerRefusedError, VersionRefusedError
from common.partition import Keys

CHUNK_BYTES = 256 << 10  # measured: as fast as any larger one, and nobody else waits longer than 16 ms
MAX_FILE_BYTES = 64 << 20
ORPHAN_AGE_S = 3600
_OUR_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that lies on the broker but belongs to no version yet."""

    key: str
    sha256: str
    size: int


class ModelBlobs:
    """Writes, reads and forgets them (state endpoint)."""

    def __init__(self, client: Client, prefix: str) -> None:
        """Use a command client and the first part of the installation's keys."""
        self._client = client
        self._keys = Keys(prefix)
        self.uploads = self._keys.site("models:uploads")

    def key(self, sha256: str) -> str:
        """Name the key of a file."""
        return self._keys.site(f"models:blob:{sha256}")

    def check_sizes(self, files: Mapping[str, bytes]) -> None:
        """Refuse files that are too large for a broker.

        Raises:
            VersionRefusedError: ``size``; nothing was written.
        """
        for name, content in files.items():
            if len(content) > MAX_FILE_BYTES:
                words = f"{name}: {len(content)} bytes; the broker takes {MAX_FILE_BYTES}, a registry folder takes more"
                raise VersionRefusedError("size", words)

    def check_room(self, size: int) -> None:
        """Refuse a version that would take the last fifth of the memory limit: results and events need it.

        Raises:
            BrokerRefusedError: ``oom``; nothing was written.
        """
        memory = call(self._client, "INFO", "memory", **route(self._client, self.uploads))
        limit, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
        if limit and used + size > _OUR_SHARE * limit:
            words = f"{size} bytes more would leave the broker too little memory ({used} of {limit} are in use)"
            raise BrokerRefusedError("oom", f"{words}; retire versions, or keep them in a registry folder")

    def upload(self, content: bytes) -> Upload:
        """Lay a file down; it expires after an hour unless a version is published with it."""
        sha256 = hashlib.sha256(content).hexdigest()
        for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
            part = content[start : start + CHUNK_BYTES]
            CHUNK.run(self._client, [self.key(sha256), self.uploads], [number, part, ORPHAN_AGE_S, sha256])
        return Upload(self.key(sha256), sha256, len(content))

    def download(self, sha256: str, size: int) -> bytes:
        """Read a file.

        Raises:
            VersionRefusedError: It is not there as a whole, or larger than allowed; nobody has parsed it.
        """
        if not 0 < size <= MAX_FILE_BYTES:
            raise VersionRefusedError("size", f"a file of {size} bytes in the registry")
        parts = []
        for number in range(-(-size // CHUNK_BYTES)):
            part = call(self._client, "HGET", self.key(sha256), number)
            if part is None:
                raise VersionRefusedError("hash", f"file {sha256[:12]} of the version lacks part {number}")
            parts.append(part)
        return b"".join(parts)

    def sweep(self) -> int:
        """Forget uploads older than an hour that no version names; say how many younger ones there are."""
        now_s = broker_now_ms(self._client) / 1000
        younger = 0
        for raw, at in call(self._client, "HGETALL", self.uploads).items():
            sha256 = raw.decode()
            if now_s - int(at) <= ORPHAN_AGE_S:
                younger += 1
                continue
            if int(call(self._client, "TTL", self.key(sha256))) != -1:
                call(self._client, "UNLINK", self.key(sha256))
            call(self._client, "HDEL", self.uploads, sha256)
        return younger
