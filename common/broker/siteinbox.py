"""News for the site stage: what other roles have to say that belongs to no camera's judge.

    SiteInbox(client, keys).post(SiteNews("maskwatch.model.status.v1", event_id, "detector", "", time.time(), data))

The site stage makes one CloudEvent of each, checked, numbered and written once, and puts it into the site's event log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.broker.client import Client, call
from common.errors import WireError
from common.partition import Keys

INBOX_KEPT = 10_000
LONGEST_NEWS_BYTES = 64 << 10
_CAMERAS = "/cameras/"


@dataclass(frozen=True, slots=True)
class SiteNews:
    """Something that is to become an event of the site.

    Attributes:
        kind: CloudEvents type, such as ``maskwatch.model.status.v1``; only types that this version knows are written.
        id: Becomes the event's id. Derive it from what happened: news of an id that was seen lately are written once.
        subject: What the news is about.
        source: The event's source; empty for the site itself (``/sites/{site}``). Each source is numbered by itself;
            that of a camera belongs to its judge and is refused.
        at_s: When it happened, s since 1970.
        data: The event's data: a JSON object that fits the type's model.
        camera: Camera that it is about, for those who filter by camera; empty for none.
    """

    kind: str
    id: str
    subject: str
    source: str
    at_s: float
    data: Mapping[str, Any]
    camera: str = ""

    def to_bytes(self) -> bytes:
        """Write it as it is stored.

        Raises:
            ValueError: No JSON can be made of it, it is too long, or its source is a camera's.
        """
        if _CAMERAS in self.source:
            raise ValueError(f"news cannot have the source {self.source}: that of a camera is numbered by its judge")
        values = [self.kind, self.id, self.subject, self.source, self.at_s, dict(self.data), self.camera]
        raw = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
        if len(raw) > LONGEST_NEWS_BYTES:
            raise ValueError(f"news of {len(raw)} bytes; at most {LONGEST_NEWS_BYTES} are taken")
        return raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> SiteNews:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: It is something else.
        """
        try:
            kind, name, subject, source, at_s, data, camera = json.loads(raw)
        except (ValueError, TypeError) as error:
            raise WireError("schema", f"news: {error}"[:200]) from error
        texts = all(isinstance(text, str) for text in (kind, name, subject, source, camera))
        if not texts or not isinstance(data, dict) or not isinstance(at_s, int | float) or _CAMERAS in source:
            raise WireError("schema", "news: a field is not what it should be")
        return cls(kind, name, subject, source, float(at_s), data, camera)


class SiteInbox:
    """Takes news for the site stage (state endpoint)."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client."""
        self._client = client
        self._key = keys.site("in")

    def post(self, news: SiteNews) -> str:
        """Leave news for the site stage and give their entry id.

        Raises:
            ValueError: As `SiteNews.to_bytes`; nothing was written.
            BrokerUnavailableError: With ``in_doubt`` they may be there; to post them again under the same id is
                harmless.
            BrokerRefusedError: Nothing was written.
        """
        entry = call(self._client, "XADD", self._key, "MAXLEN", "~", INBOX_KEPT, "*", "n", news.to_bytes())
        return str(entry.decode())
