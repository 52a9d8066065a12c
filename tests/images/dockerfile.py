"""What a Dockerfile builds on and copies, and what .dockerignore keeps from it: as much as a rehearsal must know."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_NAME = re.compile(r"\$\{(\w+)\}")


@dataclass
class Stage:
    """One ``FROM``: what it starts from, and what it copies.

    Attributes:
        name: As later stages call it.
        base: Another stage, or an image.
        copied: Paths that it takes from the build context.
        stages: Stages that it copies from.
    """

    name: str
    base: str
    copied: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Give each instruction's keyword and the rest, lines joined and comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        keyword, _, rest = line.partition(" ")
        yield keyword.upper(), rest.strip()


def read(text: str) -> dict[str, Stage]:
    """Read the stages by name, with the arguments that stand before the first one filled in.

    Raises:
        ValueError: A stage has no name, or an argument no value.
    """
    given: dict[str, str] = {}
    found: dict[str, Stage] = {}
    stage: Stage | None = None
    for keyword, rest in instructions(text):
        if keyword == "ARG" and stage is None:
            name, _, given[name] = rest.partition("=")
        elif keyword == "FROM":
            stage = _stage(rest, given)
            found[stage.name] = stage
        elif keyword in ("COPY", "ADD") and stage is not None:
            _note_copy(stage, rest)
    return found


def images(stages: dict[str, Stage]) -> set[str]:
    """Give the images that must be there before anything can be built."""
    return {stage.base for stage in stages.values()} - stages.keys()


def is_ignored(path: str, patterns: str) -> bool:
    """Say whether .dockerignore, whose text is ``patterns``, keeps a path of the context from being copied.

    The last line that matches the path, or a folder that it lies in, decides.
    """
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    ignored = False
    for line in patterns.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!").strip("/")
        if any(_matches(one, wanted) for one in above):
            ignored = not pattern.startswith("!")
    return ignored


def _stage(rest: str, given: dict[str, str]) -> Stage:
    words = rest.split()
    if len(words) != 3 or words[1].upper() != "AS":
        raise ValueError(f"FROM {rest}: a stage is named: FROM image AS name")
    if unknown := set(_NAME.findall(words[0])) - given.keys():
        raise ValueError(f"FROM {rest}: no value for {', '.join(sorted(unknown))}")
    return Stage(words[2], _NAME.sub(lambda name: given[name[1]], words[0]))


def _note_copy(stage: Stage, rest: str) -> None:
    words = shlex.split(rest)
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    if "from" in flags:
        stage.stages.append(flags["from"])
    else:
        stage.copied += [word.removeprefix("./") for word in words[:-1] if not word.startswith("--")]


def _matches(path: str, pattern: str) -> bool:
    """Match name by name: ``*`` stays within a name, ``**/`` stands for any number of folders, none included."""
    if pattern.startswith("**/"):
        rest = pattern[3:]
        parts = path.split("/")
        return any(_matches("/".join(parts[start:]), rest) for start in range(len(parts)))
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatchcase, names, wanted))
