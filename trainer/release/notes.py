"""What a release says about its data and its weaknesses; kept here so that every release says it alike."""

from __future__ import annotations

from common.models.manifest import Kind

SCENES = [
    "voc853 and voc853hi: public mask detection set of airports, metro, streets (CC0 upstream, pictures from the web)",
    "aizoo: pictures of the kinds of MAFA and WIDER FACE (research use)",
    "wider: WIDER FACE (research use)",
    "portraits: 256 px portraits with and without masks (from the web, research use)",
    "maskon_synthetic: masks pasted on portraits (CC BY-NC-SA upstream)",
]
CROPS = [
    "kaggle12k, chandrika, rmfd, rxkt: public sets of faces with and without masks (from the web, mostly research use)",
]
STARTS: dict[Kind, str] = {
    "detector": "started from YuNet-n of libfacedetection.train (Apache-2.0), itself trained on WIDER FACE",
    "classifier": "started from ImageNet MobileNetV2 weights (Apache-2.0)",
}
WEAKNESSES: dict[Kind, list[str]] = {
    "detector": [
        "Faces below 12 px on the canvas are often missed.",
        "Landmarks of masked faces follow the starting network, never taught where a covered mouth is.",
        "Heads seen from behind with a bright neck are taken for faces at times, mostly with scores below 0.7.",
        "Hands, badges, lamps and clothes are taken for faces now and then.",
    ],
    "classifier": [
        "Wrongly worn masks were learnt mostly from pasted and drawn masks; real ones are recognised less reliably.",
        "A mask resting on the neck and a bright collar under the chin are told apart poorly (incorrect or no_mask).",
        "Hands, scarves and cups in front of the mouth may be taken for a mask.",
        "Below 24 px a verdict is a guess.",
        "Three classes only: niqabs, visors and respirators with a clear window are not judged separately.",
    ],
}
THRESHOLDS: dict[Kind, dict[str, float]] = {"detector": {"score": 0.7, "iou": 0.45}, "classifier": {"probability": 0.6}}


def standard_notes(kind: Kind, version: str, command: str) -> dict[str, object]:
    """Give the notes of a release of the bundled kinds."""
    data = SCENES if kind == "detector" else SCENES + CROPS
    return {
        "version": version,
        "command": command,
        "training_data": [STARTS[kind], *data],
        "weaknesses": WEAKNESSES[kind],
        "thresholds": THRESHOLDS[kind],
    }
