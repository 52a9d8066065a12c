"""From a request to figures: open the systems, ask them for all pictures, score, compare."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from common.errors import ConfigError
from common.lifecycle import StopSignal
from maskwatch.ticker import Ticker
from trainer.evaluate.comparison import compare, worse
from trainer.evaluate.crops import CropRecord, CropTally, crop_report
from trainer.evaluate.examinee import Examinee, Foreign
from trainer.evaluate.scenes import SceneRecord, SceneTally, scene_report
from trainer.evaluate.tables import Table, comparison_table, tables_of
from trainer.evaluate.truth import CropTruth, Remark, SceneTruth, index_of, read_crops, read_scenes, usual_split
from trainer.scores.scoring import rounded

AT_ONCE = 4
Kind = Literal["scenes", "crops"]
Records = list[SceneRecord] | list[CropRecord]


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted.

    Attributes:
        kind: Scenes with boxes, or one person a picture.
        data: Data set folder or index file.
        split: Split by name, or ``all``; None is ``val`` where there is one, else all.
        long_side_px: Long side of the detector's canvases.
        release: Folder of a release; None is the bundled one.
        predictions: A foreign system's predictions instead of a release.
        against: Release folder, or predictions, to compare with.
        threshold: Score from which a foreign system's box is a face.
        out: Folder for the report.
        save_predictions: File for what was found, to be scored again without computing.
        as_json: Print one object on standard output.
    """

    kind: Kind
    data: Path
    split: str | None
    long_side_px: int
    release: Path | None = None
    predictions: Path | None = None
    against: Path | None = None
    threshold: float = 0.5
    out: Path | None = None
    save_predictions: Path | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Examination:
    """What one system answered.

    Attributes:
        examinee: Who.
        records: The answers, in the order of the index.
        done: How many pictures it was asked for before an interruption.
    """

    examinee: Examinee
    records: Records
    done: int


@dataclass(frozen=True, slots=True)
class Scored:
    """Figures for JSON, the same as tables for people, and what they were made from."""

    result: dict[str, Any]
    tables: list[Table]
    records: Records


def score(request: Request, stop: StopSignal) -> Scored:
    """Score without printing figures or writing a report; see `maskwatch.evaluate.evaluating.evaluate`."""
    index = index_of(request.data, request.kind)
    split = request.split or usual_split(index)
    truths: Sequence[SceneTruth] | Sequence[CropTruth]
    if request.kind == "scenes":
        truths, remarks = read_scenes(index, split)
    else:
        truths, remarks = read_crops(index, split)
    with ExitStack() as stack:
        systems = [stack.enter_context(closing(_open(request, path, index.parent))) for path in _systems(request)]
        done = [examine(system, truths, stop) for system in systems]
    result = _result(replace(request, split=split), remarks, done, truths)
    tables = tables_of(request.kind, result)
    if len(done) > 1:
        result |= _compared(request.kind, done[1], done[0])
        tables += _comparison_tables(result["comparison"])
    return Scored(result, tables, done[0].records)


def examine(examinee: Examinee, truths: Sequence[SceneTruth] | Sequence[CropTruth], stop: StopSignal) -> Examination:
    """Ask for all pictures, a few at a time, until done or asked to stop."""
    scenes: list[SceneRecord] = []
    crops: list[CropRecord] = []
    done = 0
    with Ticker("pictures", len(truths)) as ticker:
        while done < len(truths) and not stop.is_set():
            some = truths[done : done + AT_ONCE]
            scenes += examinee.scenes([truth for truth in some if isinstance(truth, SceneTruth)])
            crops += examinee.crops([truth for truth in some if isinstance(truth, CropTruth)])
            done += len(some)
            ticker.advance(len(some))
    return Examination(examinee, scenes or crops, done)


def _systems(request: Request) -> list[Path | None]:
    if request.predictions and request.release:
        raise ConfigError("--predictions and --release: give one of them; --against takes the other")
    chosen = request.predictions or request.release
    return [chosen] if request.against is None else [chosen, request.against]


