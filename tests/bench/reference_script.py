"""The well-known script, written anew: an SSD face detector in OpenCV, then MobileNetV2 at 224 px on each face.

Frame by frame, as such scripts do it: decode, resize to 300 px, detect, cut each face, resize to 224 px, normalise, and
run the classifier once on the frame's faces in eager torch. ``maskwatch bench cpu`` runs it beside a worker, as

    python -m tests.bench.reference_script WEIGHTS_FOLDER CORE

Standard input: one line of JSON, ``{"lengths": [bytes of each frame]}``, followed by the frames, and then one line
``RUN COUNT`` for each round. Standard output: one line of JSON when it is ready and one for each round.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CONFIDENCE = 0.5
MEAN_BGR = (104.0, 177.0, 123.0)


def build(weights: Path) -> tuple[Any, Any]:
    """Load the detector and make the classifier: MobileNetV2, average pool, dense 128, ReLU, dropout, dense 3."""
    import cv2
    import torch

    from common.models.networks import build_classifier

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector = cv2.dnn.readNetFromTensorflow(
        str(weights / "opencv_face_detector_uint8.pb"), str(weights / "opencv_face_detector.pbtxt")
    )
    return detector, build_classifier("mobilenet_v2").eval()


def look(data: bytes, detector: Any, classifier: Any) -> int:
    """Look at one JPEG; gives how many faces were classified."""
    import cv2
    import numpy as np
    import torch

    frame = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    height, width = frame.shape[:2]
    detector.setInput(cv2.dnn.blobFromImage(frame, 1.0, (300, 300), MEAN_BGR))
    found = detector.forward().reshape(-1, 7)
    faces = []
    for row in found[found[:, 2] > CONFIDENCE]:
        x1, y1, x2, y2 = (row[3:7] * [width, height, width, height]).astype(int)
        face = frame[max(0, y1) : min(height - 1, y2), max(0, x1) : min(width - 1, x2)]
        if not face.size:
            continue
        face = cv2.resize(cv2.cvtColor(face, cv2.COLOR_BGR2RGB), (224, 224))
        faces.append(face.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1.0)
    if faces:
        with torch.no_grad():
            torch.softmax(classifier(torch.from_numpy(np.stack(faces))), dim=1).argmax(dim=1).tolist()
    return len(faces)


def main() -> None:
    """Serve rounds until standard input ends."""
    os.sched_setaffinity(0, {int(sys.argv[2])})
    source = sys.stdin.buffer
    frames = [source.read(length) for length in json.loads(source.readline())["lengths"]]
    detector, classifier = build(Path(sys.argv[1]))
    faces = sum(look(frame, detector, classifier) for frame in frames)
    print(json.dumps({"faces_per_frame": faces / len(frames)}), flush=True)
    for line in source:
        count = int(line.split()[1])
        began, used = time.perf_counter(), time.process_time()
        for number in range(count):
            look(frames[number % len(frames)], detector, classifier)
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
