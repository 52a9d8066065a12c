"""Leaves small pictures of faces on the frames broker, before the result that names them is published.

Nothing here may cost a frame its result: whatever goes wrong, the picture is dropped, counted, and not named.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common import jpeg
from common.broker.frames.pictures import MAX_BYTES, NewPicture, PictureStore
from common.errors import BrokerError
from common.geometry import FloatArray
from common.images import Picture
from common.log import Log, OncePer
from common.models.preprocess import face_crops
from common.pictures import CANDIDATE_S, PictureKind, PictureRules
from common.schema import PictureNote
from workers.infer.looking import Decoded
from workers.infer.metrics import InferMetrics
from workers.infer.outcomes import Finished
from workers.infer.pictures.choosing import Allowance, Chooser, Wanted
from workers.infer.pictures.portrait import Shot, portraits
from workers.infer.versions.serving import Serving
from workers.infer.vision.pipeline import FacePipeline

SNAPSHOT_QUALITY, CROP_QUALITY = 80, 92
AWAY_S = 5.0
SHARE = 0.1
"""Share of a worker's time that snapshots may take: where it has too much to do already, there are fewer of them."""
MOST_A_BATCH = 4
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class _Order:
    """One face of one frame of the batch that is to be pictured."""

    slot: int
    wanted: Wanted
    rules: PictureRules


@dataclass(frozen=True, slots=True)
class _Made:
    order: _Order
    kind: PictureKind
    picture: Picture
    new: NewPicture


