"""The report folder: one page, its pictures, and the figures as JSON."""

from __future__ import annotations

import html
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.evaluate.crops import CropRecord
from trainer.evaluate.mistakes import Mistake, crop_mistakes, scene_mistakes
from trainer.evaluate.scenes import SceneRecord
from trainer.evaluate.tables import Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; } figure { margin: 1em 0; }
.partial, .worse { background: #fdd; } .maybe { background: #fff3d6; }
"""


def can_draw() -> bool:
    """Say whether matplotlib is installed (extra ``train``)."""
    return importlib.util.find_spec("matplotlib") is not None


def write_document(
    folder: Path,
    result: Mapping[str, Any],
    tables: Sequence[Table],
    records: Sequence[SceneRecord] | Sequence[CropRecord],
) -> None:
    """Write ``report.json``, ``report.html`` and, where matplotlib is installed, its pictures.

    Args:
        folder: Exists; what an earlier report left is replaced.
        result: The figures, ready for JSON.
        tables: The same for people.
        records: What the pictures are drawn from.

    Raises:
        OSError: Something cannot be written; what was written before stays.
    """
    scenes = [record for record in records if isinstance(record, SceneRecord)]
    crops = [record for record in records if isinstance(record, CropRecord)]
    threshold = float(result["system"].get("threshold", 0.0))
    sheets = scene_mistakes(scenes, threshold) if scenes else crop_mistakes(crops)
    drawn: list[tuple[str, str]] = []
    if can_draw() and records:
        from trainer.evaluate.drawings import draw_crops, draw_mistakes, draw_scenes

        drawn = draw_scenes(scenes, threshold, folder) if scenes else draw_crops(crops, folder)
        drawn += draw_mistakes(sheets, folder)
    listed = {title: [mistake.as_json() for mistake in mistakes] for title, mistakes in sheets.items()}
    (folder / "report.json").write_text(json.dumps({**result, "mistakes": listed}, indent=1) + "\n", "utf-8")
    (folder / "report.html").write_text(_page(result, tables, drawn, sheets), "utf-8")


def _page(
    result: Mapping[str, Any],
    tables: Sequence[Table],
    drawn: Sequence[tuple[str, str]],
    sheets: Mapping[str, Sequence[Mistake]],
) -> str:
    about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["system"].items())
    title = f"{result['evaluated']} of {result['data']}, split {result['split']}"
    parts = [
        f"<h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>",
        *([f'<p class="partial">{html.escape(partial_words(result))}</p>'] if result["partial"] else []),
        *(table.as_html() for table in tables),
        *(
            f'<h2>{html.escape(name)}</h2><figure><img src="{html.escape(file)}" alt="{html.escape(name)}"></figure>'
            for name, file in drawn
        ),
        *(
            []
            if drawn
            else ["<p>No pictures: matplotlib is not installed (extra <code>train</code>).</p>", *_lists(sheets)]
        ),
        _list("Left out", [f"{remark['file']}: {remark['reason']}" for remark in result["skipped"]]),
        _list("Predictions missing for", result.get("missing_files", [])),
        _list("Predictions for unknown pictures", result.get("unknown_files", [])),
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def partial_words(result: Mapping[str, Any]) -> str:
    """Say that a report is partial."""
    return f"Partial: interrupted after {result['pictures_done']} of {result['pictures_asked']} pictures."


def _lists(sheets: Mapping[str, Sequence[Mistake]]) -> list[str]:
    return [_list(title, [f"{one.file}: {one.words}" for one in mistakes]) for title, mistakes in sheets.items()]


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return (
        f"<h2>{html.escape(title)} ({len(items)})</h2><ul>{''.join(f'<li>{html.escape(i)}</li>' for i in items)}</ul>"
    )
