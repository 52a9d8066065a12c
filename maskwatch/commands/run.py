"""``maskwatch up | demo`` (everything on this machine) and ``producer | infer | judge | notify`` (one role each)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

NO_END = 0.0


class SummaryForm(StrEnum):
    """How a run ends its output."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    for command in (up, demo, producer, infer, judge, notify):
        app.command(command.__name__)(command)


_SECONDS = typer.Option(NO_END, "--seconds", min=0, help="End by itself after so many seconds; 0: run on.")
_SUMMARY = typer.Option(SummaryForm.TEXT, "--summary", help="Form of the summary at the end; json prints it last.")
_WORKERS = typer.Option(1, "--workers", min=1, max=64, help="Inference processes.")
_VIEW = typer.Option(False, "--view", help="Show the cameras, annotated, in a browser page on this machine.")
_VIEW_PORT = typer.Option(8090, "--view-port", min=0, max=65535, help="Port of that page; 0 takes a free one.")
_BACKEND = typer.Option("", "--backend", help="Inference backend: auto, openvino, torch.")


def up(
    site: Path = typer.Argument(help="Site plan, YAML."),
    seconds: float = _SECONDS,
    summary: SummaryForm = _SUMMARY,
    workers: int = _WORKERS,
    view: bool = _VIEW,
    view_port: int = _VIEW_PORT,
    backend: str = _BACKEND,
    data: Path | None = typer.Option(None, "--data", help="Folder that keeps events and state; else they end with it."),
    trainer: bool = typer.Option(False, "--trainer", help="Train on operators' labels, too; see docs/trainer.md."),
) -> None:
    """Run a whole site on this machine: brokers, producers, inference and judge."""
    from common.privacyfloor import check_floor
    from common.settings import ServiceSettings, load
    from common.siteplan import load_plan
    from maskwatch.run.running import RunOptions, run_site

    options = RunOptions(
        seconds, summary == SummaryForm.JSON, workers, view_port if view else None, backend, data, trainer
    )
    if trainer:
        from trainer.service.settings import TrainerSettings

        load(TrainerSettings).check()
    plan = load_plan(site).resolved(site.parent)
    check_floor(plan, load(ServiceSettings).privacy_floor, str(site))
    raise typer.Exit(run_site(plan, options))


def demo(
    seconds: float = _SECONDS,
    summary: SummaryForm = _SUMMARY,
    workers: int = _WORKERS,
    view: bool = _VIEW,
    view_port: int = _VIEW_PORT,
    backend: str = _BACKEND,
    fps: float = typer.Option(8.0, "--fps", min=3, max=25, help="Frames a second of each camera."),
) -> None:
    """Run four synthetic cameras through the whole pipeline and compare its events with the scene's truth."""
    from maskwatch.run.demo import run_demo
    from maskwatch.run.running import RunOptions

    options = RunOptions(seconds, summary == SummaryForm.JSON, workers, view_port if view else None, backend, None)
    raise typer.Exit(run_demo(options, fps))


def producer(
    site: Path | None = typer.Option(
        None, "--site", help="Site plan, YAML, read once at the start; else the published one, followed as it changes."
    ),
    camera: list[str] = typer.Option([], "--camera", help="Serve only this camera; may be repeated."),
    shard: str = typer.Option("", "--shard", help="Serve part i of n of the cameras: 1/3, 2/3, 3/3."),
    metrics_port: int | None = typer.Option(None, "--metrics-port", help="Port of /metrics and health; 0: a free one."),
) -> None:
    """Read cameras and publish their frames."""
    from maskwatch.roles import run_producer

    raise typer.Exit(run_producer(site, camera, shard, metrics_port))


def infer(
    backend: str = _BACKEND,
    index: int | None = typer.Option(None, "--index", min=0, help="Number of this process on this machine."),
    metrics_port: int | None = typer.Option(None, "--metrics-port", help="Port of /metrics and health; 0: a free one."),
) -> None:
    """Find and classify faces in frames and publish results."""
    from maskwatch.roles import run_infer

    raise typer.Exit(run_infer(backend, index, metrics_port))


def judge(
    metrics_port: int | None = typer.Option(None, "--metrics-port", help="Port of /metrics and health; 0: a free one."),
) -> None:
    """Turn results into violation events."""
    from maskwatch.roles import run_judge

    raise typer.Exit(run_judge(metrics_port))


def notify(
    receivers: Path = typer.Option(
        ..., "--receivers", envvar="MASKWATCH_NOTIFY_RECEIVERS", help="YAML file: who gets which events, and how."
    ),
    metrics_port: int | None = typer.Option(None, "--metrics-port", help="Port of /metrics and health; 0: a free one."),
) -> None:
    """Deliver events to webhooks and MQTT brokers."""
    from maskwatch.roles import run_notify

    raise typer.Exit(run_notify(receivers, metrics_port))
