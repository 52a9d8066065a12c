"""What the site stage knows, as it is stored on the broker: in parts, so that a commit writes what has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from common.errors import WireError
from common.events import sequence
from workers.site.crowd import Crowd
from workers.site.windows import Span, WindowSum

STATE_VERSION = 1
NEWS_REMEMBERED = 500


@dataclass(slots=True)
class SiteState:
    """Everything that is kept between two steps.

    Attributes:
        cursors: Name of a stream that is read → entry id up to which it was taken.
        sequences: Source → number of its next event.
        crowds: Rule and zone → its count.
        windows: Windows that are not yet told of.
        newest: The latest of them by the clock, or the last one there was.
        news: Ids of the last news, the oldest first.
    """

    cursors: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    crowds: dict[str, Crowd] = field(default_factory=dict)
    windows: dict[Span, WindowSum] = field(default_factory=dict)
    newest: Span | None = None
    news: list[str] = field(default_factory=list)

    def next_sequence(self, source: str) -> str:
        """Give a source's next event its number."""
        number = self.sequences.get(source, 0)
        self.sequences[source] = number + 1
        return sequence(number)

    def remember_news(self, news_id: str) -> None:
        """Note that news of this id became an event."""
        self.news.append(news_id)
        del self.news[:-NEWS_REMEMBERED]

    def to_parts(self) -> dict[str, bytes]:
        """Write the state, part by part."""
        parts: dict[str, Any] = {
            "version": STATE_VERSION,
            "cursors": self.cursors,
            "sequences": self.sequences,
            "crowds": {name: crowd.to_json() for name, crowd in self.crowds.items()},
            "windows": [[*span, *found.to_json()] for span, found in self.windows.items()],
            "newest": self.newest,
            "news": self.news,
        }
        return {name: json.dumps(part, separators=(",", ":")).encode() for name, part in parts.items()}

    @classmethod
    def from_parts(cls, parts: dict[str, bytes]) -> SiteState:
        """Read what `to_parts` wrote.

        Raises:
            WireError: Not a state of this version.
        """
        try:
            raw = {name: json.loads(part) for name, part in parts.items()}
            if raw["version"] != STATE_VERSION:
                raise WireError("version", f"site state: version {raw['version']}, known is {STATE_VERSION}")
            crowds = {name: Crowd.from_json(values) for name, values in raw["crowds"].items()}
            windows = {Span(start, minutes): WindowSum.from_json(rest) for start, minutes, *rest in raw["windows"]}
            newest = raw["newest"] and Span(*raw["newest"])
            return cls(raw["cursors"], raw["sequences"], crowds, windows, newest, raw["news"])
        except (ValueError, KeyError, TypeError) as error:
            raise WireError("schema", f"site state: {error!r}"[:200]) from error