def _open(request: Request, path: Path | None, root: Path) -> Examinee:
    if path is not None and path.is_file():
        return Foreign(path, root, request.threshold)
    if path is not None and not path.is_dir():
        raise ConfigError(f"{path}: no such release folder or predictions file")
    if path is not None and path == request.predictions:
        raise ConfigError(f"--predictions: {path}: is a folder; a file of JSON lines is wanted")
    from maskwatch.evaluate.examinee import Production

    return Production(path, request.long_side_px, every_score=request.kind == "scenes")


def _result(
    request: Request,
    remarks: Sequence[Remark],
    done: Sequence[Examination],
    truths: Sequence[SceneTruth] | Sequence[CropTruth],
) -> dict[str, Any]:
    mine = done[0]
    left_out = [*remarks, *mine.examinee.remarks]
    result: dict[str, Any] = {
        "evaluated": request.kind,
        "data": str(request.data),
        "split": request.split,
        "system": mine.examinee.about,
        "partial": any(one.done < len(truths) for one in done),
        "pictures_asked": len(truths),
        "pictures_done": min(one.done for one in done),
        **rounded(_report(request.kind, mine.records, mine.examinee.threshold)),
        "skipped_count": len(left_out),
        "skipped": [{"file": one.file, "reason": one.reason} for one in left_out],
    }
    if isinstance(mine.examinee, Foreign):
        result["missing_files"] = mine.examinee.missing
        result["unknown_files"] = mine.examinee.unknown({truth.file for truth in truths})
    return result


def _compared(kind: Kind, old: Examination, new: Examination) -> dict[str, Any]:
    """Compare on the pictures that both answered for, in all and by source."""
    both = {one.truth.file for one in old.records} & {one.truth.file for one in new.records}
    newer, older = _only(new.records, both), _only(old.records, both)
    compared = {"all": _pair(old, older, new, newer)}
    for source in sorted({one.truth.source for one in newer}):
        files = {one.truth.file for one in newer if one.truth.source == source}
        compared[source] = _pair(old, _only(older, files), new, _only(newer, files))
    marked = [f"{source}: {name}" for source, rows in compared.items() for name in worse(rows)]
    everything = rounded(compared.pop("all"))
    return {
        "against": {"system": old.examinee.about, **rounded(_report(kind, older, old.examinee.threshold))},
        "comparison": {
            "pictures": len(newer),
            "worse": marked,
            "all": everything,
            "sources": rounded(compared),
        },
    }


def _pair(old: Examination, older: Records, new: Examination, newer: Records) -> dict[str, dict[str, Any]]:
    groups = list(dict.fromkeys(one.truth.group for one in newer))
    return compare(_tally(older, old.examinee.threshold, groups), _tally(newer, new.examinee.threshold, groups))


def _only(records: Records, files: set[str]) -> Records:
    kept: Any = [record for record in records if record.truth.file in files]
    chosen: Records = kept
    return chosen


def _report(kind: Kind, records: Records, threshold: float) -> dict[str, Any]:
    if kind == "crops":
        return crop_report([record for record in records if isinstance(record, CropRecord)])
    return scene_report([record for record in records if isinstance(record, SceneRecord)], threshold)


def _tally(records: Records, threshold: float, groups: Sequence[int | str]) -> SceneTally | CropTally:
    crops = [record for record in records if isinstance(record, CropRecord)]
    if crops:
        return CropTally.of(crops, groups)
    return SceneTally.of([record for record in records if isinstance(record, SceneRecord)], threshold, groups)


def _comparison_tables(comparison: dict[str, Any]) -> list[Table]:
    tables = [comparison_table(comparison["all"], f"Old and new on {comparison['pictures']} pictures")]
    for source, rows in comparison["sources"].items():
        moved = {name: row for name, row in rows.items() if row["change"] in ("worse", "worse?", "better")}
        if moved:
            tables.append(comparison_table(moved, f"{source}: what got worse, or clearly better"))
    return tables
