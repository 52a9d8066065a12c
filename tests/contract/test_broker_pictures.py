"""What holds of small pictures on the frames broker, with each kind of server."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.frames.pictures import MAX_BYTES, MAX_TTL_MS, NewPicture, PictureStore
from common.errors import BrokerError, BrokerRefusedError
from common.pictures import PictureKind, PictureRef, drawn
from tests.brokers import Brokers, fresh_keys
from tests.waiting import until

JPEG = b"\xff\xd8\xff\xe0 small picture \xff\xd9"


def ref(camera: str = "gate-1", face: int = 0, kind: PictureKind = "snapshot") -> PictureRef:
    return PictureRef(kind, camera, 1_700_000_000_000, 41, face)


def test_a_picture_comes_back_as_it_was_put_and_only_under_its_own_name(any_brokers: Brokers) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys)
    assert store.put(ref(), JPEG, 30_000)
    assert store.get(ref()) == JPEG
    assert [store.get(other) for other in (ref(face=1), ref("gate-2"), ref(kind="crop"))] == [None, None, None]
    key = f"{any_brokers.keys.prefix}:{{p{any_brokers.keys.partition_of('gate-1'):02d}}}:pic:gate-1:1700000000000:41:0"
    assert call(any_brokers.frames, "EXISTS", key) == 1


def test_a_picture_goes_away_by_itself(any_brokers: Brokers) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys)
    store.put(ref(), JPEG, 60)
    until(lambda: store.get(ref()) is None, 3.0)
    assert list(store.refs()) == []
    assert store.extend(ref(), 60_000) is False, "what is gone is not brought back"


def test_an_extended_picture_lives_longer_and_no_extension_shortens(any_brokers: Brokers) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys)
    store.put(ref(), JPEG, 5_000)
    assert store.extend(ref(), 3_600_000)
    assert store.extend(ref(), 10)
    key = any_brokers.keys.picture("snapshot", "gate-1", (1_700_000_000_000, 41, 0))
    assert call(any_brokers.frames, "PTTL", key) > 3_590_000
    (listed,) = store.refs()
    now_ms = int(call(any_brokers.frames, "TIME")[0]) * 1000
    assert abs(listed.ends_ms - now_ms - 3_600_000) < 5_000


def test_pictures_are_listed_by_kind_and_camera_and_are_gone_once_deleted(any_brokers: Brokers) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys)
    for one in (ref(), ref(kind="crop"), ref("gate-2")):
        store.put(one, JPEG, 30_000)
    assert {one.ref for one in store.refs()} == {ref(), ref(kind="crop"), ref("gate-2")}
    assert [one.ref for one in store.refs(kind="crop")] == [ref(kind="crop")]
    assert [one.ref for one in store.refs(camera="gate-2")] == [ref("gate-2")]
    assert store.delete(ref())
    assert not store.delete(ref())
    assert store.get(ref()) is None
    assert {one.ref for one in store.refs()} == {ref(kind="crop"), ref("gate-2")}


def test_a_full_partition_takes_no_more_and_takes_again_once_some_have_ended(any_brokers: Brokers) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys, kept=3)
    answers = store.put_many([NewPicture(ref(face=face), JPEG, 150) for face in range(5)])
    assert answers == [True, True, True, False, False]
    assert store.get(ref(face=3)) is None
    until(lambda: store.put(ref(face=9), JPEG, 30_000), 3.0)


@pytest.mark.parametrize(
    ("data", "ttl_ms"),
    [(b"\x89PNG....", 1000), (JPEG + b"." * MAX_BYTES, 1000), (JPEG, 0), (JPEG, MAX_TTL_MS + 1)],
    ids=["no-jpeg", "too-large", "no-end", "too-long"],
)
def test_what_is_no_small_jpeg_with_an_end_is_never_written(any_brokers: Brokers, data: bytes, ttl_ms: int) -> None:
    store = PictureStore(any_brokers.frames, any_brokers.keys)
    with pytest.raises(ValueError, match="a picture"):
        store.put(ref(), data, ttl_ms)
    assert store.get(ref()) is None


def test_a_broker_without_memory_refuses_a_picture_for_certain(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, persist=False, name="small", maxmemory_bytes=1 << 20) as broker:
        client = connect(broker.url)
        store = PictureStore(client, fresh_keys())
        answers = store.put_many([NewPicture(ref(face=face), JPEG + b"." * 60_000, 60_000) for face in range(40)])
        refused = [answer for answer in answers if isinstance(answer, BrokerError)]
        assert refused
        assert all(isinstance(one, BrokerRefusedError) and one.code == "oom" for one in refused)
        with pytest.raises(BrokerRefusedError):
            store.put(ref("gate-7"), JPEG + b"." * 60_000, 60_000)
        client.close()


def test_a_picture_name_survives_its_uri() -> None:
    for one in (ref(), ref("a.b_c-9", 12, "crop")):
        assert PictureRef.of_uri(one.uri) == one
    assert ref().uri == "maskwatch:snapshot/gate-1/1700000000000/41/0"
    for wrong in ("maskwatch:frame/gate-1/1/2/3", "maskwatch:snapshot/../1/2/3", "http://x/", ref().uri + "/4"):
        with pytest.raises(ValueError, match="names no picture"):
            PictureRef.of_uri(wrong)


def test_the_draw_is_repeatable_and_about_as_large_as_asked() -> None:
    names = [PictureRef("crop", "gate-1", 7, seq, face) for seq in range(2500) for face in range(4)]
    chosen = [name for name in names if drawn(name, 0.05)]
    assert 400 < len(chosen) < 600
    assert chosen == [name for name in names if drawn(name, 0.05)]
    assert {drawn(name, 0.0) for name in names} == {False}
    assert {drawn(name, 1.0) for name in names} == {True}
    assert [drawn(name._replace(kind="snapshot"), 0.05) for name in names] == [drawn(name, 0.05) for name in names]
