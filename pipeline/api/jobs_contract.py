"""What goes over the wire of the categories: what is asked of an image or a video, and how far a job is."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.api.contract import MOST_URL_CHARACTERS
from pipeline.api.problems import Told

Kind = Literal["categories", "participants", "actions", "scene", "tags"]

MOST_URLS = 10_000
"""In one batch."""

MediaUrl = Annotated[str, Field(min_length=1, max_length=MOST_URL_CHARACTERS)]


MOST_PAYLOAD_BYTES, MOST_DEPTH = 65_536, 32
"""Of a custom payload: it is kept with the job, in memory and in the lake."""


def _fit_to_be_kept(payload: dict[str, Any] | None) -> dict[str, Any] | None:
    """Raises ValueError for what couldn't be handed back as JSON, or is too much."""
    if _depth(payload) > MOST_DEPTH:
        raise ValueError(f"custom_payload is nested more than {MOST_DEPTH} deep")
    if len(json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()) > MOST_PAYLOAD_BYTES:
        raise ValueError(f"custom_payload takes more than {MOST_PAYLOAD_BYTES:,} bytes")
    return payload


def _depth(value: Any, within: int = 0) -> int:
    if within > MOST_DEPTH or not isinstance(value, dict | list):
        return within
    return max(
        (_depth(inner, within + 1) for inner in (value.values() if isinstance(value, dict) else value)), default=1
    )


class Wanted(BaseModel):
    """What is asked, of whatever media."""

    model_config = ConfigDict(extra="forbid", strict=True)

    metadata: Annotated[list[Kind], Field(min_length=1, max_length=20, description="Which kinds to fill.")]
    model: Annotated[str | None, Field(max_length=500, description="As /v1/models lists it.")] = None
    use_scenes: Annotated[bool, Field(description="One frame of each shot of a video.")] = False
    custom_payload: Annotated[
        dict[str, Any] | None,
        AfterValidator(_fit_to_be_kept),
        Field(description="Handed back with a job's status, and in its message."),
    ] = None
    webhook: Annotated[
        str | None, Field(max_length=200, description="Who is told how a job ended, by name. An image is no job.")
    ] = None
    store: Annotated[bool, Field(description="Whether the lake keeps what is found.")] = True


class CategoriesRequest(Wanted):
    """One image or video."""

    media_url: Annotated[MediaUrl, Field(description="http(s), s3:// within the server's sources, data:image/…")]


class BatchRequest(Wanted):
    """Many media: by their URLs, s3:// prefixes among them."""

    media_urls: Annotated[
        list[MediaUrl],
        Field(min_length=1, max_length=MOST_URLS, description="http(s), or s3:// objects and prefixes/"),
    ]


class ImageAnswer(BaseModel):
    """What an image shows, kind by kind."""

    metadata: dict[Kind, list[str]]


class JobStarted(BaseModel):
    """A job that has begun."""

    job_id: str
    status: Literal["CREATED"] = "CREATED"
    custom_payload: dict[str, Any] | None = None


class FailedMedia(BaseModel):
    """A media object of which nothing, or not all, could be seen."""

    media_url: str
    code: str
    message: str


class JobStatus(BaseModel):
    """How far a job is. results: one a frame; null where there are too many for an answer, which SQL can read."""

    job_id: str
    status: Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]
    percent_complete: Annotated[int, Field(ge=0, le=100)]
    results: list[dict[str, Any]] | None
    failures: list[FailedMedia] = []
    custom_payload: dict[str, Any] | None = None
    created_at: str
    error: Told | None = None


class JobLine(BaseModel):
    """One job of a list. media_url: null where there are several."""

    job_id: str
    status: Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]
    media_url: str | None
    created_at: str


class JobList(BaseModel):
    """One page, the newest first. next: what to give as `after` for the page behind it."""

    jobs: list[JobLine]
    next: str | None = None
