"""``maskwatch bench cpu | gpu | decode | broker | capacity``: what this machine can do, measured here."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True, rich_markup_mode=None)

AS_JSON = typer.Option(False, "--json", help="One JSON object, last on standard output, and nothing else there.")


@app.command()
def cpu(
    seconds: float = typer.Option(20.0, "--seconds", min=1, max=3600, help="About how long the rounds may take."),
    reference_weights: Path | None = typer.Option(
        None, "--reference-weights", help="Folder with OpenCV's SSD face detector: measure the well-known script too."
    ),
    plot: Path | None = typer.Option(None, "--plot", help="Picture of where the time goes (PNG)."),
    as_json: bool = AS_JSON,
) -> None:
    """One core: frames a second from the broker to the result, beside decoding alone and the well-known script."""
    from maskwatch.bench.cpu import CpuBench
    from maskwatch.bench.tables import show_cpu

    report = CpuBench(seconds, reference_weights).run()
    if plot is not None:
        from maskwatch.bench.plot import draw_stages

        draw_stages(report.stages, plot)
    show_cpu(report, as_json=as_json)


@app.command()
def gpu(
    seconds: float = typer.Option(30.0, "--seconds", min=1, max=3600, help="About how long the rounds may take."),
    device: str = typer.Option("cuda", "--device", help="cuda, cuda:1 and so on; cpu only tries the same way there."),
    batch: int = typer.Option(64, "--batch", min=1, max=256, help="Frames of a batch."),
    frames: int = typer.Option(64, "--frames", min=1, max=64, help="Different frames."),
    as_json: bool = AS_JSON,
) -> None:
    """One GPU: frames a second from JPEG to results, beside decoding alone and the networks alone, and parity."""
    from common.errors import BackendError
    from common.log import configure

    configure("warning")
    try:
        from maskwatch.bench.gpu import GpuBench
        from maskwatch.bench.gputables import show_gpu
    except ImportError as error:
        raise BackendError(f"bench gpu: {error}; install maskwatch[gpu]") from error
    show_gpu(GpuBench(seconds, device, batch, frames).run(), as_json=as_json)


@app.command()
def decode(
    seconds: float = typer.Option(5.0, "--seconds", min=1, max=3600, help="About how long it may take."),
    size: str = typer.Option("1280x720", "--size", help="Frames, WxH px."),
    as_json: bool = AS_JSON,
) -> None:
    """One core: frames a second from JPEG to pixels, at full, half and quarter size."""
    from maskwatch.bench.rates import decode_rates
    from maskwatch.bench.tables import show_rates

    rates, notes = decode_rates(seconds, _size(size))
    show_rates("frames a second that one core decodes", rates, notes, as_json=as_json)


@app.command()
def broker(
    seconds: float = typer.Option(5.0, "--seconds", min=1, max=3600, help="About how long it may take."),
    size: str = typer.Option("1280x720", "--size", help="Frames, WxH px."),
    as_json: bool = AS_JSON,
) -> None:
    """The embedded broker: frames a second written, read and acknowledged, and results a second written."""
    from maskwatch.bench.rates import broker_rates
    from maskwatch.bench.tables import show_rates

    rates, notes = broker_rates(seconds, _size(size))
    show_rates("a second, one client", rates, notes, as_json=as_json)


def _size(text: str) -> tuple[int, int]:
    width, mark, height = text.partition("x")
    if not (mark and width.isdigit() and height.isdigit() and 160 <= int(width) <= 4096 and 120 <= int(height) <= 4096):
        raise typer.BadParameter(f"{text!r} must be WIDTHxHEIGHT in px, 160x120 to 4096x4096", param_hint="--size")
    return int(width), int(height)


@app.command()
def capacity(
    cameras: int = typer.Option(..., "--cameras", min=1, max=1_000_000, help="Cameras that the site should carry."),
    fps: float = typer.Option(5.0, "--fps", min=0.1, max=120, help="Frames a second of each."),
    size: str = typer.Option("1280x720", "--size", help="Frames, WxH px."),
    objective_ms: float = typer.Option(250.0, "--objective-ms", min=10, max=60_000, help="p95 capture to result."),
    as_json: bool = AS_JSON,
) -> None:
    """Find how many cameras this machine carries, and say what the wanted number needs."""
    from maskwatch.bench.capacity import CapacityBench, Wanted
    from maskwatch.bench.tables import show_capacity

    wanted = Wanted(cameras, fps, _size(size), objective_ms)
    raise typer.Exit(show_capacity(wanted, CapacityBench(wanted).run(), as_json=as_json))
