"""``maskwatch evaluate``: score a release, or foreign predictions, on labelled pictures; print and write the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from common.errors import ConfigError
from common.lifecycle import StopSignal
from maskwatch.evaluate.evaluation import Request, Scored, score
from trainer.evaluate.crops import CropRecord
from trainer.evaluate.document import can_draw, partial_words, write_document
from trainer.evaluate.found import Found, write_predictions
from trainer.evaluate.scenes import SceneRecord

EXIT_INTERRUPTED = 130


def evaluate(request: Request, stop: StopSignal | None = None) -> int:
    """Score and print; the last thing on standard output is the JSON object where that was asked for.

    Returns:
        0; 1 where the report could not be written; 130 where it was interrupted and the figures are partial.

    Raises:
        ConfigError: An option or path that cannot be used; nothing was computed.
        TrainingError: The data cannot be used.
        ModelError: A release cannot be used.
    """
    _prepare(request.out)
    scored = score(request, stop or StopSignal().install())
    status = _write(request, scored)
    _tell(request, scored)
    return EXIT_INTERRUPTED if scored.result["partial"] else status


def _prepare(out: Path | None) -> None:
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: {out}: {error.strerror or error}") from error
    if not can_draw():
        _warn("no pictures in the report: matplotlib is not installed (pip install 'maskwatch[train]')")


def _write(request: Request, scored: Scored) -> int:
    try:
        if request.save_predictions is not None:
            write_predictions(request.save_predictions, [_answer(record) for record in scored.records])
        if request.out is not None:
            write_document(request.out, scored.result, scored.tables, scored.records)
    except OSError as error:
        _warn(f"the report could not be written: {error}")
        return 1
    return 0


def _answer(record: SceneRecord | CropRecord) -> tuple[str, Found]:
    if isinstance(record, SceneRecord):
        return record.truth.file, record.found
    if record.said < 0:
        return record.truth.file, Found.nothing()
    return record.truth.file, Found.of([record.box], [1.0], [record.probabilities])


def _tell(request: Request, scored: Scored) -> None:
    result = scored.result
    for remark in [] if request.as_json else result["skipped"]:
        _warn(f"left out: {remark['file']}: {remark['reason']}")
    for key, words in (("missing_files", "no prediction for"), ("unknown_files", "prediction for unknown")):
        files = result.get(key, [])
        if files:
            _warn(f"{words} {len(files)} pictures, such as {files[0]}")
    if result["partial"]:
        _warn(partial_words(result))
    if request.as_json:
        print(json.dumps(result), flush=True)
        return
    print("\n\n".join(table.as_markdown() for table in scored.tables))
    if request.out is not None:
        print(f"\nreport: {request.out / 'report.html'}")


def _warn(words: str) -> None:
    print(f"maskwatch: {words}", file=sys.stderr, flush=True)
