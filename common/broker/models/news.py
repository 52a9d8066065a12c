"""Tells the site of what happened in the model registry: one ``maskwatch.model.status.v1`` for each log entry."""

from __future__ import annotations

import uuid
from typing import get_args

from common.broker.siteinbox import SiteInbox, SiteNews
from common.events.model import MODEL_STATUS_TYPE, ModelAction, ModelStatusData, VersionInfo
from common.events.naming import timestamp
from common.models.registry import LogEntry, Pointer, Registry, VersionRef

_NAMESPACE = uuid.UUID("6d61736b-7761-5463-8000-6d6f64656c73")
_LOOKED_AT = 100


def announce(inbox: SiteInbox, entry: LogEntry) -> bool:
    """Post a log entry; again is harmless, because its id follows from it. False: nothing the site is told about."""
    if entry.action not in get_args(ModelAction):
        return False
    data = ModelStatusData(
        action=entry.action,
        generation=entry.generation,
        refs=[_info(ref) for ref in entry.refs],
        previous=[_info(ref) for ref in entry.previous],
        by=entry.by,
        why=entry.why,
        at=timestamp(entry.at_s),
    )
    facts = f"{entry.number}|{entry.action}|{entry.generation}|{round(1000 * entry.at_s)}"
    name = str(uuid.uuid5(_NAMESPACE, facts))
    inbox.post(SiteNews(MODEL_STATUS_TYPE, name, "models", "", entry.at_s, data.model_dump(mode="json")))
    return True


def announce_move(inbox: SiteInbox, registry: Registry, pointer: Pointer) -> bool:
    """Post the promotion or rollback that made a generation; False where it is not in the log any more."""
    for entry in registry.log(_LOOKED_AT):
        if entry.generation == pointer.generation and entry.action in ("promoted", "rolled_back"):
            return announce(inbox, entry)
    return False


def announce_last(inbox: SiteInbox, registry: Registry, action: ModelAction) -> bool:
    """Post the newest entry of an action, such as the refusal or rollout that was just logged."""
    for entry in registry.log(_LOOKED_AT):
        if entry.action == action:
            return announce(inbox, entry)
    return False


def _info(ref: VersionRef) -> VersionInfo:
    return VersionInfo(kind=ref.kind, version=ref.version, digest=ref.digest)
