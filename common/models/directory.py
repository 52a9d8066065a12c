"""The model registry in a plain folder, for places without a state broker at hand: a disk, a share, a stick.

``versions/<kind>/<version>/`` holds a version's files and ``record.json``; ``ledger.json`` is replaced as a whole under
a lock (``.lock``), so readers never wait; ``workers/`` holds what workers report.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.errors import RegistryUnwritableError, UnknownVersionError, VersionRefusedError
from common.models.admission import RECORD_NAME, Package, examine, read_published
from common.models.cache import settle
from common.models.durable import appearing, explained, remove_folder, replace_file, sweep_folder, write_files
from common.models.ledger import Ledger, Mark, read_ledger
from common.models.manifest import MANIFEST_NAME, Manifest
from common.models.records import as_data, one_line, pack, unpack
from common.models.registry import LogEntry, Pointer, Rollout, VersionRef, VersionSummary, WorkerModels
from common.models.retention import DEFAULT_RULES, Holders, RegistryRules, surplus
from common.models.signatures import SIGNATURE_NAME

LOCK_PATIENCE_S = 10.0
_RETRY_S = 0.01
_LEDGER = "ledger.json"


class DirectoryRegistry:
    """Keeps the contract of ``common.models.registry.Registry`` in a folder, which is made where there is none."""

    def __init__(
        self, folder: Path, rules: RegistryRules = DEFAULT_RULES, clock: Callable[[], float] = time.time
    ) -> None:
        """Use a folder; ``clock`` gives s since the epoch."""
        self._folder = folder
        self._rules = rules
        self._clock = clock

    def publish(self, folder: Path, by: str = "", why: str = "") -> VersionRef:
        """Check a version folder and keep a copy; see `Registry.publish`."""
        package = examine(folder, self._rules.trust)
        with self._locked():
            stored = self._summary(package.ref)
            if stored is None:
                self._add(package, Mark(by, why, self._clock()))
            elif stored.ref != package.ref:
                words = f"{stored.ref.label} is published with other content (digest {stored.ref.digest[:12]})"
                raise VersionRefusedError("taken", f"{words}; take another version")
            elif package.signature is not None and package.signature.key != stored.signed_by:
                self._sign(package, stored)
        self.delete_unused(self._rules.keep)
        return package.ref

    def fetch(self, ref: VersionRef, into: Path) -> Path:
        """Give the complete and verified folder ``into / ref.folder``; see `Registry.fetch`."""
        return settle(ref, into, self._rules.trust, lambda: self._files(ref))

    def manifest(self, ref: VersionRef) -> Manifest:
        """Give a version's manifest; see `Registry.manifest`."""
        if not self._known(ref):
            raise UnknownVersionError(f"there is no {ref.label} with digest {ref.digest[:12]}")
        return read_published((self._place(ref) / MANIFEST_NAME).read_bytes(), ref)

    def versions(self) -> list[VersionSummary]:
        """List the versions, the newest first."""
        records = (self._folder / "versions").glob(f"*/[!.]*/{RECORD_NAME}")
        found = [unpack(VersionSummary, path.read_bytes()) for path in records]
        return sorted(found, key=lambda one: (one.at_s, one.ref), reverse=True)

    def current(self) -> Pointer:
        """Say what is in service."""
        return self._ledger().pointer

    def promote(self, refs: Sequence[VersionRef], expected: int, by: str, why: str) -> Pointer:
        """Put versions in service, if generation ``expected`` is still in force; see `Registry.promote`."""
        with self._locked() as ledger:
            return self._save(ledger.promoted(refs, expected, Mark(by, why, self._clock()), self._known)).pointer

    def rollback(self, by: str, why: str, to: int | None = None, expected: int | None = None) -> Pointer:
        """Make a new generation of an earlier one's versions; see `Registry.rollback`."""
        with self._locked() as ledger:
            return self._save(ledger.rolled_back(to, expected, Mark(by, why, self._clock()), self._known)).pointer

    def log(self, count: int) -> list[LogEntry]:
        """Give the last ``count`` entries, the newest first."""
        return list(self._ledger().entries[-max(1, count) :])[::-1]

    def refused(self, refs: Sequence[VersionRef], by: str, why: str) -> None:
        """Log that somebody did not take versions."""
        with self._locked() as ledger:
            self._save(ledger.noted("refused", refs, ledger.pointer.refs, Mark(by, why, self._clock())))

    def rollout(self) -> Rollout | None:
        """Give the rollout under way."""
        return self._ledger().rollout

    def set_rollout(self, rollout: Rollout | None, by: str = "", why: str = "") -> None:
        """Start, change or end a rollout; see `Registry.set_rollout`."""
        if rollout is not None:
            by, why = by or rollout.by, why or rollout.why
        with self._locked() as ledger:
            self._save(ledger.on_trial(rollout, Mark(by, why, self._clock()), self._known))

    def report(self, worker: str, models: WorkerModels) -> None:
        """Say what a worker serves."""
        folder = self._folder / "workers"
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        said = {"worker": one_line(worker), **as_data(models), "at_s": self._clock()}
        name = hashlib.sha256(worker.encode()).hexdigest()[:16]
        replace_file(folder / f"{name}.json", json.dumps(said, ensure_ascii=False).encode())

    def workers(self) -> dict[str, WorkerModels]:
        """Give what every live worker said last."""
        found = {}
        oldest = self._clock() - self._rules.report_ttl_s
        for path in sorted((self._folder / "workers").glob("[!.]*.json")):
            content = path.read_bytes()
            report = unpack(WorkerModels, content)
            if report.at_s > oldest:
                found[str(json.loads(content)["worker"])] = report
        return found

    def retire(self, ref: VersionRef, by: str, why: str) -> None:
        """Forget a version that nobody needs; see `Registry.retire`."""
        with self._locked() as ledger:
            if not self._known(ref):
                raise UnknownVersionError(f"there is no {ref.label} with digest {ref.digest[:12]}")
            need = Holders(ledger.pointer, ledger.generations, ledger.rollout, self.workers()).need(ref)
            if need:
                raise VersionRefusedError("needed", f"{ref.label} stays: {need}")
            remove_folder(self._place(ref))
            self._save(ledger.noted("retired", (ref,), (), Mark(by, why, self._clock())))

    def delete_unused(self, keep: int) -> list[VersionRef]:
        """Forget all but the newest and the needed; see `Registry.delete_unused`."""
        gone = []
        for ref in surplus(self.versions(), keep):
            try:
                self.retire(ref, "retention", f"only the newest {keep} are kept")
            except (VersionRefusedError, UnknownVersionError):
                continue
            gone.append(ref)
        return gone

    def sweep(self) -> int:
        """Remove what a killed process left more than an hour ago; say how much younger is lying about."""
        places = [self._folder, self._folder / "workers", *(self._folder / "versions").glob("[!.]*")]
        return sum(sweep_folder(place, self._clock()) for place in places)

    def _place(self, ref: VersionRef) -> Path:
        return self._folder / "versions" / ref.kind / ref.version

    def _summary(self, ref: VersionRef) -> VersionSummary | None:
        try:
            return unpack(VersionSummary, (self._place(ref) / RECORD_NAME).read_bytes())
        except FileNotFoundError:
            return None

    def _known(self, ref: VersionRef) -> bool:
        stored = self._summary(ref)
        return stored is not None and stored.ref == ref

    def _add(self, package: Package, mark: Mark) -> None:
        place = self._place(package.ref)
        record = pack(package.summary(mark.at_s)).encode()
        with appearing(place) as aside:
            write_files(aside, {**package.files, RECORD_NAME: record})
        try:
            self._save(self._ledger().noted("published", (package.ref,), (), mark))
        except RegistryUnwritableError:
            remove_folder(place)
            raise

    def _sign(self, package: Package, stored: VersionSummary) -> None:
        place = self._place(package.ref)
        replace_file(place / SIGNATURE_NAME, package.files[SIGNATURE_NAME])
        replace_file(place / RECORD_NAME, pack(package.summary(stored.at_s)).encode())

    def _files(self, ref: VersionRef) -> dict[str, bytes]:
        if not self._known(ref):
            raise UnknownVersionError(f"there is no {ref.label} with digest {ref.digest[:12]}")
        return examine(self._place(ref), self._rules.trust, ref).files

    def _ledger(self) -> Ledger:
        try:
            return read_ledger((self._folder / _LEDGER).read_bytes())
        except FileNotFoundError:
            return Ledger()
        except OSError as error:
            raise RegistryUnwritableError(f"{self._folder}: cannot be read: {error.strerror}") from error

    def _save(self, ledger: Ledger) -> Ledger:
        replace_file(self._folder / _LEDGER, ledger.to_bytes())
        return ledger

    @contextmanager
    def _locked(self) -> Iterator[Ledger]:
        """Hold the folder's lock, which the system gives back when a process dies, and give the books."""
        path = self._folder / ".lock"
        with explained(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        with file:
            deadline = time.monotonic() + LOCK_PATIENCE_S
            while not _try_lock(file.fileno()):
                if time.monotonic() > deadline:
                    raise RegistryUnwritableError(f"{path}: another process has held it for {LOCK_PATIENCE_S:.0f} s")
                threading.Event().wait(_RETRY_S)
            yield self._ledger()


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
