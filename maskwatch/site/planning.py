"""``maskwatch site publish | history | diff | rollback``: the published plan and the versions before it."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.broker.planfeed import read_plan
from common.broker.plans import Byline, PlanStore, PlanVersion
from common.errors import ConfigError, SitePlanError
from common.privacyfloor import check_floor
from common.scale import scale_advice
from common.settings import ServiceSettings, host_name, load
from common.siteplan import SitePlan, load_plan
from maskwatch.connection import desk
from maskwatch.site import changes

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Publishing:
    """How something is published.

    Attributes:
        by: Who does it; empty: the user at this machine.
        note: Why, in a few words.
        expect: The version that must be in force now; None for any.
    """

    by: str = ""
    note: str = ""
    expect: int | None = None

    def byline(self, note: str = "") -> Byline:
        """Give name and note, on one line each; ``note`` stands in for a missing one."""
        return Byline(_one_line(self.by or _user()), _one_line(self.note or note))


def publish(path: Path, how: Publishing, *, dry_run: bool = False) -> None:
    """Show what a plan changes and put it in force; with ``dry_run`` only show.

    Raises:
        SitePlanError: It cannot be used, or another version than expected is in force; that stays.
    """
    plan = load_plan(path)
    check_floor(plan, load(ServiceSettings).privacy_floor, str(path))
    at = desk()
    store = at.plans
    tell_size(plan, at.keys.partitions)
    version, before = _in_force(store)
    found = changes.compare(before, plan)
    for line in changes.lines(found) if dry_run else []:
        print(line)
    if dry_run:
        if how.expect is not None and how.expect != version:
            raise ConfigError(f"version {version} is in force, not {how.expect}; publishing would be refused")
        print(f"dry run against version {version}: {changes.summary(found)}; nothing was published")
        return
    number = store.publish(plan.to_bytes(), how.byline(), expect=how.expect)
    print(f"published '{plan.site}' with {len(plan.cameras)} cameras as version {number}: {changes.summary(found)}")


def tell_size(plan: SitePlan, partitions: int) -> None:
    """Say on standard error where a plan is larger than what was tried, or than its partitions suit."""
    for words in scale_advice(len(plan.cameras), partitions):
        print(f"maskwatch: note: {words}", file=sys.stderr)


def history(*, as_json: bool) -> None:
    """Print the versions that are kept, the newest first."""
    store = desk().plans
    in_force = store.version()
    versions = store.history()
    if as_json:
        print(json.dumps([_as_data(version, in_force) for version in versions], ensure_ascii=False))
        return
    if not versions:
        print("no site plan was ever published here")
        return
    width = max(2, *(len(version.byline.author) for version in versions))
    print(f"version  {'published':20}  {'by':{width}}  cameras  note")
    for version in versions:
        row = _as_data(version, in_force)
        cameras = "?" if row["cameras"] is None else row["cameras"]
        mark = "*" if row["in_force"] else " "
        line = f"{version.number:>6}{mark}  {row['at']:20}  {row['by']:{width}}  {cameras:>7}  {row['note']}"
        print(line.rstrip())


def diff(old: int | None, new: int | None, *, as_json: bool) -> None:
    """Print what differs between two versions.

    Args:
        old: Earlier version; None: the one before the one in force.
        new: Later version; None: the one in force.
        as_json: One JSON object instead of lines.

    Raises:
        SitePlanError: A version that is not kept, or cannot be read.
    """
    store = desk().plans
    later = new if new is not None else store.version()
    earlier = old if old is not None else later - 1
    if not later:
        raise ConfigError("no site plan is published here; run: maskwatch site publish SITE.yaml")
    before = _plan_at(store, earlier) if earlier else None
    found = changes.compare(before, _plan_at(store, later))
    if as_json:
        content = {"from": earlier, "to": later, "changes": [change.as_data() for change in found]}
        print(json.dumps(content, ensure_ascii=False))
        return
    print(f"version {earlier} → {later}: {changes.summary(found)}")
    for line in changes.lines(found):
        print(line)


def rollback(number: int, how: Publishing) -> None:
    """Publish the content of an earlier version as a new one; nothing in the history is lost.

    Raises:
        SitePlanError: It is not kept, this release cannot read it, or another version than expected is in force.
    """
    store = desk().plans
    plan = _plan_at(store, number)
    check_floor(plan, load(ServiceSettings).privacy_floor, f"version {number}")
    _, before = _in_force(store)
    found = changes.compare(before, plan)
    version = store.publish(plan.to_bytes(), how.byline(f"rollback to version {number}"), expect=how.expect)
    print(f"version {number} is in force again as version {version}: {changes.summary(found)}")


def _in_force(store: PlanStore) -> tuple[int, SitePlan | None]:
    stored = store.load()
    if stored is None:
        return 0, None
    try:
        return stored[0], read_plan(stored[1], f"version {stored[0]}")
    except SitePlanError as error:
        first = str(error).splitlines()[0]
        print(f"maskwatch: what is stored as version {stored[0]} cannot be compared with: {first}", file=sys.stderr)
        return stored[0], None


def _plan_at(store: PlanStore, number: int) -> SitePlan:
    return read_plan(store.at(number).payload, f"version {number}")


def _as_data(version: PlanVersion, in_force: int) -> dict[str, Any]:
    try:
        cameras: int | None = len(read_plan(version.payload, "").cameras)
    except SitePlanError:
        cameras = None
    return {
        "version": version.number,
        "at": datetime.fromtimestamp(version.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": version.byline.author,
        "note": version.byline.note,
        "cameras": cameras,
        "in_force": version.number == in_force,
    }


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{host_name()}"
    except (OSError, KeyError):  # a user id without a name, as in many containers
        return f"unknown@{host_name()}"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_LONGEST]
