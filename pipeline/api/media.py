"""What images and videos show: an image answers at once, a video becomes a job."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from pipeline.api.access import Caller, Tags
from pipeline.api.chat import model_of
from pipeline.api.jobs_contract import (
    BatchRequest,
    CategoriesRequest,
    FailedMedia,
    ImageAnswer,
    JobLine,
    JobList,
    JobStarted,
    JobStatus,
    Wanted,
)
from pipeline.api.problems import Problem, Told, type_of
from pipeline.errors import MediaError, ShotlogError, UsageError
from pipeline.recipe import METADATA_KINDS
from pipeline.steps.images import Seen, is_video_by_name, look_at_image
from pipeline.steps.job import Status, labels
from pipeline.steps.jobs import Jobs
from pipeline.steps.notify import endpoints
from pipeline.steps.recorder import Recorder
from pipeline.steps.service import Service
from pipeline.steps.spool import Asked

router = APIRouter(tags=["media"])

_log = logging.getLogger("shotlog.api")

_STARTED: dict[int | str, dict[str, Any]] = {202: {"model": JobStarted, "description": "A job has begun"}}


@router.post("/v2/media/categories", response_model=ImageAnswer, responses=_STARTED)
async def categories(asked: CategoriesRequest, request: Request, caller: Tags) -> JSONResponse:
    """What an image shows; of a video a job's id, under which to ask for that."""
    service: Service = request.app.state.service
    model = model_of(service, asked.model)
    _check_webhook(service, asked.webhook)
    kinds = _in_order(asked)
    try:
        if not is_video_by_name(asked.media_url):
            seen = await asyncio.wrap_future(service.submit(lambda: _seen(request, asked, model, kinds)))
            if seen:
                return JSONResponse({"metadata": labels(kinds, seen.tags)})
            if asked.media_url[:5].lower() == "data:":
                raise Problem(422, "not_an_image", "a data URL holds one still: give a video's URL", param="media_url")
        else:
            await asyncio.wrap_future(service.submit(lambda: _check(service, asked.media_url)))
        return await _started(request, caller, asked, model, (asked.media_url,))
    except (ShotlogError, MediaError) as error:
        raise Problem.of(error, param="media_url") from error


@router.post("/v2/media/batches", response_model=JobStarted, status_code=202)
async def batches(asked: BatchRequest, request: Request, caller: Tags) -> JSONResponse:
    """One job for many media."""
    service: Service = request.app.state.service
    model = model_of(service, asked.model)
    _check_webhook(service, asked.webhook)
    for number, url in enumerate(asked.media_urls):
        try:
            service.check(url)
        except UsageError as error:
            raise Problem.of(error, param=f"media_urls.{number}") from error
    try:
        return await _started(request, caller, asked, model, tuple(asked.media_urls), batch=True)
    except ShotlogError as error:
        raise Problem.of(error, param="media_urls") from error


@router.get("/v2/media/jobs")
async def jobs(
    request: Request,
    caller: Tags,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobList:
    """This key's jobs, the newest first; of those with `store` false nobody keeps a list."""
    known: Jobs = request.app.state.jobs
    if after is not None and await asyncio.to_thread(known.status, after, _owner(caller)) is None:
        raise Problem(422, "invalid_request", "no page ends with such a job: give `next` of one", param="after")
    lines = await asyncio.to_thread(known.listed, _owner(caller), after, limit + 1)
    page = [
        JobLine(
            job_id=line.job_id,
            status=line.state,
            media_url=line.media_url,
            created_at=line.created_at.astimezone(UTC).isoformat(),
        )
        for line in lines[:limit]
    ]
    return JobList(jobs=page, next=page[-1].job_id if len(lines) > limit else None)


@router.get("/v2/media/categories/{job_id}")
async def status(job_id: str, request: Request, caller: Tags) -> JobStatus:
    """How far a job is, and what it has found by now."""
    jobs: Jobs = request.app.state.jobs
    return _told(await asyncio.to_thread(jobs.status, job_id, _owner(caller)))


@router.delete("/v2/media/categories/{job_id}")
async def cancel(job_id: str, request: Request, caller: Tags) -> JobStatus:
    """End a job before it is done; one that has ended stays as it is."""
    jobs: Jobs = request.app.state.jobs
    return _told(await asyncio.to_thread(jobs.cancel, job_id, _owner(caller)))


def _seen(request: Request, asked: CategoriesRequest, model: str, kinds: tuple[str, ...]) -> Seen | None:
    service: Service = request.app.state.service
    recorder: Recorder = request.app.state.recorder
    seen = look_at_image(service, asked.media_url, model, kinds, recorder.run_id)
    if seen and asked.store:
        recorder.record(seen.tagging, seen.recipe)
    return seen


def _check_webhook(service: Service, name: str | None) -> None:
    try:
        is_known = name is None or name in endpoints(service.settings)
    except UsageError as error:
        _log.error("%s", error)
        raise Problem(503, "unavailable", "the server's webhook endpoints can't be used: its log says why") from error
    if not is_known:
        raise Problem(422, "unknown_webhook", f"no webhook '{name}' is set up on this server", param="webhook")


def _check(service: Service, url: str) -> None:
    """Raises what the media object can't be had for."""
    with service.fetched(url) as fetched:
        service.watch(fetched.media.size_bytes)


async def _started(
    request: Request, caller: Caller, asked: Wanted, model: str, urls: tuple[str, ...], *, batch: bool = False
) -> JSONResponse:
    jobs: Jobs = request.app.state.jobs
    what = Asked(
        owner=caller.name,
        urls=urls,
        kinds=_in_order(asked),
        created_at=time.time(),
        sampling="shots" if asked.use_scenes else None,
        custom_payload=asked.custom_payload,
        webhook=asked.webhook,
        store=asked.store,
        batch=batch,
        model=model,
    )
    job = await asyncio.to_thread(jobs.create, what)
    return JSONResponse(JobStarted(job_id=job.job_id, custom_payload=asked.custom_payload).model_dump(), 202)


def _told(found: Status | None) -> JobStatus:
    if found is None:
        raise Problem(
            404, "job_not_found", "there is no such job: POST /v2/media/categories begins one", param="job_id"
        )
    error = None
    if found.error:
        code, message = found.error
        error = Told(code=code, message=message, type=type_of(422))
    return JobStatus(
        job_id=found.job_id,
        status=found.state,
        percent_complete=found.percent,
        results=found.results,
        failures=[FailedMedia(media_url=one.uri, code=one.code, message=one.sentence) for one in found.failures],
        created_at=datetime.fromtimestamp(found.asked.created_at, UTC).isoformat(),
        custom_payload=found.asked.custom_payload,
        error=error,
    )


def _owner(caller: Caller) -> str | None:
    """Whose jobs a key sees: its own, or all."""
    return None if "admin" in caller.scopes else caller.name


def _in_order(asked: Wanted) -> tuple[str, ...]:
    return tuple(kind for kind in METADATA_KINDS if kind in asked.metadata)
