"""Face crops that people have labelled, on the trainer's disk: few, for a limited time, and erased on demand.

    folder/
      samples.jsonl        everything that is known of each sample; the truth
      crops.jsonl          those that may be trained on, as ``trainer.data.pictures.read_portraits`` reads them
      not_a_face.jsonl     pictures without a face, as ``trainer.data.pictures.read_scenes`` reads them
      pictures/ab/abcd….jpg  named by their content, never changed
      collected.json       how far the collector has come

Files are written aside and put in place as a whole. A kill at any moment leaves the samples as they were or as they
were to be, and files that belong to none of them go when the folder is next opened.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from common.errors import TrainingError
from trainer.files import replace_file
from trainer.samples.cropcheck import CheckedCrop
from trainer.samples.groups import place
from trainer.samples.rows import DEFAULT_RULES, PICTURES, Sample, SampleLabel, SampleRules, lines, views

TRUTH, LOCK = "samples.jsonl", ".lock"


class SampleStore:
    """Keeps samples in a folder. Several processes may use it; each change has it alone."""

    def __init__(self, folder: Path, rules: SampleRules = DEFAULT_RULES) -> None:
        """Open or make the folder, and clear away what a kill has left.

        Raises:
            TrainingError: It cannot be written, or its list of samples is damaged; nothing was changed.
        """
        self.folder, self.rules = folder, rules
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # faces: for nobody but this user
            (folder / PICTURES).mkdir(exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{folder}: cannot be used for samples: {error.strerror}") from error
        with self._change():
            pass

    def samples(self) -> list[Sample]:
        """Give all samples, the oldest label first."""
        return sorted(self._read().values(), key=lambda one: (one.at, one.subject))

    def put(self, said: SampleLabel, crop: CheckedCrop) -> bool:
        """Keep a sample, in the place of an earlier one of its subject; False where all of it was known.

        Raises:
            TrainingError: It cannot be written; what was there is intact.
        """
        with self._change() as samples:
            known = samples.get(said.subject)
            if known is not None and known.sha == crop.sha:
                return _relabel(samples, said)
            samples.pop(said.subject, None)
            placing = place(said.subject, crop.look, [one.member for one in samples.values()], self.rules.val)
            for one in [one for one in samples.values() if one.group in placing.joined]:
                samples[one.subject] = one.model_copy(update={"group": placing.group, "split": placing.split})
            new = Sample(
                **said.model_dump(), sha=crop.sha, look=crop.look.tobytes().hex(), group=placing.group,
                split=placing.split, width=crop.size[0], height=crop.size[1],
            )  # fmt: skip
            path = self.folder / new.file
            path.parent.mkdir(exist_ok=True)
            replace_file(path, crop.jpeg)
            _sync(path.parent)
            samples[new.subject] = new
        return True

    def relabel(self, said: SampleLabel) -> bool:
        """Put another label on a sample; False where there is none of this subject, or it is known."""
        with self._change() as samples:
            return _relabel(samples, said)

    def erase(self, meant: Callable[[Sample], bool]) -> int:
        """Remove samples and their pictures, and look whether anything of them is left; says how many.

        Raises:
            TrainingError: Something could not be removed; it is named, and goes when that is mended.
        """
        with self._change() as samples:
            gone = [one for one in samples.values() if meant(one)]
            for one in gone:
                del samples[one.subject]
        subjects, kept = {one.subject for one in gone}, {one.sha for one in self.samples()}
        left = [one.file for one in gone if one.sha not in kept and (self.folder / one.file).exists()]
        if left or subjects & {one.subject for one in self.samples()}:
            raise TrainingError(f"{self.folder}: could not be erased: {', '.join(left) or 'the list of samples'}")
        return len(gone)

    def retain(self, now: float) -> int:
        """Remove what the rules no longer allow, the oldest first; ``now`` is unix time, s. Says how many."""
        meant: set[str] = set()
        places: dict[tuple[str, str | None], list[str]] = {}
        for one in self.samples():
            if one.at < now - 86_400 * self.rules.days:
                meant.add(one.subject)
            else:
                places.setdefault((one.camera, one.label), []).append(one.subject)
        for subjects in places.values():
            meant |= set(subjects[: max(0, len(subjects) - self.rules.most)])
        return self.erase(lambda one: one.subject in meant) if meant else 0

    @contextmanager
    def _change(self) -> Iterator[dict[str, Sample]]:
        try:
            with (self.folder / LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                samples = self._read()
                before = dict(samples)
                yield samples
                if samples != before:
                    replace_file(self.folder / TRUTH, lines([one.model_dump() for one in samples.values()]))
                self._show(list(samples.values()))
                self._sweep({one.file for one in samples.values()})
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be written: {error.strerror or error}") from error

    def _read(self) -> dict[str, Sample]:
        path = self.folder / TRUTH
        try:
            stored = path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return {}
        try:
            return {one.subject: one for one in map(Sample.model_validate_json, stored)}
        except ValidationError as error:
            raise TrainingError(f"{path}: damaged; {len(stored)} lines are left as they are") from error

    def _show(self, samples: Sequence[Sample]) -> None:
        for name, text in views(samples).items():
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != text:
                replace_file(path, text)

    def _sweep(self, wanted: set[str]) -> None:
        changed: set[Path] = set()
        for path in [*(self.folder / PICTURES).rglob("*"), *self.folder.glob(".*.json*.*")]:
            if path.is_file() and path.relative_to(self.folder).as_posix() not in wanted:
                path.unlink()
                changed.add(path.parent)
        for parent in changed:
            _sync(parent)


def _relabel(samples: dict[str, Sample], said: SampleLabel) -> bool:
    known = samples.get(said.subject)
    if known is None:
        return False
    new = known.model_copy(update=said.model_dump())
    samples[said.subject] = new
    return (new.label, new.contested) != (known.label, known.contested)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
