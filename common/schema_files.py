"""Writes the JSON Schema of every wire message and event type: ``python -m common.schema_files [FOLDER]``.

The files are for people and for other languages; the models stay the truth, and a test says when a file is behind.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model

from common.events import (
    CAMERA_STATUS_TYPE,
    FEEDBACK_TYPE,
    INCIDENT_TYPES,
    MODEL_STATUS_TYPE,
    SCHEMA_URI,
    VIOLATION_TYPES,
    WINDOW_TYPE,
    CameraStatusData,
    CloudEvent,
    FeedbackData,
    IncidentData,
    ModelStatusData,
    ViolationData,
    WindowData,
)
from common.schema import CameraMark, FrameHeader, FrameResult, MarkResult

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"
WIRE: dict[str, type[BaseModel]] = {
    "wire.frame-header.v1": FrameHeader,
    "wire.camera-mark.v1": CameraMark,
    "wire.frame-result.v1": FrameResult,
    "wire.mark-result.v1": MarkResult,
}
EVENTS: dict[str, type[BaseModel]] = {
    **dict.fromkeys(VIOLATION_TYPES.values(), ViolationData),
    CAMERA_STATUS_TYPE: CameraStatusData,
    WINDOW_TYPE: WindowData,
    **dict.fromkeys(INCIDENT_TYPES.values(), IncidentData),
    FEEDBACK_TYPE: FeedbackData,
    MODEL_STATUS_TYPE: ModelStatusData,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Make the JSON Schema of each message, by its name."""
    found = {name: _finish(name, model.model_json_schema(mode="validation")) for name, model in WIRE.items()}
    for kind, data in EVENTS.items():
        found[kind] = _finish(kind, _event_schema(kind, data))
    return found


def texts() -> dict[str, str]:
    """Give the content of each schema file, by file name."""
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas().items()}


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all schema files and say which."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts().items():
        path = folder / name
        path.write_text(text, "utf-8")
        written.append(path)
    return written


def _event_schema(kind: str, data: type[BaseModel]) -> dict[str, Any]:
    model = create_model("Event", __base__=CloudEvent, data=(data, ...))
    schema = model.model_json_schema(mode="validation")
    schema["properties"]["type"] = {"const": kind}
    schema["properties"]["dataschema"] = {"const": f"{SCHEMA_URI}/{kind}.json"}
    for lifecycle, name in VIOLATION_TYPES.items():
        if name == kind:
            schema["$defs"]["ViolationData"]["properties"]["lifecycle"] = {"const": lifecycle}
    for phase, name in INCIDENT_TYPES.items():
        if name == kind:
            schema["$defs"]["IncidentData"]["properties"]["state"] = {"const": phase}
    # Receivers must accept fields that a later version adds; only what we write ourselves is checked strictly.
    for part in (schema, *schema["$defs"].values()):
        part.pop("additionalProperties", None)
    return schema


def _finish(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": f"{SCHEMA_URI}/{name}.json"} | schema | {"title": name}


if __name__ == "__main__":
    for _path in write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        sys.stdout.write(f"{_path.name}\n")
