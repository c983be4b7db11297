"""The app that answers: its routes and its document. Runs in the worker process (see worker.py), behind the gate."""

from __future__ import annotations

import time
from importlib.metadata import version

from fastapi import FastAPI, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.api import chat, media, problems
from pipeline.api.access import Admin
from pipeline.api.metrics import Work
from pipeline.steps.deliveries import Deliveries
from pipeline.steps.jobs import Jobs
from pipeline.steps.recorder import Recorder
from pipeline.steps.service import Service


def create_app(service: Service, recorder: Recorder, jobs: Jobs, deliveries: Deliveries) -> FastAPI:
    """The app over what the worker has entered.

    Who calls is for the gate to know: it tells the key's name and scopes."""
    app = FastAPI(
        title="shotlog",
        version=version("shotlog"),
        description="Asks about images and videos, and tags them.",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.DOCUMENTED,  # type: ignore[arg-type]
    )
    app.state.service, app.state.recorder, app.state.jobs = service, recorder, jobs
    app.state.started = int(time.time())
    problems.install(app)
    app.include_router(chat.router)
    app.include_router(media.router)

    work = Work(recorder, jobs, deliveries)

    @app.get("/metrics", include_in_schema=False)
    async def measured(_caller: Admin) -> Response:
        return Response(work.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app
