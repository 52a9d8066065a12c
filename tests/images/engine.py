"""A container engine for one rehearsal: podman, with its images, volumes and networks in one folder of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import until

_STORAGE = """[storage]
driver = "overlay"
graphroot = "{0}/store"
runroot = "{0}/run"
"""
# Podman would raise the limits of a process, and a sandbox may forbid that; crun refuses machines that mount both
# versions of cgroups, runc does not.
_CONTAINERS = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "netavark"
network_config_dir = "{0}/networks"
"""
Done = subprocess.CompletedProcess[str]


class EngineError(Exception):
    """A command of the engine failed; the message ends with what it said."""


@dataclass
class Engine:
    """Builds and runs containers; ``folder`` holds everything.

    Attributes:
        folder: Of this engine alone; one that an engine had before, at the same place, spares building again.
    """

    folder: Path

    def __post_init__(self) -> None:
        for name, text in {"storage": _STORAGE, "containers": _CONTAINERS}.items():
            (self.folder / f"{name}.conf").write_text(text.format(self.folder))
        self.log = self.folder / "engine.log"

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of every command of the engine."""
        return os.environ | {
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
            "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "DOCKER_HOST": f"unix://{self.folder}/engine.sock",
        }

    def call(self, *words: str | Path, cwd: Path | None = None, timeout_s: float = 120) -> Done:
        """Run a command and give its end, whatever that is; what it says goes to the engine's log too."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        with self.log.open("a", encoding="utf-8") as log:
            print("+", *words, f"→ {done.returncode}\n{done.stdout}{done.stderr}", file=log)
        return done

    def podman(self, *words: str | Path, timeout_s: float = 120) -> str:
        """Run podman and give what it printed.

        Raises:
            EngineError: It failed.
        """
        return _good(self.call("podman", *words, timeout_s=timeout_s))

    def build(self, context: Path, file: Path, target: str, tag: str, options: Sequence[str] = ()) -> None:
        """Build one target of a Dockerfile, with the network of this machine.

        Raises:
            EngineError: A step failed.
        """
        where = ("--file", file, "--target", target, "--tag", tag, context)
        self.podman("build", "--format", "docker", "--layers", "--network", "host", *options, *where, timeout_s=3600)

    def compose(self, project: Path, *words: str, timeout_s: float = 300) -> Done:
        """Run docker-compose on the file of ``project`` through this engine, which must be `served`."""
        profiles = ("--profile", "notify", "--profile", "desk", "--profile", "trainer")
        return self.call(
            "docker-compose", "--project-name", "images", *profiles, *words, cwd=project, timeout_s=timeout_s
        )

    @contextmanager
    def served(self) -> Iterator[None]:
        """Offer the engine to programs that speak Docker's interface while the block runs."""
        socket = self.folder / "engine.sock"
        with (self.folder / "service.log").open("w") as log:
            words = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
            process = subprocess.Popen(words, env=self.env, stdout=log, stderr=log)
        try:
            until(socket.exists, 30)
            yield
        finally:
            process.terminate()
            process.wait(30)

    def clear(self) -> None:
        """End all containers and forget volumes and networks; images stay."""
        for words in (("rm", "--all", "--force"), ("volume", "prune", "--force"), ("network", "prune", "--force")):
            self.call("podman", *words)

    def close(self) -> None:
        """Forget everything, images too."""
        self.call("podman", "system", "reset", "--force", timeout_s=600)


def _good(done: Done) -> str:
    if done.returncode != 0:
        raise EngineError(f"{' '.join(map(str, done.args[:3]))} …: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
