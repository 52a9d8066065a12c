"""Small pictures that live for seconds, or for hours where an event names them (frames endpoint, so never on disk).

Each picture is a plain key with a time-to-live: nothing has to run for it to go away. A sorted set for each partition
and kind holds the names by their end, so that pictures can be listed and counted without a scan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.broker.client import Client, call, call_many
from common.broker.lag import broker_now_ms
from common.errors import BrokerError
from common.partition import Keys
from common.pictures import PictureKind, PictureRef

MAX_BYTES = 64 << 10
MAX_TTL_MS = 168 * 3_600_000
PICTURES_KEPT = 2_000
_NAME = re.compile(rb"(pic|crop):([^:]+):(\d+):(\d+):(\d+)")


class NewPicture(NamedTuple):
    """A picture to be put.

    Attributes:
        ref: Its name.
        jpeg: JPEG bytes, at most 64 KiB.
        ttl_ms: How long it may live, ms; at most a week.
    """

    ref: PictureRef
    jpeg: bytes
    ttl_ms: int


class StoredPicture(NamedTuple):
    """A picture as it is listed.

    Attributes:
        ref: Its name.
        ends_ms: When it goes away, Unix ms by the broker's clock.
    """

    ref: PictureRef
    ends_ms: int


class PictureStore:
    """Puts, gives and extends pictures.

    The rights of a broker user say who may do what: a worker puts, an operator gets, nobody else sees any.
    """

    def __init__(self, client: Client, keys: Keys, kept: int = PICTURES_KEPT) -> None:
        """Use a command client of the frames endpoint; ``kept`` bounds the pictures of one partition and kind."""
        self._client = client
        self._keys = keys
        self._kept = kept

    def put(self, ref: PictureRef, jpeg: bytes, ttl_ms: int) -> bool:
        """Leave one picture; False where the partition holds as many as it may.

        Raises:
            ValueError: Not a JPEG, too large, or no time-to-live within limits; nothing was written.
            BrokerError: It may or may not be there; if it is, it goes away by itself.
        """
        (answer,) = self.put_many([NewPicture(ref, jpeg, ttl_ms)])
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    def put_many(self, pictures: Sequence[NewPicture]) -> list[bool | BrokerError]:
        """Leave pictures in one go; for each, in order: True, False where its partition is full, or the refusal.

        Several writers at once may exceed the bound by what each of them puts at a time.

        Raises:
            ValueError: As `put`.
            BrokerUnavailableError: As `put`.
        """
        for picture in pictures:
            _check(picture)
        if not pictures:
            return []
        now_ms = broker_now_ms(self._client)
        room = self._room({self._index(picture.ref) for picture in pictures}, now_ms)
        answers: list[bool | BrokerError] = []
        for picture in pictures:
            left = room[self._index(picture.ref)]
            if isinstance(left, BrokerError):
                answers.append(left)
                continue
            room[self._index(picture.ref)] = left - 1
            answers.append(left > 0)
        return self._write(pictures, answers, now_ms)

    def get(self, ref: PictureRef) -> bytes | None:
        """Give a picture's JPEG bytes; None where it is gone."""
        found: bytes | None = call(self._client, "GET", self._key(ref))
        return found

    def extend(self, ref: PictureRef, ttl_ms: int) -> bool:
        """Let a picture live for at least ``ttl_ms`` from now; False where it is gone. It never shortens a life."""
        ttl_ms = max(1, min(ttl_ms, MAX_TTL_MS))
        index = self._index(ref)
        ends_ms = broker_now_ms(self._client) + ttl_ms
        call(self._client, "PEXPIRE", self._key(ref), ttl_ms, "GT")
        if not call(self._client, "EXISTS", self._key(ref)):
            return False
        call_many(
            self._client,
            [("ZADD", index, "GT", ends_ms, _name(ref)), ("PEXPIRE", index, MAX_TTL_MS)],
        )
        return True

    def delete(self, ref: PictureRef) -> bool:
        """Remove a picture at once; False where it was gone."""
        gone = call(self._client, "DEL", self._key(ref))
        call(self._client, "ZREM", self._index(ref), _name(ref))
        return bool(gone)

    def refs(self, kind: PictureKind | None = None, camera: str | None = None) -> Iterator[StoredPicture]:
        """List the pictures that are there, partition by partition."""
        numbers = range(self._keys.partitions) if camera is None else [self._keys.partition_of(camera)]
        now_ms = broker_now_ms(self._client)
        kinds: tuple[PictureKind, ...] = ("snapshot", "crop") if kind is None else (kind,)
        for index in [self._keys.pictures(one, number) for number in numbers for one in kinds]:
            names = call(self._client, "ZRANGEBYSCORE", index, now_ms, "+inf", "WITHSCORES")
            for stored in _listed(names):
                if camera is None or stored.ref.camera == camera:
                    yield stored

    def _room(self, indices: set[str], now_ms: int) -> dict[str, int | BrokerError]:
        names = sorted(indices)
        commands: list[tuple[object, ...]] = []
        for index in names:
            commands += [("ZREMRANGEBYSCORE", index, "-inf", now_ms), ("ZCARD", index)]
        counts = call_many(self._client, commands)[1::2]
        return {
            index: count if isinstance(count, BrokerError) else self._kept - int(count)
            for index, count in zip(names, counts, strict=True)
        }

    def _write(
        self, pictures: Sequence[NewPicture], answers: list[bool | BrokerError], now_ms: int
    ) -> list[bool | BrokerError]:
        """Write those that have room, name first: a name without a picture goes away by itself, and is never shown."""
        chosen = [number for number, answer in enumerate(answers) if answer is True]
        commands: list[tuple[object, ...]] = []
        for number in chosen:
            ref, data, ttl_ms = pictures[number]
            commands += [
                ("ZADD", self._index(ref), now_ms + ttl_ms, _name(ref)),
                ("PEXPIRE", self._index(ref), MAX_TTL_MS),
                ("SET", self._key(ref), data, "PX", ttl_ms),
            ]
        replies = call_many(self._client, commands) if commands else []
        for place, number in enumerate(chosen):
            for reply in replies[3 * place : 3 * place + 3]:
                if isinstance(reply, BrokerError):
                    answers[number] = reply
        return answers

    def _index(self, ref: PictureRef) -> str:
        return self._keys.pictures(ref.kind, self._keys.partition_of(ref.camera))

    def _key(self, ref: PictureRef) -> str:
        return self._keys.picture(ref.kind, ref.camera, (ref.session, ref.seq, ref.face))