class Candidates:
    """Pictures faces that may be violations, and crops where there is consent. Used by one thread.

    Attributes:
        rules: Camera id to what is allowed there; only cameras where anything is. Another thread may exchange it.

    Args:
        serving: The networks, to look for faces in what was made.
        store: Where pictures go; its client should give up soon.
        metrics: Where drops are counted.
    """

    def __init__(self, serving: Serving, store: PictureStore, metrics: InferMetrics) -> None:
        self.rules: Mapping[str, PictureRules] = {}
        self._serving = serving
        self._store = store
        self._metrics = metrics
        self._chooser = Chooser()
        self._away_until = float("-inf")
        self._rest_until = float("-inf")
        self._pictured: dict[str, float] = {}  # camera → when a face of it was chosen last
        self._once = OncePer(10.0, time.monotonic)

    def illustrate(self, frames: Sequence[Decoded], finished: list[Finished]) -> list[Finished]:
        """Picture faces of a batch, and name the pictures in its results.

        Args:
            frames: The decoded batch.
            finished: What became of it, in the same order.

        Returns:
            The same results; faces with a picture say so.
        """
        if not self.rules:
            return finished
        began = time.perf_counter()
        try:
            orders = self._orders(finished)
            if not orders:
                return finished
            noted = self._noted(finished, self._put(self._made(frames, finished, orders)))
            if any(order.wanted.suspected for order in orders):
                self._rest_until = time.monotonic() + (time.perf_counter() - began) * (1 / SHARE - 1)
        except Exception as error:  # noqa: BLE001 - a picture must never cost a frame its result
            self._drop("failed", 1)
            _log.warning("pictures_failed", error=type(error).__name__)
            return finished
        self._metrics.time_stage("picture", time.perf_counter() - began)
        return noted

    def _orders(self, finished: Sequence[Finished]) -> list[_Order]:
        now = time.monotonic()
        orders: list[_Order] = []
        left = 0 if now < self._rest_until else MOST_A_BATCH
        for slot in sorted(range(len(finished)), key=lambda slot: self._turn(finished[slot])):
            one = finished[slot]
            rules = self.rules.get(one.frame.camera)
            if rules is None or not one.faces or one.size is None:
                continue
            seen, allowed = (one.faces, one.size), Allowance(now, min(left, MOST_A_BATCH // 2))
            chosen = self._chooser.choose(rules, one.frame.picture_name, seen, allowed)
            orders += [_Order(slot, wanted, rules) for wanted in chosen]
            suspected = sum(wanted.suspected for wanted in chosen)
            left -= suspected
            if suspected:
                self._pictured[one.frame.camera] = now
        if orders and now < self._away_until:
            self._drop("away", len(orders))
            return []
        return orders

    def _turn(self, one: Finished) -> float:
        """Let those cameras choose first that were not pictured for long."""
        return self._pictured.get(one.frame.camera, float("-inf"))

    def _made(self, frames: Sequence[Decoded], finished: Sequence[Finished], orders: Sequence[_Order]) -> list[_Made]:
        made: list[_Made] = []
        with self._serving.batch() as served:
            made += self._snapshots(served.pipeline, frames, finished, [one for one in orders if one.wanted.snapshot])
            for order in orders:
                if order.wanted.crop_s:
                    made += self._crop(served.pipeline, frames[order.slot][1].picture, finished[order.slot], order)
        return made

    def _snapshots(
        self,
        pipeline: FacePipeline,
        frames: Sequence[Decoded],
        finished: Sequence[Finished],
        orders: Sequence[_Order],
    ) -> list[_Made]:
        if not orders:
            return []
        full = {slot: full_size(frames[slot]) for slot in {order.slot for order in orders}}
        shots = []
        for order in orders:
            boxes = boxes_px(finished[order.slot], full[order.slot])
            face = order.wanted.ref.face
            shots.append(Shot(full[order.slot], boxes[face], np.delete(boxes, face, 0), order.rules.redacted))
        made: list[_Made] = []
        for order, picture in zip(orders, portraits(shots, pipeline.find, pipeline.min_score), strict=True):
            if picture is None:
                self._drop("others_visible", 1)
            else:
                made += self._coded(order, "snapshot", picture, float(CANDIDATE_S))
        return made

    def _crop(self, pipeline: FacePipeline, picture: Picture, finished: Finished, order: _Order) -> list[_Made]:
        box = boxes_px(finished, picture)[order.wanted.ref.face]
        shape = pipeline.classifier.classifier_input
        crop: Picture = face_crops(picture, box[None], shape.side, shape.margin)[0]
        return self._coded(order, "crop", crop, order.wanted.crop_s)

    def _coded(self, order: _Order, kind: PictureKind, picture: Picture, live_s: float) -> list[_Made]:
        data = jpeg.encode(picture, SNAPSHOT_QUALITY if kind == "snapshot" else CROP_QUALITY)
        if len(data) > MAX_BYTES:
            self._drop("too_large", 1)
            return []
        new = NewPicture(order.wanted.ref._replace(kind=kind), data, round(1000 * live_s))
        return [_Made(order, kind, picture, new)]

    def _put(self, made: Sequence[_Made]) -> list[_Made]:
        """Give those that are on the broker."""
        try:
            answers = self._store.put_many([one.new for one in made])
        except BrokerError as error:
            self._away_until = time.monotonic() + AWAY_S
            self._refused(error, len(made))
            return []
        stored = []
        for one, answer in zip(made, answers, strict=True):
            if answer is True:
                self._metrics.pictures.labels(one.kind).inc()
                stored.append(one)
            elif answer is False:
                self._drop("full", 1)
            else:
                self._refused(answer, 1)
        return stored

    def _noted(self, finished: list[Finished], stored: Sequence[_Made]) -> list[Finished]:
        noted = list(finished)
        for one in stored:
            slot, face = one.order.slot, one.order.wanted.ref.face
            faces = list(noted[slot].faces)
            faces[face] = faces[face].model_copy(update={"picture": _note(one, faces[face].picture)})
            noted[slot] = replace(noted[slot], faces=tuple(faces))
        return noted

    def _refused(self, error: BrokerError, count: int) -> None:
        self._drop(error.code, count)
        held = self._once.permit(error.code)
        if held is not None:
            _log.warning("pictures_dropped", code=error.code, held_back=held)

    def _drop(self, reason: str, count: int) -> None:
        self._metrics.pictures_dropped.labels(reason).inc(count)


def full_size(decoded: Decoded) -> Picture:
    """Give a frame's picture in full: a face in half the pixels would tell a person little."""
    frame, small = decoded
    if small.whole:
        return small.picture
    return jpeg.decode(frame.jpeg)


def boxes_px(finished: Finished, picture: Picture) -> FloatArray:
    """Give the faces of a result, float32, (K, 4), in px of a picture of its frame at any scale."""
    height, width = picture.shape[:2]
    boxes = np.array([face.box for face in finished.faces], np.float32).reshape(-1, 4)
    return (boxes * np.array([width, height, width, height], np.float32)).astype(np.float32)


def _note(one: _Made, before: PictureNote | None) -> PictureNote:
    """Describe a picture; where there are two of a face the snapshot is described, which is made first."""
    if before is not None:
        return before.model_copy(update={"kinds": (*before.kinds, one.kind)})
    height, width = one.picture.shape[:2]
    digest = hashlib.sha256(one.new.jpeg).hexdigest()
    hidden = one.kind == "snapshot" and one.order.rules.redacted
    return PictureNote(kinds=(one.kind,), width=width, height=height, sha256=digest, blurred=hidden)
