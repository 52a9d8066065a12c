"""Which faces are pictured: what the plan allows, those that may be violations, a bounded number a second."""

from __future__ import annotations

from common.pictures import CANDIDATE_S, NO_PICTURES, PictureRef, PictureRules, drawn
from common.schema import FaceReading
from workers.infer.pictures.choosing import BURST, PICTURES_A_SECOND, Allowance, Chooser

NAME = PictureRef("snapshot", "gate-1", 1, 7, 0)
SIZE = (1280, 720)
SNAPSHOTS = PictureRules(snapshots=True, snapshot_s=3600)
CROPS = PictureRules(crops=True, crop_s=7200)
COVERED, OPEN, UNSURE = (0.96, 0.03, 0.01), (0.02, 0.96, 0.02), (0.5, 0.3, 0.2)


def face(probabilities: tuple[float, float, float], x: float = 0.5, width: float = 0.1) -> FaceReading:
    return FaceReading(box=(x, 0.3, x + width, 0.3 + 1.8 * width), score=0.9, probabilities=probabilities)


def chosen(
    rules: PictureRules, *faces: FaceReading, chooser: Chooser | None = None, now: float = 0.0, seq: int = 7
) -> list[tuple[int, bool, float]]:
    found = (chooser or Chooser()).choose(rules, NAME._replace(seq=seq), (faces, SIZE), Allowance(now))
    return [(wanted.ref.face, wanted.snapshot, wanted.crop_s) for wanted in found]


def test_nothing_is_pictured_unless_the_plan_asks_for_it() -> None:
    assert chosen(NO_PICTURES, face(OPEN), face(UNSURE)) == []


def test_a_clearly_covered_face_is_never_pictured() -> None:
    assert chosen(SNAPSHOTS, face(COVERED), face(OPEN, 0.1), face(UNSURE, 0.8)) == [(1, True, 0.0), (2, True, 0.0)]


def test_a_face_too_small_to_tell_anything_is_not_pictured() -> None:
    assert chosen(SNAPSHOTS, face(OPEN, width=0.008)) == []


def test_pictures_a_second_are_bounded_for_each_camera() -> None:
    chooser = Chooser()
    count = sum(
        len(chosen(SNAPSHOTS, face(OPEN), face(OPEN, 0.1), chooser=chooser, now=turn / 10)) for turn in range(101)
    )
    assert count <= BURST + 10 * PICTURES_A_SECOND
    assert count >= 10 * PICTURES_A_SECOND - 1
    other = chooser.choose(SNAPSHOTS, NAME._replace(camera="gate-2"), ([face(OPEN)], SIZE), Allowance(10.0))
    assert len(other) == 1, "another camera has a budget of its own"


def test_everybody_gets_a_turn_where_there_are_more_faces_than_pictures() -> None:
    chooser, seen = Chooser(), set()
    people = [face(OPEN, 0.05 + 0.15 * place, 0.1 - 0.01 * place) for place in range(6)]
    for turn in range(30):
        seen |= {index for index, *_ in chosen(SNAPSHOTS, *people, chooser=chooser, now=turn / 5)}
    assert seen == set(range(6))


def test_crops_are_for_consenting_cameras_and_a_suspected_one_lives_for_seconds_only() -> None:
    assert chosen(CROPS, face(OPEN)) == [(0, False, float(CANDIDATE_S))]
    assert chosen(CROPS, face(COVERED)) == []


def test_a_crop_of_which_the_networks_are_unsure_is_kept_at_most_every_ten_seconds() -> None:
    chooser = Chooser()
    kept = [chosen(CROPS, face(UNSURE), chooser=chooser, now=turn / 2) for turn in range(60)]
    assert sum((0, False, 7200.0) in one for one in kept) == 3


def test_the_random_share_is_drawn_whatever_the_face_and_the_budget() -> None:
    rules = PictureRules(crops=True, crop_s=7200, crop_share=0.1)
    chooser = Chooser()
    kept = [seq for seq in range(500) if (0, False, 7200.0) in chosen(rules, face(COVERED), chooser=chooser, seq=seq)]
    assert kept == [seq for seq in range(500) if drawn(NAME._replace(seq=seq), 0.1)]
    assert kept


def test_where_no_time_is_left_only_the_random_share_is_pictured() -> None:
    rules = PictureRules(snapshots=True, snapshot_s=60, crops=True, crop_s=7200, crop_share=1.0)
    (found,) = Chooser().choose(rules, NAME, ([face(OPEN)], SIZE), Allowance(0.0, most=0))
    assert (found.snapshot, found.crop_s, found.suspected) == (False, 7200.0, False)
