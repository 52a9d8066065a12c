"""What a whole installation looks like at one moment, as anybody with the operator's rights can read it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from common.broker.client import Client, connect
from common.broker.fitness import probe
from common.broker.judging import unjudged_s
from common.broker.lag import broker_now_ms, lags
from common.broker.models.store import BrokerRegistry
from common.broker.ownership import PartitionStore
from common.broker.reading import order_of
from common.broker.vitals import read_vitals
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, ConfigError, WireError
from common.partition import Keys
from common.schema import FrameResult, MarkResult, Outcome, read_result
from common.settings import ServiceSettings
from maskwatch.connection import StateDesk, secret

WINDOW_S = 10.0
READ_COUNT = 4000


@dataclass(slots=True)
class CameraFacts:
    """One camera of the plan over the last seconds; ``state`` is ``unheard`` where no producer speaks of it.

    ``skew_s``: its producer's clock less the broker's, s, by the newest mark; its time on the way makes it less.
    """

    state: str = "unheard"
    cause: str = ""
    fps_captured: float = 0.0
    fps_processed: float = 0.0
    dropped: dict[str, int] = field(default_factory=dict)
    backlog_s: float | None = None
    skew_s: float = 0.0


@dataclass(slots=True)
class WorkerFacts:
    """One inference worker: frames a second of late, and which models it says to serve."""

    fps: float = 0.0
    generation: int | None = None
    models: str = ""
    state: str = ""


@dataclass(slots=True)
class BrokerFacts:
    """One broker; ``trouble`` is why it, or a node of it, cannot be asked; without ``server`` it is all of it."""

    trouble: str = ""
    server: str = ""
    memory_bytes: int | None = None
    limit_bytes: int = 0
    persisting: bool | None = None
    skew_s: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Situation:
    """Everything at one moment."""

    site: str = ""
    plan: int = 0
    plan_trouble: str = ""
    privacy: str = ""
    generation: int = 0
    cameras: dict[str, CameraFacts] = field(default_factory=dict)
    workers: dict[str, WorkerFacts] = field(default_factory=dict)
    brokers: dict[str, BrokerFacts] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    partitions: int = 0
    unjudged_s: dict[int, float] = field(default_factory=dict)
    site_owner: str = ""
    notifier: str = ""


def survey(settings: ServiceSettings) -> Situation:
    """Ask both brokers once.

    Raises:
        BrokerError: The state broker does not answer; without it nothing is known.
    """
    found = Situation()
    desk = StateDesk.open(settings)
    found.partitions = desk.keys.partitions
    found.brokers["state"] = _broker(desk.client, "state")
    for read in (_read_plan, _read_judges, _read_results, _read_models):
        try:
            read(found, desk)
        except BrokerUnavailableError as error:
            if not error.node:  # what lives at that node is not known; the broker's trouble names it
                raise
    _read_frames(found, settings, desk.keys)
    return found


def _read_plan(found: Situation, desk: StateDesk) -> None:
    try:
        plan = desk.plan()
    except ConfigError as error:
        found.plan_trouble = str(error)
        return
    found.plan = desk.plans.version() or 0
    found.site, found.privacy = plan.site, plan.privacy.mode
    found.cameras = {camera.id: CameraFacts() for camera in plan.cameras}


def _read_judges(found: Situation, desk: StateDesk) -> None:
    found.owners = {number: holder.owner for number, holder in desk.partitions.owners().items() if number >= 0}
    found.unjudged_s = unjudged_s(desk.client, desk.keys)
    notify = PartitionStore(desk.client, desk.blocking, Keys(f"{desk.keys.prefix}:notify", 1), "status")
    found.notifier = next((holder.owner for holder in notify.owners().values()), "")


def _read_results(found: Situation, desk: StateDesk) -> None:
    since = f"{broker_now_ms(desk.client) - round(1000 * WINDOW_S)}-0"
    offsets = dict.fromkeys(range(desk.keys.partitions), since)
    for entries in desk.partitions.read(offsets, READ_COUNT, 0).values():
        take(found, ((order_of(entry_id)[0], payload) for entry_id, payload in entries))


def take(found: Situation, entries: Iterable[tuple[int, bytes]]) -> None:
    """Add up results and marks of the last `WINDOW_S` seconds, each with its broker time, ms; not foreign ones."""
    for entry_ms, payload in entries:
        try:
            message = read_result(payload)
        except WireError:
            continue
        camera = found.cameras.get(message.camera)
        if camera is None:
            continue
        if isinstance(message, MarkResult):
            camera.state, camera.cause = message.mark.state.value, message.mark.cause
            camera.fps_captured = message.mark.fps
            camera.skew_s = round(message.mark.at - entry_ms / 1000, 1)
        else:
            _take_result(found, camera, message)


def _take_result(found: Situation, camera: CameraFacts, result: FrameResult) -> None:
    if result.outcome is Outcome.OK:
        camera.fps_processed += 1 / WINDOW_S
        worker = found.workers.setdefault(result.worker, WorkerFacts())
        worker.fps += 1 / WINDOW_S
        refs = [ref for ref in (result.detector, result.classifier) if ref is not None]
        worker.models = ", ".join(f"{ref.name} {ref.version}" for ref in refs)
    else:
        reason = result.reason or result.outcome.value
        camera.dropped[reason] = camera.dropped.get(reason, 0) + 1


def _read_models(found: Situation, desk: StateDesk) -> None:
    registry = BrokerRegistry(desk.client, desk.keys.prefix)
    found.generation = registry.current().generation
    for name, report in registry.workers().items():
        worker = found.workers.setdefault(name, WorkerFacts())
        worker.generation, worker.state = report.generation, report.state


def _read_frames(found: Situation, settings: ServiceSettings, keys: Keys) -> None:
    try:
        client = connect(settings.frames_url, password=secret(settings.frames_password))
    except BrokerError as error:
        found.brokers["frames"] = BrokerFacts(trouble=str(error))
        return
    found.brokers["frames"] = facts = _broker(client, "frames")
    if not facts.server:
        return
    try:
        backlog = lags(client, {keys.frames(camera): camera for camera in found.cameras})
    except BrokerRefusedError:
        return
    for camera, lag_s in backlog.items():
        found.cameras[camera].backlog_s = None if math.isnan(lag_s) else round(lag_s, 2)


def _broker(client: Client, role: str) -> BrokerFacts:
    try:
        fit = probe(client, "frames" if role == "frames" else "state")
        server = f"{fit.server} {fit.version}"
        if fit.away:
            words = (
                f"{', '.join(fit.away)} of its nodes does not answer; what lives there waits, everything else goes on"
            )
            warnings = tuple(text for text in fit.warnings if not any(name in text for name in fit.away))
            return BrokerFacts(words, server, warnings=warnings)
        vitals = read_vitals(client)
    except BrokerError as error:
        return BrokerFacts(trouble=str(error))
    return BrokerFacts(
        "", server, vitals.memory_bytes, vitals.limit_bytes, vitals.persisting, vitals.skew_s, fit.warnings
    )
