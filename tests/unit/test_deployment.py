"""What is shipped to run it: Compose, images and Kubernetes are valid, hardened, and name settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"].startswith("maskwatch/")}
SEES_PIXELS = {"producer", "infer", "infer-gpu", "trainer", "desk", "frames"}
MANIFESTS = sorted((DEPLOY / "kubernetes" / "base").glob("*.yaml"))
OVERLAYS = ["base", "overlays/cpu", "overlays/gpu", "overlays/statistics"]
KUBERNETES = "1.33"


def documents(text: str) -> list[dict[str, Any]]:
    """All documents of a YAML text that Kubernetes itself defines."""
    found = [one for one in yaml.safe_load_all(text) if one]
    return [one for one in found if not one["apiVersion"].startswith(("kustomize.", "keda."))]


def run(*command: str) -> str:
    """Run a checker; what it complains of is the message of the failure."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_reads_its_file() -> None:
    profiles = [f"--profile={name}" for one in COMPOSE["services"].values() for name in one.get("profiles", [])]
    run("docker-compose", *profiles, "config", "--quiet")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_is_hardened_bounded_and_pinned(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"] if name != "desk" else True
    assert "healthcheck" in service or name == "desk"
    assert re.search(r":v?\d+\.\d+(\.\d+)?", service["image"]), service["image"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_only_roles_that_need_pixels_reach_the_frames_broker() -> None:
    assert {name for name, one in COMPOSE["services"].items() if "frames" in one["networks"]} == SEES_PIXELS
    assert all(COMPOSE["networks"][name]["internal"] for name in ("frames", "state", "metrics"))
    out = {name for name, one in COMPOSE["services"].items() if {"egress", "cameras"} & set(one["networks"])}
    assert out == {"producer", "notify", "alertmanager"}


def test_secrets_are_files_and_nothing_else() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert value.startswith("/run/secrets/"), name
                assert value.rpartition("/")[2] in service["secrets"]
            assert not re.search(r"://[^@/]*:[^@/]+@", value), f"{name} holds a password"
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_every_variable_that_is_set_is_a_setting() -> None:
    from maskwatch.settings_list import variables

    known = variables()
    text = (ROOT / "docker-compose.yml").read_text() + "".join(
        path.read_text() for path in (*DEPLOY.rglob("*.yaml"), DEPLOY / "docker" / "Dockerfile")
    )
    used = set(re.findall(r"\bMASKWATCH_[A-Z0-9_]+", text))
    assert used
    assert used <= known, used - known


def test_the_frames_broker_keeps_nothing_and_the_state_broker_keeps_all() -> None:
    frames, state = ((DEPLOY / "valkey" / f"{name}.conf").read_text() for name in ("frames", "state"))
    assert 'save ""\n' in frames
    assert "appendonly no\n" in frames
    assert "appendonly yes\n" in state
    assert all("maxmemory-policy noeviction\n" in text for text in (frames, state))


def test_the_dockerfile_has_no_known_fault() -> None:
    run(str(Path(sys.executable).parent / "hadolint"), str(DEPLOY / "docker" / "Dockerfile"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(path: Path) -> None:
    for one in documents(path.read_text()):
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_pod_is_hardened(path: Path) -> None:
    for one in documents(path.read_text()):
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()
            assert "livenessProbe" in container
            assert "readinessProbe" in container


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_builds_what_kubernetes_knows(overlay: str) -> None:
    built = run("kubectl", "kustomize", str(DEPLOY / "kubernetes" / overlay))
    found = documents(built)
    for one in found:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    names = {one["metadata"]["name"] for one in found if one["kind"] == "Deployment"}
    assert names == {"producer", "infer", "judge"} | ({"notify"} if "statistics" not in overlay else set())
    assert ("PRIVACY_FLOOR" in built) == ("statistics" in overlay)
    assert ("nvidia.com/gpu" in built) == ("gpu" in overlay)
