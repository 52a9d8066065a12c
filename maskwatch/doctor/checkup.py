"""``maskwatch doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.errors import BrokerError, ConfigError, MaskwatchError
from common.settings import ENV_PREFIX, ServiceSettings, load

Verdict = Literal["ok", "note", "missing"]
STYLES: dict[Verdict, str] = {"ok": "green", "note": "yellow", "missing": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        verdict: ``ok``; ``note`` for what only some uses need; ``missing`` for what nothing works without.
        found: What is there.
        advice: How to get what is missing; empty where nothing is.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def run_checkup(*, as_json: bool) -> int:
    """Look at everything and print it; gives exit status 1 where something needed is missing."""
    findings = [check() for check in CHECKS]
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        Console().print(_table(findings))
    return 1 if any(finding.verdict == "missing" for finding in findings) else 0


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None)
    for name in ("", "what", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        mark = f"[{STYLES[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(mark, escape(finding.name), escape(finding.found), escape(finding.advice))
    return table


def _python() -> Finding:
    return Finding("python", "ok", sys.version.split()[0])


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().total / 2**30
    wide = sorted({"avx2", "avx512f", "avx512_bf16", "amx_bf16"} & _cpu_flags())
    found = f"{cores} cores, {memory:.0f} GiB, {' '.join(wide) or 'no wide vectors known'}"
    few = cores < 2
    return Finding(
        "machine", "note" if few else "ok", found, "two cores or more keep up with more cameras" if few else ""
    )


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def _package(name: str, only_for: str = "", source: str = "maskwatch") -> Callable[[], Finding]:
    def check() -> Finding:
        try:
            if find_spec(name) is not None:
                return Finding(name, "ok", version(name))
        except (PackageNotFoundError, ModuleNotFoundError):
            pass
        advice = f"only for {only_for}: pip install '{source}'" if only_for else f"pip install {source}"
        return Finding(name, "note" if only_for else "missing", "not installed", advice)

    return check


def _embedded_broker() -> Finding:
    from common.broker.embedded.program import find_server

    try:
        return Finding("embedded broker", "ok", find_server().name)
    except BrokerError as error:
        return Finding("embedded broker", "missing", str(error), "or set MASKWATCH_FRAMES_URL and MASKWATCH_STATE_URL")


def _release() -> Finding:
    from common.models.manifest import bundled, load_version

    try:
        names = [load_version(bundled(kind), kind).manifest for kind in ("detector", "classifier")]
    except MaskwatchError as error:
        return Finding("bundled models", "missing", str(error), "install the package again")
    return Finding("bundled models", "ok", ", ".join(f"{one.name} {one.version}" for one in names))


def _video() -> Finding:
    import cv2

    lines = [line.split(":")[1].split()[0] for line in cv2.getBuildInformation().splitlines() if "FFMPEG:" in line]
    if lines and lines[0] == "YES":
        return Finding("video decoding", "ok", f"OpenCV {cv2.__version__} with FFmpeg")
    return Finding("video decoding", "missing", "OpenCV without FFmpeg", "use the wheel opencv-python-headless")


def _gpu() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "note", "none seen", "not needed; inference runs on the CPU")
    return Finding("gpu", "ok", "an NVIDIA driver is installed")


def _settings() -> Finding:
    try:
        load(ServiceSettings)
    except ConfigError as error:
        return Finding("settings", "missing", str(error), "correct the variable")
    count = sum(name.startswith(ENV_PREFIX) for name in os.environ)
    return Finding("settings", "ok", f"{count} {ENV_PREFIX}… variables set")


def _broker() -> Finding:
    if not {f"{ENV_PREFIX}STATE_URL", f"{ENV_PREFIX}FRAMES_URL"} & os.environ.keys():
        return Finding("broker", "ok", "none named; `up` and `demo` start their own")
    from maskwatch.connection import StateDesk

    try:
        keys = StateDesk.open(load(ServiceSettings)).keys
    except MaskwatchError as error:
        return Finding("broker", "missing", str(error), "start it, or correct MASKWATCH_STATE_URL")
    return Finding("broker", "ok", f"answers, {keys.partitions} partitions under '{keys.prefix}'")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _machine,
    _package("redis"),
    # An installation without it is meant so: images of roles that do not look at pictures leave it out.
    _package("openvino", "inference on CPUs", "openvino"),
    _video,
    _embedded_broker,
    _release,
    _package("torch", "train", "maskwatch[train]"),
    _package("torchvision", "train", "maskwatch[train]"),
    _gpu,
    _settings,
    _broker,
)
