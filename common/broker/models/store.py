"""The model registry on the state broker: versions, the pointer with its generation, the log of who did what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from common.broker.client import Client, call
from common.broker.lag import broker_now_ms
from common.broker.models.blobs import ModelBlobs
from common.broker.models.scripts import MOVE, PUBLISH, REFUSED, REPORT, RETIRE, ROLLOUT
from common.broker.scripts import Argument
from common.errors import FencedError, StaleGenerationError, UnknownVersionError, VersionRefusedError
from common.models.admission import Package, examine, read_published
from common.models.cache import settle
from common.models.manifest import MANIFEST_NAME, Manifest
from common.models.records import as_data, one_line, pack, ref_data, ref_of, unpack
from common.models.registry import LogEntry, Pointer, Rollout, VersionRef, VersionSummary, WorkerModels
from common.models.retention import DEFAULT_RULES, GENERATIONS_KEPT, LOG_KEPT, RegistryRules, surplus
from common.models.signatures import SIGNATURE_NAME
from common.partition import Keys


@dataclass(frozen=True, slots=True)
class Fence:
    """A lease that its holder moves pointer and rollout by: refused as a whole where the epoch is another one.

    Attributes:
        key: Hash with the field ``epoch``, in the slot of the site's keys.
        epoch: Gives the epoch of the lease that is held.
    """

    key: str
    epoch: Callable[[], int]


class BrokerRegistry:
    """Keeps the contract of ``common.models.registry.Registry`` (state endpoint).

    Attributes:
        fence: The lease by which whoever works by itself may move anything; None for people.
    """

    def __init__(self, client: Client, prefix: str, rules: RegistryRules = DEFAULT_RULES) -> None:
        """Use a command client and the first part of the installation's keys."""
        self._client = client
        self._rules = rules
        self.fence: Fence | None = None
        site = Keys(prefix).site
        self._blobs = ModelBlobs(client, prefix)
        self._pointer, self._versions, self._log = site("models"), site("models:versions"), site("models:log")
        self._generations, self._workers = site("models:generations"), site("models:workers")

    def publish(self, folder: Path, by: str = "", why: str = "") -> VersionRef:
        """Check a version folder and keep a copy; see `Registry.publish`. Files above 64 MB are refused."""
        package = examine(folder, self._rules.trust)
        ref = package.ref
        stored = self._record(ref)
        files = {name: content for name, content in package.files.items() if name != SIGNATURE_NAME}
        if stored is None:
            self._blobs.check_sizes(files)
            self._blobs.check_room(sum(len(content) for content in files.values()))
            uploads = [self._blobs.upload(content) for content in files.values()]
        else:
            uploads = []
        keys = [self._pointer, self._versions, self._blobs.uploads, self._log, *(one.key for one in uploads)]
        arguments: list[Argument] = [ref.label, _record_of(package, files), one_line(by), one_line(why), LOG_KEPT]
        for one in uploads:
            arguments += [one.size, one.sha256]
        verdict, found = PUBLISH.run(self._client, keys, arguments)
        if verdict == b"taken":
            words = f"{ref.label} is published with other content (digest {found.decode()[:12]}); take another version"
            raise VersionRefusedError("taken", words)
        if verdict == b"missing":
            raise VersionRefusedError("hash", f"{ref.label}: a file was removed while it was published; try again")
        self.delete_unused(self._rules.keep)
        return ref

    def fetch(self, ref: VersionRef, into: Path) -> Path:
        """Give the complete and verified folder ``into / ref.folder``; see `Registry.fetch`."""
        return settle(ref, into, self._rules.trust, lambda: self._files(ref))

    def manifest(self, ref: VersionRef) -> Manifest:
        """Give a version's manifest; see `Registry.manifest`."""
        size = int(self._need(ref)["files"][MANIFEST_NAME]["size"])
        return read_published(self._blobs.download(ref.digest, size), ref)

    def versions(self) -> list[VersionSummary]:
        """List the versions, the newest first."""
        stored = call(self._client, "HVALS", self._versions)
        found = [unpack(VersionSummary, json.loads(record)["summary"]) for record in stored]
        return sorted(found, key=lambda one: (one.at_s, one.ref), reverse=True)

    def current(self) -> Pointer:
        """Say what is in service."""
        stored = call(self._client, "HGET", self._pointer, "pointer")
        return Pointer() if stored is None else unpack(Pointer, stored)

    def promote(self, refs: Sequence[VersionRef], expected: int, by: str, why: str) -> Pointer:
        """Put versions in service, if generation ``expected`` is still in force; see `Registry.promote`."""
        wanted = json.dumps([ref_data(ref) for ref in refs])
        return self._move(expected, ["promoted", one_line(by), one_line(why), wanted, ""])

    def rollback(self, by: str, why: str, to: int | None = None, expected: int | None = None) -> Pointer:
        """Make a new generation of an earlier one's versions; see `Registry.rollback`."""
        goal = "" if to is None else to
        return self._move(expected, ["rolled_back", one_line(by), one_line(why), "", goal])

    def log(self, count: int) -> list[LogEntry]:
        """Give the last ``count`` entries, the newest first."""
        found = call(self._client, "XREVRANGE", self._log, "+", "-", "COUNT", max(1, count))
        return [unpack(LogEntry, _field(content, b"entry")) for _, content in found]

    def refused(self, refs: Sequence[VersionRef], by: str, why: str) -> None:
        """Log that somebody did not take versions."""
        at = self.current()
        wanted, previous = (json.dumps([ref_data(ref) for ref in some]) for some in (refs, at.refs))
        arguments: list[Argument] = [wanted, one_line(by), one_line(why), LOG_KEPT, at.generation, previous]
        REFUSED.run(self._client, [self._log], arguments)

    def rollout(self) -> Rollout | None:
        """Give the rollout under way."""
        stored = call(self._client, "HGET", self._pointer, "rollout")
        return None if stored is None else unpack(Rollout, stored)

    def set_rollout(self, rollout: Rollout | None, by: str = "", why: str = "") -> None:
        """Start, change or end a rollout; see `Registry.set_rollout`."""
        text = "" if rollout is None else pack(rollout)
        by, why = (by, why) if rollout is None else (by or rollout.by, why or rollout.why)
        keys = [self._pointer, self._versions, self._log]
        keys, last = self._fenced(keys)
        verdict, found = ROLLOUT.run(self._client, keys, [text, one_line(by), one_line(why), LOG_KEPT, *last])
        if verdict != b"ok":
            _refuse(verdict, found, None if rollout is None else rollout.base_generation)

    def report(self, worker: str, models: WorkerModels) -> None:
        """Say what a worker serves."""
        REPORT.run(self._client, [self._workers], [one_line(worker), pack(models), round(self._rules.report_ttl_s)])

    def workers(self) -> dict[str, WorkerModels]:
        """Give what every live worker said last."""
        stored: Mapping[bytes, bytes] = call(self._client, "HGETALL", self._workers)
        oldest = broker_now_ms(self._client) / 1000 - self._rules.report_ttl_s
        found = {name.decode(): unpack(WorkerModels, report) for name, report in sorted(stored.items())}
        return {name: report for name, report in found.items() if report.at_s > oldest}

    def retire(self, ref: VersionRef, by: str, why: str) -> None:
        """Forget a version that nobody needs; see `Registry.retire`."""
        record = self._need(ref)
        hashes = [str(file["sha256"]) for file in record["files"].values()]
        keys = [self._pointer, self._versions, self._generations, self._workers, self._log]
        keys += [self._blobs.key(sha256) for sha256 in hashes]
        arguments: list[Argument] = [ref.label, ref.digest, one_line(by), one_line(why), LOG_KEPT]
        verdict, found = RETIRE.run(self._client, keys, [*arguments, str(self._rules.report_ttl_s), *hashes])
        if verdict == b"unknown":
            raise UnknownVersionError(f"{ref.label} is gone already")
        if verdict == b"needed":
            raise VersionRefusedError("needed", f"{ref.label} stays: {found.decode()}")

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
        """Remove what publishing left half-done more than an hour ago; say how many files are still under way."""
        return self._blobs.sweep()

    def _move(self, expected: int | None, arguments: Sequence[Argument]) -> Pointer:
        keys = [self._pointer, self._versions, self._generations, self._log]
        first: Argument = "" if expected is None else expected
        keys, last = self._fenced(keys)
        verdict, found = MOVE.run(self._client, keys, [first, *arguments, LOG_KEPT, GENERATIONS_KEPT, *last])
        if verdict != b"ok":
            _refuse(verdict, found, expected)
        return unpack(Pointer, found)

    def _fenced(self, keys: list[str]) -> tuple[list[str], list[Argument]]:
        return (keys, []) if self.fence is None else ([*keys, self.fence.key], [str(self.fence.epoch())])

    def _record(self, ref: VersionRef) -> dict[str, Any] | None:
        stored = call(self._client, "HGET", self._versions, ref.label)
        record: dict[str, Any] | None = None if stored is None else json.loads(stored)
        return record if record and record["summary"]["ref"]["digest"] == ref.digest else None

    def _need(self, ref: VersionRef) -> dict[str, Any]:
        record = self._record(ref)
        if record is None:
            raise UnknownVersionError(f"there is no {ref.label} with digest {ref.digest[:12]}")
        return record

    def _files(self, ref: VersionRef) -> dict[str, bytes]:
        record = self._need(ref)
        listed = record["files"].items()
        files = {name: self._blobs.download(file["sha256"], int(file["size"])) for name, file in listed}
        if record.get("signature"):
            files[SIGNATURE_NAME] = record["signature"].encode()
        return files


def _record_of(package: Package, files: Mapping[str, bytes]) -> str:
    listed = {name: {"sha256": sha256(content).hexdigest(), "size": len(content)} for name, content in files.items()}
    signature = package.signature.to_bytes().decode() if package.signature else ""
    return json.dumps({"summary": as_data(package.summary(0.0)), "files": listed, "signature": signature})


def _field(content: Mapping[bytes, bytes] | Sequence[bytes], name: bytes) -> bytes:
    if isinstance(content, Mapping):
        return content[name]
    return content[list(content).index(name) + 1]


def _refuse(verdict: bytes, found: bytes, expected: int | None) -> NoReturn:
    if verdict == b"fenced":
        raise FencedError("the lease was taken over by another; nothing was changed")
    if verdict == b"stale":
        at = unpack(Pointer, found)
        raise StaleGenerationError(-1 if expected is None else expected, at.generation, at.by, at.why)
    if verdict == b"unkept":
        raise UnknownVersionError(f"generation {found.decode()} is not kept; nothing was changed")
    ref = ref_of(json.loads(found))
    raise UnknownVersionError(f"there is no {ref.label if ref else '?'} with this digest; nothing was changed")
