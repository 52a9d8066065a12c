"""From a finished run of a focus head to a version of the detector that it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import TrainingError
from common.models.focus import FocusHead, GlanceGraph
from common.models.manifest import GlanceFacts, Manifest, bundled, load_version
from common.models.torch_load import fill
from trainer.learning.checkpoint import NAME as CHECKPOINT
from trainer.learning.focus import LOOKED_AT
from trainer.learning.stem import load_teacher
from trainer.release.beside import Beside, release_beside
from trainer.release.finished_run import network_of
from trainer.release.onnx_export import export_onnx
from trainer.release.version import halve_weights, make_probe
from trainer.settings import FocusSettings


def release_focus(run: Path, into: Path, notes: dict[str, Any]) -> Manifest:
    """Make a version of the detector that a run's focus head is for: the same detector, with a graph for glances.

    The graph is the head on the network that it reads, which is the detector's own or that of a version which glances
    in its place.

    Args:
        run: Run folder of a focus head.
        into: Folder of the version.
        notes: See `release_beside`.

    Raises:
        TrainingError: The run folder holds no finished epoch of a focus head, or one of its detectors is gone.
        ProbeError: The export does not answer as the networks do; what was released before stays.
    """
    try:
        settings = FocusSettings.model_validate_json((run / "settings.json").read_bytes())
        report = json.loads((run / "report.json").read_bytes())
        tensors = network_of(run)
    except (OSError, ValidationError, ValueError, TrainingError) as error:
        raise TrainingError(f"{run}: no finished run of a focus head: {error}") from error
    folder = settings.detector or bundled("detector")
    glancer = load_teacher(settings.glancer or folder, "detector")
    head = FocusHead(glancer.neck.width)
    fill(head, tensors, run / CHECKPOINT)
    graph = GlanceGraph(glancer, head.eval()).eval()
    halve_weights(graph)
    if settings.glancer:
        report["network"] = load_version(settings.glancer, "detector").manifest.identity
    facts = GlanceFacts(focus=LOOKED_AT, probe=make_probe(graph, (2, 96, 128, 3), block=16, every=7))
    beside = Beside("glance", export_onnx(graph, "detector"), facts, report)
    return release_beside(load_version(folder, "detector"), beside, into, notes)
