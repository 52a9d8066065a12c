"""The model card: the manifest for people."""

from __future__ import annotations

import json

from common.models.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """Write a version's model card as Markdown."""
    lines = [
        f"# {manifest.name}, version {manifest.version}",
        "",
        f"A {manifest.kind} (`{manifest.architecture}`, {manifest.parameters:,} parameters), made {manifest.created}.",
        "",
        f"* Classes, in order: {', '.join(manifest.classes)}",
        f"* Input: {json.dumps(manifest.input.model_dump())}; {manifest.normalisation}",
        f"* Temperature: {manifest.temperature:.4g}; thresholds: {json.dumps(manifest.thresholds)}",
        *(f"* `{blob.file}` ({blob.size:,} bytes), sha256 `{blob.sha256}`" for blob in manifest.blobs.values()),
        f"* Made by: `{manifest.command}`",
        "",
        "## Trained on",
        "",
        *(f"* {line}" for line in manifest.training_data),
        "",
        "## Known weaknesses",
        "",
        *(f"* {line}" for line in manifest.weaknesses),
        "",
        "## Figures on validation data",
        "",
        "```json",
        json.dumps(manifest.metrics, indent=1),
        "```",
        "",
    ]
    return "\n".join(lines)
