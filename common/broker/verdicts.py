"""Where people's verdicts are kept: for each partition a hash of records, their order in time, and news to be posted.

A record changes only where it is still the one that was read, and in the same step its news is noted, so that neither a
kill nor a second operator at the same moment loses a word or its event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from common.broker.client import Client, call, call_many
from common.broker.lag import broker_now_ms
from common.broker.scripts import Argument, Script
from common.broker.siteinbox import SiteNews
from common.errors import BrokerError
from common.feedback import FeedbackRecord
from common.partition import Keys

RECORDS_KEPT = 10_000
KEPT_DAYS = 90.0

_STORE = Script("""#!lua flags=allow-oom
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if held ~= ARGV[2] then return -1 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], string.format('%.3f', tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000), ARGV[1])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[6])
if over <= 0 then return 0 end
for _, subject in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do redis.call('HDEL', KEYS[1], subject) end
return redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
""")

_FORGET = Script("""#!lua flags=allow-oom
local gone = 0
for _, subject in ipairs(ARGV) do
  gone = gone + redis.call('HDEL', KEYS[1], subject)
  redis.call('ZREM', KEYS[2], subject)
end
return gone
""")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, and when it changed last, ms by the broker's clock."""

    record: FeedbackRecord
    changed_ms: int


class VerdictStore:
    """Keeps records (state endpoint): 10 000 a partition, for 90 days after their last change."""

    def __init__(self, client: Client, keys: Keys, kept: int = RECORDS_KEPT) -> None:
        """Use a command client; ``kept`` bounds each partition, the oldest go."""
        self._client = client
        self._keys = keys
        self._kept = kept

    def load(self, partition: int, subject: str) -> tuple[FeedbackRecord | None, bytes]:
        """Give a record and its bytes; None and no bytes where there is none."""
        raw = call(self._client, "HGET", self._keys.feedback(partition, "rec"), subject)
        return (_record(raw), raw) if raw else (None, b"")

    def store(self, partition: int, record: FeedbackRecord, was: bytes, news: SiteNews) -> bool:
        """Put a record in the place of the one whose bytes were ``was``, and note its news; False where another came.

        Raises:
            BrokerUnavailableError: With ``in_doubt`` it may be stored; to load and to try again is safe.
        """
        content = record.model_dump_json(exclude_defaults=True)
        arguments: list[Argument] = [record.subject, was, content, news.id, news.to_bytes(), self._kept]
        return int(_STORE.run(self._client, self._names(partition), arguments)) >= 0

    def pending(self, partition: int) -> list[SiteNews]:
        """Give the news that are still to be posted."""
        noted = call(self._client, "HGETALL", self._keys.feedback(partition, "out"))
        return [SiteNews.from_bytes(raw) for raw in noted.values()]

    def posted(self, partition: int, ids: Sequence[str]) -> None:
        """Forget news that were posted."""
        if ids:
            call(self._client, "HDEL", self._keys.feedback(partition, "out"), *ids)

    def changed(self, since_ms: int = 0, partition: int | None = None) -> list[StoredRecord]:
        """Give the records that changed at or after a time by the broker's clock, the oldest change first."""
        numbers = list(self._numbers(partition))
        commands: list[tuple[object, ...]] = [
            ("ZRANGEBYSCORE", self._keys.feedback(number, "time"), since_ms, "+inf", "WITHSCORES") for number in numbers
        ]
        named = {
            number: scored
            for number, answer in zip(numbers, self._all(commands), strict=True)
            if (scored := _scored(answer))
        }
        reads: list[tuple[object, ...]] = [
            ("HMGET", self._keys.feedback(number, "rec"), *[subject for subject, _ in scored])
            for number, scored in named.items()
        ]
        found = [
            StoredRecord(record, changed_ms)
            for scored, raws in zip(named.values(), self._all(reads), strict=True)
            for (_, changed_ms), raw in zip(scored, raws, strict=True)
            if raw and (record := _record(raw)) is not None
        ]
        return sorted(found, key=lambda one: one.changed_ms)

    def busy(self) -> list[int]:
        """Name the partitions in which something of other tools, or news, is waiting."""
        numbers = list(self._numbers(None))
        commands: list[tuple[object, ...]] = []
        for number in numbers:
            commands += [("XLEN", self._keys.feedback(number)), ("HLEN", self._keys.feedback(number, "out"))]
        counts = self._all(commands)
        return [number for place, number in enumerate(numbers) if any(counts[2 * place : 2 * place + 2])]

    def prune(self, days: float = KEPT_DAYS) -> int:
        """Remove records that have not changed for so many days; says how many."""
        end = broker_now_ms(self._client) - round(86_400_000 * days)
        gone = 0
        for number in self._numbers(None):
            order = self._keys.feedback(number, "time")
            old = call(self._client, "ZRANGEBYSCORE", order, "-inf", f"({end}", "LIMIT", 0, self._kept)
            gone += self.forget(number, [subject.decode() for subject in old])
        return gone

    def forget(self, partition: int, subjects: Sequence[str]) -> int:
        """Remove records and their news that were not posted yet; says how many records there were."""
        if not subjects:
            return 0
        waiting = [news.id for news in self.pending(partition) if news.subject in set(subjects)]
        self.posted(partition, waiting)
        gone = 0
        for start in range(0, len(subjects), 500):
            part = list(subjects[start : start + 500])
            gone += int(_FORGET.run(self._client, self._names(partition)[:2], part))
        return gone

    def _all(self, commands: list[tuple[object, ...]]) -> list[Any]:
        answers = call_many(self._client, commands) if commands else []
        for answer in answers:
            if isinstance(answer, BrokerError):
                raise answer
        return answers

    def _numbers(self, partition: int | None) -> Sequence[int]:
        return range(self._keys.partitions) if partition is None else [partition]

    def _names(self, partition: int) -> list[str]:
        return [self._keys.feedback(partition, part) for part in ("rec", "time", "out")]


def _record(raw: bytes) -> FeedbackRecord | None:
    try:
        return FeedbackRecord.model_validate_json(raw)
    except ValidationError:  # of a later version, or damaged: the others are still good
        return None


def _scored(answer: Sequence[Any]) -> list[tuple[bytes, int]]:
    """Bring names with scores, which one protocol gives flat and another in pairs, into one form."""
    flat = [part for item in answer for part in (item if isinstance(item, list | tuple) else (item,))]
    return [(name, int(float(score))) for name, score in zip(flat[::2], flat[1::2], strict=True)]