def is_jpeg(data: bytes) -> bool:
    """Say whether bytes start as every JPEG does."""
    return data[:3] == b"\xff\xd8\xff"


def _check(picture: NewPicture) -> None:
    if not is_jpeg(picture.jpeg):
        raise ValueError("a picture must be a JPEG")
    if len(picture.jpeg) > MAX_BYTES:
        raise ValueError(f"a picture of {len(picture.jpeg)} bytes; at most {MAX_BYTES}")
    if not 0 < picture.ttl_ms <= MAX_TTL_MS:
        raise ValueError(f"a picture for {picture.ttl_ms} ms; 1 to {MAX_TTL_MS}")


def _name(ref: PictureRef) -> str:
    short = "pic" if ref.kind == "snapshot" else "crop"
    return f"{short}:{ref.camera}:{ref.session}:{ref.seq}:{ref.face}"


def _listed(answer: Sequence[object]) -> Iterator[StoredPicture]:
    flat = [part for item in answer for part in (item if isinstance(item, list | tuple) else (item,))]
    for name, ends_ms in zip(flat[::2], flat[1::2], strict=True):
        match = _NAME.fullmatch(name) if isinstance(name, bytes) else None
        if match is not None:
            kind: PictureKind = "snapshot" if match[1] == b"pic" else "crop"
            ref = PictureRef(kind, match[2].decode(), *(int(match[number]) for number in (3, 4, 5)))
            yield StoredPicture(ref, round(float(str(ends_ms.decode() if isinstance(ends_ms, bytes) else ends_ms))))
