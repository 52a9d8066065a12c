"""The small network that the version in force asks first goes on into a candidate, where it does no harm."""

from __future__ import annotations

from collections.abc import Sequence

from common.log import Log
from common.models.manifest import MANIFEST_NAME, BlobName, Manifest, ModelVersion, load_version
from trainer.faces.cuts import FaceSet
from trainer.files import replace_file
from trainer.release.card import model_card
from trainer.release.version import store_blob
from trainer.service.served import ServedClassifier

NAME: BlobName = "quick"
_log = Log("trainer")


def keep_first_reader(
    base: ModelVersion, candidate: ModelVersion, faces: Sequence[FaceSet], threads: int
) -> ModelVersion:
    """Give a candidate the small network of the version that it was tuned from.

    It learnt beside that version and is believed where it is sure; what operators taught the candidate may be just
    that. So it stays only if candidate and small network together make no more mistakes than the candidate alone.

    Args:
        base: The version in force.
        candidate: Tuned from it.
        faces: Labelled sets of faces; each must come out no worse.
        threads: CPU threads.

    Returns:
        The candidate with the small network, written into its folder; or as it was.

    Raises:
        TrainingError: The folder cannot be written.
    """
    facts, old = base.manifest.quick, candidate.manifest
    if facts is None or old.quick is not None or old.input != base.manifest.input:
        return candidate
    alone, together = ServedClassifier(candidate, threads), ServedClassifier(candidate, threads, first=base)
    for part in faces:
        mistakes = [int((one.judge(part).argmax(axis=1) != part.labels).sum()) for one in (alone, together)]
        if mistakes[1] > mistakes[0]:
            _log.info("first_reader_left_out", mistakes_alone=mistakes[0], mistakes_together=mistakes[1])
            return candidate
    blob = store_blob(candidate.directory / base.manifest.blobs[NAME].file, base.read(NAME))
    kept = Manifest.model_validate({**old.model_dump(), "blobs": {**old.blobs, NAME: blob}, NAME: facts})
    replace_file(candidate.directory / MANIFEST_NAME, (kept.model_dump_json(indent=1) + "\n").encode())
    replace_file(candidate.directory / "README.md", model_card(kept).encode())
    return load_version(candidate.directory, "classifier")
