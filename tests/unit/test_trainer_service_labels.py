"""Labels on their way into a run: read, doubted, kept together, remembered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import TrainingError
from trainer.service.kinship import families, hold_out, twins
from trainer.service.labelled import read_samples
from trainer.service.ledger import NAME, Entry, Ledger
from trainer.service.scrutiny import Labelling, scrutinise
from trainer.service.settings import TrainerSettings

LIMITS = TrainerSettings(label_least=10).scrutiny
MASK, BARE, WRONG = 0, 1, 2


def test_samples_are_read_with_patience_and_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    assert read_samples(tmp_path).crops == []
    (tmp_path / "a.jpg").touch()
    rows = [
        {"file": "a.jpg", "label": "mask", "source": "door", "group": "g1", "split": "val", "by": "ana"},
        {"file": "gone.jpg", "label": "mask", "source": "door", "group": 1},
        {"file": "../../etc/passwd", "label": "mask", "source": "door", "group": 1},
        {"file": "a.jpg", "label": "mask", "source": "door"},
        {"file": "a.jpg", "label": "not_a_face", "source": "door", "group": 1},
        {"file": "a.jpg", "label": "no_mask", "source": "door", "group": "g1", "by": "eve"},
    ]
    (tmp_path / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"file": "a.j')
    found = read_samples(tmp_path)
    assert [(crop.label, crop.by, crop.divided) for crop in found.crops] == [("no_mask", "eve", False)]
    assert found.bad == {"missing": 1, "outside": 1, "malformed": 3}


def sure(said: int) -> list[float]:
    return [0.96 if said == label else 0.02 for label in range(3)]


def labelling(rows: list[tuple[int, int, str, str]], believed: dict[str, list[int]] | None = None) -> Labelling:
    """Of rows: label, what the model is sure of, operator, group."""
    return Labelling(
        labels=np.array([row[0] for row in rows]), groups=[row[3] for row in rows],
        origins=[(("operator", row[2]), ("camera", "door")) for row in rows],
        chances=np.array([sure(row[1]) for row in rows], np.float32), believed=believed or {},
    )  # fmt: skip


def honest(count: int, start: int = 0) -> list[tuple[int, int, str, str]]:
    """Bare and masked faces, named as they are."""
    return [(i % 2, i % 2, "ana", f"a{start + i}") for i in range(count)]


def test_an_operator_whose_labels_are_upside_down_is_not_believed_and_the_camera_is_not_to_blame() -> None:
    rows = [*honest(20), *[(1 - i % 2, i % 2, "eve", f"e{i}") for i in range(12)]]
    doubts = scrutinise(labelling(rows), LIMITS)
    assert set(doubts.reasons) == set(range(20, 32))
    assert doubts.reasons[20].startswith("operator eve: 100% of 6 surely bare faces are labelled mask")


def test_a_style_that_the_model_gets_wrong_is_believed_but_one_operator_alone_is_looked_at() -> None:
    rows = [(MASK, BARE, "ana", f"a{i}") for i in range(12)]
    doubts = scrutinise(labelling(rows), LIMITS)
    assert not doubts.reasons
    assert len(doubts.remarks) == 1
    shared = [(MASK, BARE, f"person{i % 3}", f"a{i}") for i in range(12)]
    assert not scrutinise(labelling(shared), LIMITS).remarks


def test_near_duplicates_that_contradict_each_other_go_the_way_of_the_majority_or_not_at_all() -> None:
    even = [(MASK, BARE, "ana", "g"), (BARE, BARE, "bob", "g")]
    assert set(scrutinise(labelling(even), LIMITS).reasons) == {0, 1}
    clear = [(MASK, BARE, "ana", "g"), (BARE, BARE, "bob", "g"), (BARE, BARE, "cem", "g"), (BARE, BARE, "dan", "g")]
    doubts = scrutinise(labelling(clear), LIMITS)
    assert set(doubts.reasons) == {0}
    assert "3 of 4 near-duplicates are labelled no_mask" in doubts.reasons[0]


def test_what_was_believed_before_has_a_vote() -> None:
    rows = [(BARE, MASK, "eve", "g"), (MASK, MASK, "ana", "h")]
    assert set(scrutinise(labelling(rows, {"g": [MASK, MASK]}), LIMITS).reasons) == {0}


def test_an_operator_who_is_outvoted_again_and_again_is_not_believed_at_all() -> None:
    rows = [(MASK, BARE, "eve", f"g{i}") for i in range(4)] + [(MASK, MASK, "eve", "own")]
    believed = {f"g{i}": [BARE, BARE, BARE] for i in range(4)}
    assert set(scrutinise(labelling(rows, believed), LIMITS).reasons) == set(range(5))


def noise(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return small.repeat(20, 0).repeat(20, 1)


def test_twins_are_the_same_picture_and_families_are_near_ones_too() -> None:
    first, other = noise(1), noise(2)
    grainy = np.clip(first + np.random.default_rng(3).normal(0, 3, first.shape), 0, 255).astype(np.uint8)
    brighter = np.clip(first.astype(int) + 25, 0, 255).astype(np.uint8)
    patches = np.stack([first, other, grainy, brighter])
    assert twins(patches).tolist() == [0, 1, 0, 3]
    assert families(patches, ["a", "b", "c", "d"]).tolist() == [0, 1, 0, 0]
    assert families(patches[:2], ["a", "a"]).tolist() == [0, 0]


def test_a_family_is_held_out_as_a_whole_and_never_once_it_was_learnt_from() -> None:
    kin = np.array([0, 0, 2, 3, 4, 5, 6, 7])
    labels = ["mask"] * 8
    held = hold_out(kin, labels, [None] * 8, 0.3, 1)
    assert 0 < held.sum() < 8
    assert held[0] == held[1]
    again = hold_out(kin, labels, [True, False, *[None] * 6], 0.3, 1)
    assert not again[0]
    assert not again[1]
    kept = hold_out(kin, labels, [True, None, *[False] * 6], 0.3, 1)
    assert kept.tolist() == [True, True, *[False] * 6]


def test_the_ledger_remembers_by_label_and_forgets_what_was_erased(tmp_path: Path) -> None:
    entry = Entry(fate="held_back", run="r", label="mask", why="gate")
    Ledger(tmp_path).enter({"a.jpg": entry, "b.jpg": entry}, ["a.jpg", "b.jpg"])
    ledger = Ledger(tmp_path)
    assert ledger.fate("a.jpg", "mask") == entry
    assert ledger.fate("a.jpg", "no_mask") is None  # labelled anew: looked at anew
    ledger.enter({}, ["b.jpg"])
    assert "a.jpg" not in (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text("{")
    with pytest.raises(TrainingError, match="move it away"):
        Ledger(tmp_path)
