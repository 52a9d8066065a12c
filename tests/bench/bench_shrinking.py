"""How much smaller a JPEG becomes on the way to dark or blurred: ``python -m tests.bench.bench_shrinking``.

Each photograph of the scenes that is neither is blurred, and darkened, until a producer would just call it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from common import images, jpeg
from common.images import Picture
from common.settings import shared_folder
from producers import picture
from producers.picture import Reading
from producers.picture_state import StateRules
from producers.sources.source import SourceFrame

STEP = 1.15
PHOTOGRAPHS = 120


def reading(photograph: Picture) -> Reading:
    """Look at a picture as a producer does."""
    height, width = photograph.shape[:2]
    return picture.read(picture.thumbnail(SourceFrame(0.0, width, height, photograph)))


def blurred(photograph: Picture, amount: float) -> Picture:
    return images.blur(photograph, amount)


def darkened(photograph: Picture, amount: float) -> Picture:
    return np.asarray(photograph / amount, np.uint8)


def shrunk(photograph: Picture, spoil: Callable[[Picture, float], Picture], bad: Callable[[Reading], bool]) -> float:
    """Give the size at which a picture is just bad enough, as a share of its size as it is."""
    amount = 1.0
    while not bad(reading(spoilt := spoil(photograph, amount))):
        amount *= STEP
    return len(jpeg.encode(spoilt)) / len(jpeg.encode(photograph))


def photographs(folder: Path) -> Iterator[Picture]:
    """Give photographs that are plainly bright and sharp, at most 1280 px wide."""
    rules = StateRules()
    paths = sorted(folder.rglob("*.jpg"))
    for path in paths[:: max(1, len(paths) // PHOTOGRAPHS)]:
        found = cv2.imread(str(path))
        if found is None or found.shape[1] < picture.THUMBNAIL_WIDTH_PX:
            continue
        fitted = picture.fit(np.asarray(found, np.uint8), 1280)
        looks = reading(fitted)
        if looks.luma > 1.5 * rules.dark_luma and looks.sharpness > 1.5 * rules.blurred_sharpness:
            yield fitted


def main() -> None:
    shared = shared_folder()
    if shared is None:
        raise SystemExit("needs the scenes in ../shared/data/scenes beside the repository")
    rules = StateRules()
    shares: dict[str, list[float]] = {"blurred": [], "dark": []}
    for photograph in photographs(shared / "data/scenes"):
        shares["blurred"].append(shrunk(photograph, blurred, lambda one: one.sharpness < rules.blurred_sharpness))
        shares["dark"].append(shrunk(photograph, darkened, lambda one: one.luma < rules.dark_luma))
    for name, values in shares.items():
        least, middle, most = np.quantile(values, (0, 0.5, 1))
        print(f"{name}: {len(values)} photographs, {least:.2f} to {most:.2f} of their size, half of them {middle:.2f}")


if __name__ == "__main__":
    main()
