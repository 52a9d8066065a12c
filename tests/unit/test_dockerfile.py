"""The reader of the Dockerfile, and that the build context holds all that is copied from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.images.dockerfile import images, is_ignored, read
from tests.images.proofs import ABSENT, IMPORTED, hardening, volumes

ROOT = Path(__file__).resolve().parents[2]
SMALL = """# a comment
ARG VERSION=3.11
FROM python:${VERSION} AS build
COPY --chown=1:1 a.txt \\
     ./b ./
# in between
RUN one \\
# within a line
 && two
FROM build AS role
COPY --from=build /opt /opt
"""
IGNORED = """
# all but
*
!code
**/__pycache__
code/*.tmp
"""


def test_stages_name_their_base_and_what_they_copy() -> None:
    stages = read(SMALL)
    assert stages["build"].base == "python:3.11"
    assert stages["build"].copied == ["a.txt", "b"]
    assert (stages["role"].base, stages["role"].stages, stages["role"].copied) == ("build", ["build"], [])
    assert images(stages) == {"python:3.11"}


@pytest.mark.parametrize("line", ["FROM python", "FROM python:${NOBODY} AS one"])
def test_a_stage_without_name_or_value_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="FROM python"):
        read(line)


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("other", True),
        ("code", False),
        ("code/one.py", False),
        ("code/one.tmp", True),
        ("code/deep/one.tmp", False),
        ("code/deep/__pycache__/one.pyc", True),
        ("other/code", True),
    ],
)
def test_the_last_line_that_matches_decides_what_is_ignored(path: str, ignored: bool) -> None:
    assert is_ignored(path, IGNORED) is ignored


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    stages = read((ROOT / "deploy/docker/Dockerfile").read_text())
    patterns = (ROOT / ".dockerignore").read_text()
    copied = {path for stage in stages.values() for path in stage.copied}
    assert {"requirements.lock", "maskwatch"} <= copied
    assert {path for path in copied if not (ROOT / path).exists() or is_ignored(path, patterns)} == set()
    assert is_ignored("maskwatch/__pycache__/cli.pyc", patterns)
    assert is_ignored("secrets/producer", patterns)


def test_every_target_of_compose_is_a_stage_and_is_rehearsed() -> None:
    stages = read((ROOT / "deploy/docker/Dockerfile").read_text())
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    targets = {one["build"]["target"] for one in services.values() if "build" in one}
    assert targets <= stages.keys()
    assert targets == ABSENT.keys() == IMPORTED.keys()
    assert len(images(stages)) == 1


def test_a_container_is_as_hard_as_its_service_says() -> None:
    service = {
        "user": "10001:10001",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": ["/tmp:size=1m"],
        "volumes": ["./site:/site:ro", "kept:/data"],
    }
    words = " ".join(hardening(service))
    for wanted in (
        "--user 10001:10001",
        "--read-only ",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--tmpfs /tmp:size=1m",
    ):
        assert wanted in words
    assert volumes(service) == {"kept": "/data"}
    assert "--read-only" not in hardening({"user": "1:1"})
