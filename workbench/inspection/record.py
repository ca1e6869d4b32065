"""The words and settings of an inspection: all that is no array."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1


class Record(BaseModel):
    """What an inspection knows besides its arrays: JSON-able, checked when a file is read."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    model: dict[str, Any]
    provenance: dict[str, Any]
    prompt_length: int = Field(ge=1)
    tokens: list[str]
    roles: list[str]
    spans: list[tuple[int, int] | None]
    text: str
    step_texts: list[str]
    finish_reason: str | None
    given: int = Field(default=0, ge=0)
    pieces: dict[int, str]
    attention: dict[str, Any] | None
    lens: dict[str, Any] | None
    timings: dict[str, float]
