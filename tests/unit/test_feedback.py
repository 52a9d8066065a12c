"""What people may say of an alarm, and what it comes to when they disagree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import FeedbackRefusedError
from common.feedback import (
    MAX_OPERATORS,
    FeedbackEntry,
    FeedbackRecord,
    GivenLabel,
    check_entry,
    check_event_id,
    moment_of,
    record_of,
)

NOW_S = 1_790_000_200.0
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "examples"


def an_event(kind: str = "violation.started") -> dict[str, object]:
    return dict(json.loads((EXAMPLES / f"maskwatch.{kind}.v1.json").read_text("utf-8")))


def a_record() -> FeedbackRecord:
    return record_of(an_event())


def said(label: str, by: str = "ana", at: float = NOW_S, *, final: bool = False) -> GivenLabel:
    return GivenLabel.model_validate({"label": label, "by": by, "at": at, "final": final})


def an_entry(**changes: object) -> FeedbackEntry:
    values: dict[str, object] = {"about": "413bbb00", "label": "mask", "by": "ana"}
    return FeedbackEntry(**(values | changes))  # type: ignore[arg-type]


def test_one_word_settles_an_alarm() -> None:
    record = a_record().heard(said("mask"))

    assert (record.state, record.outcome, record.right) == ("settled", "mask", False)
    assert a_record().heard(said("no_mask")).right is True  # a violation, though the event said worn wrongly


def test_people_who_contradict_one_another_leave_it_contested_and_undecided() -> None:
    record = a_record().heard(said("mask", "ana")).heard(said("incorrect", "ben"))

    assert (record.state, record.outcome, record.right) == ("contested", None, None)
    assert record.heard(said("mask", "eve")).outcome == "mask"
    assert record.heard(said("mask", "eve")).state == "contested"


def test_a_person_who_changes_their_mind_is_counted_once() -> None:
    record = a_record().heard(said("mask", "ana")).heard(said("incorrect", "ben"))

    record = record.heard(said("mask", "ben", NOW_S + 5))

    assert (record.state, record.outcome, len(record.given)) == ("settled", "mask", 2)


def test_an_older_word_that_arrives_late_changes_nothing() -> None:
    record = a_record().heard(said("mask", "ana", NOW_S))

    assert record.heard(said("incorrect", "ana", NOW_S - 10)) is record
    assert record.heard(said("mask", "ana", NOW_S)) is record


def test_a_final_word_stands_against_the_others_until_the_next_final_one() -> None:
    record = a_record().heard(said("mask", "ana")).heard(said("incorrect", "ben"))

    record = record.heard(said("not_a_face", "chief", NOW_S + 1, final=True))
    assert (record.state, record.outcome) == ("settled", "not_a_face")
    assert record.heard(said("mask", "dan", NOW_S + 2, final=True)).outcome == "mask"


def test_the_order_of_arrival_does_not_matter() -> None:
    words = [said("mask", "ana", 1), said("incorrect", "ben", 2), said("mask", "eve", 3), said("mask", "ben", 4)]
    there, back = a_record(), a_record()
    for one in words:
        there = there.heard(one)
    for one in reversed(words):
        back = back.heard(one)

    assert there == back


def test_a_record_holds_no_endless_crowd() -> None:
    record = a_record()
    for number in range(MAX_OPERATORS):
        record = record.heard(said("mask", f"p{number}"))

    with pytest.raises(FeedbackRefusedError, match="no more are kept") as caught:
        record.heard(said("mask", "one more"))
    assert caught.value.reason == "operators"
    assert record.heard(said("incorrect", "p0", NOW_S + 1)).given[-1].label == "incorrect"


def test_the_event_says_what_stood_before() -> None:
    before = a_record().heard(said("incorrect", "ben"))
    word = said("mask", "ana", NOW_S + 1)

    data = before.heard(word).told(word, before.given)

    assert (data.agreed, data.right, data.state, data.outcome) == (False, False, "contested", None)
    assert [(past.label, past.by) for past in data.previous] == [("incorrect", "ben")]
    assert data.verdict == "incorrect"


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"label": "no-mask"}, "label", "did you mean 'no_mask'"),
        ({"label": ""}, "label", "valid names: incorrect, mask, no_mask, not_a_face"),
        ({"by": ""}, "by", "1 to 64 printable"),
        ({"by": "a\nb"}, "by", "1 to 64 printable"),
        ({"by": "x" * 65}, "by", "1 to 64 printable"),
        ({"at": "yesterday"}, "at", "write it as 2026-09-21T14:13:20Z"),
        ({"at": "2030-01-01T00:00:00Z"}, "at", "lies in the future"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(changes: dict[str, object], reason: str, words: str) -> None:
    with pytest.raises(FeedbackRefusedError, match=words) as caught:
        check_entry(an_entry(**changes), NOW_S)
    assert caught.value.reason == reason


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment_of("2026-09-21T14:13:20") == moment_of("2026-09-21T16:13:20+02:00")


@pytest.mark.parametrize("text", ["", "short", "gate-1 yesterday", "maskwatch:crop/x", "z" * 36, "a" * 37, "../../etc"])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(FeedbackRefusedError, match="no event id"):
        check_event_id(text)


def test_only_violations_can_be_judged() -> None:
    with pytest.raises(FeedbackRefusedError, match=r"that is a camera\.status event; only violations"):
        record_of(an_event("camera.status"))
    broken = an_event()
    del broken["data"]["camera"]  # type: ignore[attr-defined]
    with pytest.raises(FeedbackRefusedError, match="cannot be read"):
        record_of(broken)


def test_the_crop_of_an_event_goes_into_its_record() -> None:
    event = an_event()
    event["data"]["crop"] = {"uri": "maskwatch:crop/gate-1/1790000000000/3/0"}  # type: ignore[index]

    assert record_of(event).picture == "maskwatch:crop/gate-1/1790000000000/3/0"
    event["data"]["crop"] = {"uri": "https://elsewhere/1.jpg"}  # type: ignore[index]
    assert record_of(event).picture is None
