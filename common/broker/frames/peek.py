"""A look at one frame that was already worked on, for a page on the same machine; never a way to store frames."""

from __future__ import annotations

from common.broker.client import Client, call
from common.partition import Keys


class FramePeek:
    """Fetches the JPEG of a frame by its entry id while the frames broker still holds it."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client of the frames endpoint."""
        self._client = client
        self._keys = keys

    def jpeg(self, camera: str, frame_id: str) -> bytes | None:
        """Give the frame's JPEG bytes, or None where it is trimmed already."""
        found = call(self._client, "XRANGE", self._keys.frames(camera), frame_id, frame_id)
        if not found:
            return None
        fields = found[0][1]
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        return dict(pairs).get(b"jpeg")
