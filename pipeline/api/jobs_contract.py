"""What goes over the wire of the categories: what is asked of an image or a video, and how far a job is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.api.contract import MOST_URL_CHARACTERS
from pipeline.api.problems import Told

Kind = Literal["categories", "participants", "actions", "scene", "tags"]

MOST_URLS = 10_000
"""In one batch."""

MediaUrl = Annotated[str, Field(min_length=1, max_length=MOST_URL_CHARACTERS)]


class Wanted(BaseModel):
    """What is asked, of whatever media."""

    model_config = ConfigDict(extra="forbid")

    metadata: Annotated[list[Kind], Field(min_length=1, max_length=20, description="Which kinds to fill.")]
    model: Annotated[str | None, Field(max_length=500, description="As /v1/models lists it.")] = None
    use_scenes: Annotated[bool, Field(description="One frame of each shot of a video.")] = False
    custom_payload: Annotated[dict[str, Any] | None, Field(description="Handed back with every answer.")] = None
    webhook: Annotated[str | None, Field(max_length=200, description="Who is told how a job ended, by name.")] = None
    store: Annotated[bool, Field(description="Whether the lake keeps what is found.")] = True


class CategoriesRequest(Wanted):
    """One image or video."""

    media_url: Annotated[MediaUrl, Field(description="http(s), s3:// within the server's sources, data:image/…")]


class BatchRequest(Wanted):
    """Many media: by their URLs, or all there are below one s3:// prefix."""

    media_urls: Annotated[list[MediaUrl], Field(min_length=1, max_length=MOST_URLS)]


class ImageAnswer(BaseModel):
    """What an image shows, kind by kind."""

    metadata: dict[Kind, list[str]]


class JobStarted(BaseModel):
    """A job that has begun."""

    job_id: str
    status: Literal["CREATED"] = "CREATED"
    custom_payload: dict[str, Any] | None = None


class JobStatus(BaseModel):
    """How far a job is. results: one a frame; null where there are too many for an answer, which SQL can read."""

    job_id: str
    status: Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]
    percent_complete: Annotated[int, Field(ge=0, le=100)]
    results: list[dict[str, Any]] | None
    custom_payload: dict[str, Any] | None = None
    error: Told | None = None


class JobLine(BaseModel):
    """One job of a list."""

    job_id: str
    status: Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]
    created_at: str


class JobList(BaseModel):
    """One page, the newest first. next: what to give as `after` for the page behind it."""

    jobs: list[JobLine]
    next: str | None = None
