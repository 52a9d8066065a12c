"""What faces wear: a small network is asked first, the classifier where that is not sure.

A cascade as in Viola and Jones ("Robust Real-Time Face Detection", IJCV 2004), by confidence; ``docs/adr/0054`` says
how much is lost by it and what it brings.
"""

from __future__ import annotations

import numpy as np

from common.models.manifest import ModelVersion
from workers.backends.backend import Backend, Pixels, Quick, Scores, quick


class Verdicts:
    """Classifies crops. Used by one thread at a time.

    Args:
        backend: Computes the classifier.
    """

    def __init__(self, backend: Backend) -> None:
        self._classify = backend.classify

    def of(self, crops: Pixels) -> Scores:
        """Give the probabilities of crops; see `Backend.classify`."""
        return self._classify(crops)

    def spend(self, crops: Pixels) -> None:
        """Compute what crops take."""
        self._classify(crops)

    def warm_up(self) -> None:
        """Prepare what the backend's own warm-up does not."""


class QuickVerdicts(Verdicts):
    """Asks the small network first.

    Args:
        backend: Computes the classifier.
        small: Computes the small network.
        sure: A face whose highest probability is below goes to the classifier, 0..1.
    """

    def __init__(self, backend: Backend, small: Quick, sure: float) -> None:
        super().__init__(backend)
        self._small, self._sure = small, sure

    def of(self, crops: Pixels) -> Scores:
        """Give the probabilities of crops; see `Backend.classify`."""
        if not len(crops):
            return super().of(crops)
        answers = self._small.classify_quick(crops)
        unsure = np.flatnonzero(answers.max(axis=1) < self._sure)
        if len(unsure):
            answers[unsure] = super().of(crops[unsure])
        return answers

    def spend(self, crops: Pixels) -> None:
        """Compute what crops usually take: the small network for each, the classifier for one of six."""
        self._small.classify_quick(crops)
        super().spend(crops[: -(-len(crops) // 6)])

    def warm_up(self) -> None:
        """Prepare the small network."""
        self._small.warm_up_quick()


def quick_verdicts(backend: Backend, classifier: ModelVersion) -> QuickVerdicts | None:
    """Give verdicts that ask the small network first; None where backend or classifier has none."""
    small, facts = quick(backend, classifier), classifier.manifest.quick
    return QuickVerdicts(backend, small, facts.sure) if small and facts else None
