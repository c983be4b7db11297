"""Jobs: videos, and many media at once, that somebody asked for over HTTP. A job is a run, its id the run's.

The start of a job is in the lake before its id goes out, and what it was asked for in the spool until it has ended: a
server that was killed takes up all that is there.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

from pipeline.errors import Cancelled, MediaError, ShotlogError, StoreError, TooManyError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.model import MediaObject
from pipeline.steps.decoders import Decoders
from pipeline.steps.deliveries import Deliveries
from pipeline.steps.job import Job, Status
from pipeline.steps.job_history import Line, history, listed
from pipeline.steps.listing import begin_run, write_listing
from pipeline.steps.notify import check_endpoint
from pipeline.steps.plan import plan, plans_of, read_batch
from pipeline.steps.publish import end_run
from pipeline.steps.service import Service
from pipeline.steps.spool import Asked, Spool
from pipeline.steps.tag import desk_of, look_at
from pipeline.steps.workplace import Workplace
from pipeline.store.base import Store

_log = logging.getLogger("shotlog.api")

REMEMBERED = 1000
"""Jobs that have ended and are still answered from memory."""

KEPT_S = 86_400.0
"""How long results live that the lake doesn't keep."""


class Jobs:
    """All jobs of one server. Use it in a with statement; its methods suit many threads."""

    def __init__(self, service: Service, deliveries: Deliveries) -> None:
        self._service, self._deliveries = service, deliveries
        self._live: dict[str, Job] = {}
        self._ended: OrderedDict[str, Status] = OrderedDict()
        self._lock = threading.Lock()
        workers = service.settings.workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="clerk")  # has a connection to the lake of its own

    def __enter__(self) -> Self:
        self._spool = Spool(Path.home() / ".local" / "share" / "shotlog" / f"{self._service.lake().lake_id}.jobs")
        for job_id, asked in self._spool.all():
            if self._clerk.submit(self._is_known, job_id, asked).result():
                self._enqueue(Job(job_id, asked))
            else:  # its id never went out
                self._spool.drop(job_id)
        return self

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            live = list(self._live.values())
        for job in live:
            job.stop()
        self._pool.shutdown(cancel_futures=True)
        self._clerk.shutdown()

    def create(self, asked: Asked) -> Job:
        """Returns once the job can't be lost.

        Raises UsageError for a URL that nobody may name or an unknown webhook, TooManyError where the key has as many
        jobs as it may have, LakeError.
        """
        with self._service.stores(asked.urls):
            pass  # what it refuses is refused now
        if asked.webhook:
            check_endpoint(self._service.settings, asked.webhook)
        most = self._service.settings.jobs_a_key
        with self._lock:
            if sum(job.asked.owner == asked.owner for job in self._live.values()) >= most:
                raise TooManyError(f"key '{asked.owner}' has {most} jobs that go on: wait for one, or cancel one")
        job_id = uuid.uuid4().hex
        self._spool.put(job_id, asked)
        if asked.store:
            self._clerk.submit(self._begin, job_id, asked).result()
        return self._enqueue(Job(job_id, asked))

    def status(self, job_id: str, owner: str | None) -> Status | None:
        """How far a job is; None where this owner has none of that id. owner: None for who may see all."""
        with self._lock:
            job, ended = self._live.get(job_id), self._ended.get(job_id)
        found = job.status() if job else ended or self._clerk.submit(self._from_lake, job_id).result()
        return found if found and owner in (None, found.asked.owner) else None

    def cancel(self, job_id: str, owner: str | None) -> Status | None:
        """End a job. None as `status`; one that has ended stays as it is."""
        if self.status(job_id, owner) is None:
            return None
        with self._lock:
            job = self._live.get(job_id)
        if job:
            job.cancelled.set()
        return self.status(job_id, owner)

    def listed(self, owner: str | None, after: str | None, most: int) -> list[Line]:
        """The jobs that the lake keeps, the newest first, from the one behind `after` on."""
        lines = self._clerk.submit(lambda: listed(self._service.lake(), owner, after, most)).result()
        with self._lock:
            live = {line.job_id: self._live[line.job_id] for line in lines if line.job_id in self._live}
        return [
            replace(line, state=live[line.job_id].status().state) if line.job_id in live else line for line in lines
        ]

    def _enqueue(self, job: Job) -> Job:
        with self._lock:
            self._live[job.job_id] = job
        self._pool.submit(self._run, job)
        return job

    def _is_known(self, job_id: str, asked: Asked) -> bool:
        if not asked.store:
            return time.time() < asked.created_at + KEPT_S
        query = "SELECT 1 FROM log.runs WHERE run_id = ?"
        return bool(self._service.lake().transaction(lambda con: con.execute(query, [job_id]).fetchone()))

    def _begin(self, job_id: str, asked: Asked) -> None:
        with self._work(asked, {}) as work:
            self._record(work, self._service.lake(), job_id, asked)

    def _record(self, work: Workplace, lake: Lake, job_id: str, asked: Asked) -> None:
        job = {"owner": asked.owner, "custom_payload": asked.custom_payload, "webhook": asked.webhook}
        begin_run(work, lake, job_id, kind="job", asked={"job": {**job, "batch": asked.batch, "kinds": asked.kinds}})

    def _from_lake(self, job_id: str) -> Status | None:
        return history(self._service.lake(), job_id)

    @contextmanager
    def _work(self, asked: Asked, stores: dict[str, Store]) -> Iterator[Workplace]:
        work = self._service.work_of(asked.kinds, sampling=asked.sampling)
        yield replace(work, sources=asked.urls, _stores=stores)

    def _run(self, job: Job) -> None:
        try:
            self._try(job)
        except BaseException as error:  # it stays in the spool, and the next start takes it up
            _log.error("job %s can't be ended: %s", job.job_id, error, exc_info=error)

    def _try(self, job: Job) -> None:
        asked = job.asked
        own = self._own_lake(job)
        lake, trouble = self._service.lake(own), None
        ended = history(lake, job.job_id)
        if ended and ended.has_ended:  # by a server that was killed before it had tidied up
            self._settle(job, ended)
            return
        try:
            with self._service.stores(asked.urls) as stores:
                lenient = {scheme: cast(Store, _Lenient(store, job)) for scheme, store in stores.items()}
                with self._work(asked, lenient) as work:
                    self._record(work, lake, job.job_id, asked)
                    self._carry_out(job, work, lake)
                    job.check()
        except (ShotlogError, MediaError) as error:
            trouble = error
        if not job.is_stopped:
            self._end(job, lake, trouble)

    def _carry_out(self, job: Job, work: Workplace, lake: Lake) -> None:
        run_id, tagger = job.job_id, self._service.tagger_of(job.asked.kinds)
        job.begin()
        plans = plans_of(lake, run_id)
        if not plans:
            write_listing(work, lake, run_id)
            plans = [plan(work, lake, run_id, alone=False)]
        desk = desk_of(work, lake, run_id, tagger, job.media_ended)
        left = [batch_id for batch_id in plans[-1]["batches"] if not writer.has_batch(lake, run_id, batch_id)]
        job.goes_on(desk, plans[-1]["media"])
        with Decoders(work.settings, 1) as decoders:
            batches = (read_batch(lake, run_id, batch_id) for batch_id in left)
            look_at(work, lake, desk, batches, job.heeded_by(tagger), decoders)

    def _end(self, job: Job, lake: Lake, trouble: Exception | None) -> None:
        if isinstance(trouble, Cancelled):
            writer.record_event(lake, job.job_id, "cancelled")
        else:
            end_run(lake, job.job_id, error=trouble, refused=job.refusals())
        ended = history(lake, job.job_id)
        assert ended
        self._settle(job, ended)

    def _settle(self, job: Job, ended: Status) -> None:
        status = replace(ended, asked=job.asked)
        job.end(status)
        if job.asked.webhook:
            self._deliveries.put(job.job_id, job.asked.webhook, self._own_lake(job))
        with self._lock:
            self._ended[job.job_id] = status
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
            self._live.pop(job.job_id, None)
        if job.asked.store:
            self._spool.drop(job.job_id)

    def _own_lake(self, job: Job) -> str | None:
        """Where a job keeps what isn't for the server's lake."""
        return None if job.asked.store else str(self._spool.folder(job.job_id) / "lake")


class _Lenient:
    """A store of which one URL that leads nowhere doesn't end the job, but is noted."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job

    def list(self, source: str) -> Iterator[MediaObject]:
        try:
            yield from self._store.list(source)
        except StoreError as error:
            self._job.refused("unreadable", str(error))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
