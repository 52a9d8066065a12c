"""Class names as people write them, and the three labels they mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from common.errors import TrainingError
from common.models.manifest import LABELS

SYNONYMS: dict[str, tuple[str, ...]] = {
    "mask": (
        "mask", "with_mask", "masked", "face_mask", "mask_on", "wearing_mask", "correct_mask", "correctly_masked",
        "mask_worn_correctly", "mask_weared_correct", "proper_mask", "good", "yes",
    ),
    "no_mask": (
        "no_mask", "without_mask", "unmasked", "nomask", "mask_off", "not_wearing_mask", "non_masked", "face",
        "face_no_mask", "bare", "bad", "none", "no",
    ),
    "incorrect": (
        "incorrect", "mask_weared_incorrect", "incorrect_mask", "mask_worn_incorrectly", "mask_worn_incorrect",
        "wrong_mask", "mask_wrong", "improper_mask", "incorrectly_masked", "partial_mask", "badly_worn",
    ),
}  # fmt: skip
IGNORED = "ignore"
_BY_KEY = {re.sub(r"[^a-z0-9]", "", word): label for label, words in SYNONYMS.items() for word in words}
_WRITTEN = {re.sub(r"[^a-z0-9]", "", word): word for words in SYNONYMS.values() for word in words}


def label_of(name: str, mapping: Mapping[str, str], where: str) -> str | None:
    """Give the label a class name means; None if the mapping says to ignore it.

    Args:
        name: Class name as the data has it; case, spaces, ``-`` and ``_`` do not matter.
        mapping: What the operator said: class name to label or ``ignore``; goes before the known synonyms.
        where: Named in the message.

    Raises:
        TrainingError: The name means no label; says the nearest one.
    """
    if name in mapping:
        return None if mapping[name] == IGNORED else mapping[name]
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    if key in _BY_KEY:
        return _BY_KEY[key]
    near = difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0.6)
    hint = f"did you mean {_WRITTEN[near[0]]!r}?" if near else f"known are {', '.join(SYNONYMS)} and their synonyms"
    raise TrainingError(f"{where}: {name!r} is no class of ours; {hint} Otherwise say what it is: --map {name}=mask")


def parse_mapping(pairs: list[str]) -> dict[str, str]:
    """Read ``name=label`` pairs.

    Raises:
        TrainingError: A pair has no ``=`` or its right side is neither a label nor ``ignore``.
    """
    mapping = {}
    for pair in pairs:
        name, equals, label = pair.rpartition("=")
        if not equals or label not in {*LABELS, IGNORED}:
            raise TrainingError(f"--map {pair}: write NAME=LABEL with a label of {', '.join([*LABELS, IGNORED])}")
        mapping[name] = label
    return mapping
