"""What an image must prove by itself: whom it runs as, what it cannot write, what it holds and what it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.images.engine import Engine

ABSENT = {
    "producer": {"torch", "openvino", "pip"},
    "judge": {"torch", "openvino", "pip"},
    "notify": {"torch", "openvino", "pip"},
    "infer": {"torch", "nvidia", "pip"},
    "infer-gpu": {"pip"},
    "trainer": {"pip"},
}
"""What must not be in a target's image; `nvidia` is the home of all CUDA libraries."""
PRESENT = {
    "infer": {"openvino"},
    "infer-gpu": {"torch", "torchvision"},
    "trainer": {"torch", "torchvision", "onnx", "openvino"},
}
IMPORTED = {
    "producer": "producers.service",
    "judge": "workers.judge.service",
    "notify": "workers.notify.service",
    "infer": "workers.backends.openvino_backend",
    "infer-gpu": "workers.backends.torch_backend",
    "trainer": "trainer.service.service",
}
"""A module that loads every library that the target's role works with."""
_CLOSED = ("/", "/etc", "/run", "/var/tmp", "/opt/maskwatch")
_PROBE = """
import errno, importlib, importlib.util, json, os, sys

def write(folder):
    try:
        with open(os.path.join(folder, "probe"), "w"):
            return "written"
    except OSError as error:
        return errno.errorcode[error.errno]

names = ["torch", "torchvision", "openvino", "nvidia", "onnx", "pip"]
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "writes": {folder: write(folder) for folder in sys.argv[2:]},
    "held": [name for name in names if importlib.util.find_spec(name)],
    "imported": importlib.import_module(sys.argv[1]).__name__,
}))
"""


@dataclass
class Proof:
    """What was seen of one image.

    Attributes:
        target: Of the Dockerfile.
        size_mb: All layers with the base, 10⁶ bytes.
        base_mb: The base alone, 10⁶ bytes.
        facts: What the probe said inside, ``hard`` as a service and ``bare`` as the image alone.
        wrong: What is not as it must be; empty if all is well.
    """

    target: str
    size_mb: int
    base_mb: int
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def hardening(service: Mapping[str, Any]) -> list[str]:
    """Give the options of `podman run` for what a Compose service says of its user, rights and file system."""
    options = ["--user", service["user"], "--network", "none", "--no-healthcheck"]
    options += ["--read-only", "--read-only-tmpfs=false"] if service.get("read_only") else []
    options += [word for one in service.get("cap_drop", ()) for word in ("--cap-drop", one)]
    options += [
        word for one in service.get("security_opt", ()) for word in ("--security-opt", one.removesuffix(":true"))
    ]
    options += [word for one in service.get("tmpfs", ()) for word in ("--tmpfs", one)]
    return options + [word for name, folder in volumes(service).items() for word in ("--volume", f"{name}:{folder}")]


def volumes(service: Mapping[str, Any]) -> dict[str, str]:
    """Give the volumes that the engine keeps for a service, and the folders that they appear at."""
    pairs = (one.split(":")[:2] for one in service.get("volumes", ()))
    return {name: folder for name, folder in pairs if not name.startswith((".", "/"))}


def prove(engine: Engine, target: str, service: Mapping[str, Any], base: str) -> Proof:
    """Start an image as its Compose service would be, without any network, and look around inside.

    Raises:
        EngineError: It does not start at all.
    """
    image = service["image"]
    proof = Proof(target, _size_mb(engine, image), _size_mb(engine, base))
    hard = hardening(service)
    own = list(volumes(service).values())
    # Bare: without what Compose adds. The image's user, and a tree that belongs to somebody else, must do then.
    for name, options in {"hard": hard, "bare": ["--network", "none", "--no-healthcheck"]}.items():
        words = ("--entrypoint", "python", image, "-c", _PROBE, IMPORTED[target], *_CLOSED, "/tmp", *own)
        proof.facts[name] = json.loads(engine.podman("run", "--rm", *options, *words))
    proof.wrong += [*_of_rights(proof.facts, own), *_of_contents(target, set(proof.facts["hard"]["held"]))]
    role = engine.podman("image", "inspect", "--format", "{{index .Config.Cmd 0}}", image).strip()
    for words in ((role, "--help"), ("doctor",)):
        done = engine.call("podman", "run", "--rm", *hard, image, *words)
        if done.returncode != 0:
            proof.wrong.append(f"{' '.join(words)}: status {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    return proof


def _size_mb(engine: Engine, image: str) -> int:
    return round(int(engine.podman("image", "inspect", "--format", "{{.Size}}", image)) / 1e6)


def _of_rights(facts: Mapping[str, Any], own: Sequence[str]) -> list[str]:
    wrong = []
    hard, bare = facts["hard"], facts["bare"]
    if {hard["uid"], hard["gid"], bare["uid"], bare["gid"]} != {10001}:
        wrong.append("runs as somebody else than 10001")
    if hard["capabilities"] or not hard["no_new_privileges"]:
        wrong.append("has rights that its service drops")
    if hard["writes"] != dict.fromkeys(_CLOSED, "EROFS") | dict.fromkeys(("/tmp", *own), "written"):
        wrong.append(f"writing: {hard['writes']}")
    if any(bare["writes"][folder] != "EACCES" for folder in ("/", "/etc", "/opt/maskwatch")):
        wrong.append(f"writing to its own tree where that is not read-only: {bare['writes']}")
    return wrong


def _of_contents(target: str, held: set[str]) -> list[str]:
    wrong = [f"holds {name}" for name in sorted(ABSENT[target] & held)]
    return wrong + [f"lacks {name}" for name in sorted(PRESENT.get(target, set()) - held)]
