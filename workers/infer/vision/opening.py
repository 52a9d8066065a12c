"""Which pipeline and which decoder go with a backend: on the host, or on a device from the JPEG on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.errors import BackendError
from common.log import Log
from common.models.manifest import ModelVersion
from workers.backends.backend import Backend
from workers.infer.metrics import InferMetrics
from workers.infer.settings import InferSettings
from workers.infer.vision.decoding import Decoder, FrameDecoder
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings
from workers.infer.vision.timing import StageTimer, no_timer

if TYPE_CHECKING:
    from workers.infer.vision.devicedecoder import Hardware

_log = Log("infer")


def pipeline_for(
    backend: Backend,
    models: tuple[ModelVersion, ModelVersion],
    settings: PipelineSettings | None = None,
    timer: StageTimer = no_timer,
) -> FacePipeline:
    """Make the pipeline that goes with a backend; one that says ``on_device`` gets pictures that stay there.

    Args:
        backend: What computes the networks.
        models: Detector and classifier that it computes.
        settings: What counts as a face.
        timer: See `FacePipeline`.
    """
    if not getattr(backend, "on_device", False):
        return FacePipeline(backend, *models, settings, timer)
    from workers.infer.vision.devicepipeline import DevicePipeline

    return DevicePipeline(backend, *models, settings, timer)  # type: ignore[arg-type]  # it said what it is


def decoder_for(backend: Backend, infer: InferSettings, metrics: InferMetrics) -> Decoder:
    """Make the decoder that goes with a backend.

    Where the device cannot decode, the CPU does; one log line says why.
    """
    if not getattr(backend, "on_device", False):
        return FrameDecoder(
            infer.decode_threads, reduced=infer.reduced_decoding, halved=infer.glance, timer=metrics.time_stage
        )
    from workers.backends.torch_lane import Lane
    from workers.infer.vision.devicedecoder import DecodingNotes, DeviceDecoder

    device = backend.lane.device  # type: ignore[attr-defined]
    return DeviceDecoder(
        Lane(device),
        hardware_for(device),
        infer.decode_threads,
        reduced=infer.reduced_decoding,
        notes=DecodingNotes(metrics.time_stage, metrics.decode_fallbacks.inc),
    )


def hardware_for(device: Any) -> Hardware | None:
    """Find the decoder of a device; None where there is none, after a log line that names what is missing."""
    from common.models.torchvision_compat import jpeg_decoder

    try:
        return jpeg_decoder(device)
    except BackendError as error:
        _log.warning("gpu_decoding_unused", because=str(error), instead="cpu")
        return None
