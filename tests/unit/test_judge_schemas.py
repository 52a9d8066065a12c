"""The schema files and their examples are what the models say, and what the judge really writes fits them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic import BaseModel

from common import schema_files
from common.events import CloudEvent
from common.schema_files import EVENTS, FOLDER, WIRE
from tests.judge_scenes import a_mark, entry_ms, play, said, scene, standing, the_context
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

NAMES = sorted(schema_files.schemas())


def example(name: str) -> Any:
    return json.loads((FOLDER / "examples" / f"{name}.json").read_text("utf-8"))


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_files_are_current() -> None:
    """Where this fails: ``python -m common.schema_files``."""
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")} == schema_files.texts()


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in schema_files.write(tmp_path)]

    assert [path.read_bytes() for path in schema_files.write(tmp_path)] == first


def test_there_is_one_example_for_each() -> None:
    assert sorted(path.stem for path in (FOLDER / "examples").glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_its_schema_and_its_model(name: str) -> None:
    validator(name).validate(example(name))
    model: type[BaseModel] = WIRE.get(name, CloudEvent)

    assert model.model_validate_json(json.dumps(example(name)))


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_schema_refuses_the_wrong_and_lets_new_fields_pass(name: str) -> None:
    checking = validator(name)
    checking.validate(example(name) | {"later": 1})
    mistakes: list[dict[str, object]] = [{"type": "x"}, {"specversion": "0.3"}, {"time": "today"}, {"data": {}}]
    for wrong in [*mistakes, {"sequence": "1"}]:
        with pytest.raises(ValidationError):
            checking.validate(example(name) | wrong)


def test_what_the_judge_writes_fits_the_schemas() -> None:
    judge = CameraJudge(the_context(), CameraState())
    results = scene([standing("no_mask", 0, 4)], 8)
    events = play(judge, results) + judge.accept(a_mark(40, 8), entry_ms(results[-1]))

    assert said(events) == ["started", "ended:track_lost", "camera:online"]
    for event in events:
        validator(event.type).validate(json.loads(event.to_json()))
