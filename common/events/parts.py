"""Parts that the data of several event types share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Data(BaseModel):
    """What every part and every event's data is: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Data):
    """Where a camera hangs."""

    name: str = ""
    level: str = ""


class CameraInfo(Data):
    """The camera, as the site plan names it."""

    id: str
    name: str
    site: str
    place: Place = Place()
    tags: list[str] = Field(default_factory=list)
