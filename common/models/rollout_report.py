"""What a worker says of a candidate that it runs beside what serves: counts only, never a picture or a face."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class ShadowReport(BaseModel):
    """One worker's sums since a candidate's trial began there. Sums of several workers simply add up.

    "Base" is what serves, "candidate" what is on trial; both looked at the very same decoded frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: str = Field(max_length=100, description="Who compared.")
    base_generation: Count = Field(description="The generation that serves.")
    candidate: tuple[str, ...] = Field(description="The candidate's versions, such as detector/7, with their digests.")
    started_at: float = Field(description="When the rollout was made, s since the epoch; tells rollouts apart.")
    at_s: float = Field(description="When this was said, s since the epoch.")
    frames: Count = Field(0, description="Frames that both looked at.")
    agreed: Count = Field(0, description="Frames with the same faces and the same label on each.")
    disagreed: dict[str, Count] = Field(
        {},
        description="By kind: missing, extra (faces), or base label>candidate label, such as mask>no_mask.",
    )
    faces_base: Count = Field(0, description="Faces that the base saw and that are large enough to vote.")
    faces_candidate: Count = 0
    undetermined_base: Count = Field(0, description="Of these, faces on which no label is likely enough.")
    undetermined_candidate: Count = 0
    violations_both: Count = Field(0, description="Would-be violations that both raised; see docs/hotswap.md.")
    violations_base: Count = Field(0, description="Raised by the base alone.")
    violations_candidate: Count = Field(0, description="Raised by the candidate alone.")
    cost_ratio: float | None = Field(None, description="Processor time of the candidate over the base's.")
    failed: Count = Field(0, description="Batches on which the candidate raised an error.")
    trouble: str = Field("", max_length=300, description="Why the candidate cannot be run here at all.")

    @property
    def agreement(self) -> float | None:
        """Share of frames on which both agree; None without frames."""
        return self.agreed / self.frames if self.frames else None


def merged(reports: list[ShadowReport]) -> ShadowReport | None:
    """Add up the reports of several workers on one rollout; None where there are none.

    The worker is ``*``, the cost ratio the mean of those known, the trouble the first.
    """
    if not reports:
        return None
    first = reports[0]
    names = (
        "frames", "agreed", "faces_base", "faces_candidate", "undetermined_base", "undetermined_candidate",
        "violations_both", "violations_base", "violations_candidate", "failed",
    )  # fmt: skip
    kinds = sorted({kind for report in reports for kind in report.disagreed})
    ratios = [report.cost_ratio for report in reports if report.cost_ratio is not None]
    return ShadowReport(
        worker="*",
        base_generation=first.base_generation,
        candidate=first.candidate,
        started_at=first.started_at,
        at_s=max(report.at_s for report in reports),
        disagreed={kind: sum(report.disagreed.get(kind, 0) for report in reports) for kind in kinds},
        cost_ratio=sum(ratios) / len(ratios) if ratios else None,
        trouble=next((report.trouble for report in reports if report.trouble), ""),
        **{name: sum(getattr(report, name) for report in reports) for name in names},
    )
