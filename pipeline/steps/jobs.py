"""Jobs: videos, and many media at once, that somebody asked for over HTTP. A job is a run, its id the run's.

The start of a job is in the lake before its id goes out, and what it was asked for in the spool until it has ended: a
server that was killed takes up all that is there.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self, cast

from pipeline.errors import Cancelled, MediaError, ShotlogError, StoreError, TaggerError, TooManyError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.model import MediaObject
from pipeline.steps.airflow import DAG, Airflow
from pipeline.steps.decoders import Decoders
from pipeline.steps.deliveries import Deliveries
from pipeline.steps.job import Job, Status
from pipeline.steps.job_history import Line, history, listed, so_far
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

FOLLOWED = 32
"""Runs of Airflow's that are looked after at a time."""

MOST_STARTS = 20
"""A job that takes the worker process with it each time isn't begun for ever."""

LOOK_EVERY_S = 2.0

SWEEP_S = 60.0
"""How long results that the lake doesn't keep stay after they were fetched: an answer may be lost on its way."""

KEPT_S = 86_400.0
"""How long results live that the lake doesn't keep."""


class Jobs:
    """All jobs of one server. Use it in a with statement; its methods suit many threads."""

    def __init__(self, service: Service, spool: Spool, deliveries: Deliveries) -> None:
        self._service, self._spool, self._deliveries = service, spool, deliveries
        self._live: dict[str, Job] = {}
        self._ended: OrderedDict[str, Status] = OrderedDict()
        self._fetched: dict[str, float] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._airflow = Airflow(service.settings) if service.settings.jobs == "airflow" else None
        at_once = FOLLOWED if self._airflow else service.settings.workers
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="clerk")  # has a connection to the lake of its own

    def __enter__(self) -> Self:
        for job_id, asked in self._spool.jobs():
            if self._clerk.submit(self._is_known, job_id, asked).result():
                self._enqueue(Job(job_id, asked))
            else:  # its id never went out
                self._spool.drop(job_id)
        self._sweeper.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
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
        if found is None or owner not in (None, found.asked.owner):
            return None
        if found.has_ended and not found.asked.store:
            self._fetched.setdefault(job_id, time.time())
        return found

    def cancel(self, job_id: str, owner: str | None) -> Status | None:
        """End a job. None as `status`; one that has ended stays as it is."""
        if self.status(job_id, owner) is None:
            return None
        with self._lock:
            job = self._live.get(job_id)
        if job:
            job.cancelled.set()
        return self.status(job_id, owner)

    def counts(self) -> dict[str, int]:
        """How many jobs are in which state, of those that haven't ended."""
        with self._lock:
            return dict(Counter(job.state for job in self._live.values()))

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
        with self._service.lake_at(self._own_lake(job)) as lake:
            self._try_in(lake, job)

    def _try_in(self, lake: Lake, job: Job) -> None:
        asked, trouble = job.asked, None
        ended = history(lake, job.job_id)
        if ended and ended.has_ended:  # by a server that was killed before it had tidied up
            self._settle(job, ended)
            return
        try:
            if self._spool.start(job.job_id) > MOST_STARTS:
                raise TaggerError(f"work on it was begun {MOST_STARTS} times, and the worker process died each time")
            with self._service.stores(asked.urls) as stores:
                lenient = {scheme: cast(Store, _Lenient(store, job)) for scheme, store in stores.items()}
                with self._work(asked, lenient) as work:
                    self._record(work, lake, job.job_id, asked)
                    self._carry_out(job, work, lake)
                    job.check()
        except (ShotlogError, MediaError) as error:
            trouble = error
        if not job.is_stopped and not self._service.is_broken:  # else the next worker process goes on with it
            self._end(job, lake, trouble)

    def _carry_out(self, job: Job, work: Workplace, lake: Lake) -> None:
        run_id, tagger = job.job_id, self._service.tagger_of(job.asked.kinds)
        job.begin()
        if self._airflow and job.asked.store:  # what isn't to be stored can't leave this machine
            self._follow(self._airflow, job, work, lake)
            return
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

    def _follow(self, airflow: Airflow, job: Job, work: Workplace, lake: Lake) -> None:
        """Let Airflow carry it out, and look now and then how far it is."""
        chosen = work.settings
        conf = {name: getattr(chosen, name) for name in ("tagger", "metadata", "sampling", "retag")}
        conf |= {"sources": list(job.asked.urls), "lake": work.lake_uri, "guard_urls": True}
        airflow.begin(job.job_id, conf)
        while (state := airflow.state(job.job_id)) in ("queued", "running"):
            try:
                job.check()
            except Cancelled:
                if not job.is_stopped:
                    airflow.stop(job.job_id)
                raise
            job.far(*so_far(lake, job.job_id, job.asked))
            job.wait(LOOK_EVERY_S)
        if state == "failed":
            raise TaggerError(f"run {job.job_id} of Airflow's {DAG} failed: its tasks' logs say why")

    def _end(self, job: Job, lake: Lake, trouble: Exception | None) -> None:
        if isinstance(trouble, Cancelled):
            writer.record_event(lake, job.job_id, "cancelled")
        elif trouble or not self._airflow or not job.asked.store:  # else Airflow's last task has recorded it
            end_run(lake, job.job_id, error=trouble, refused=job.refusals())
        ended = history(lake, job.job_id)
        assert ended
        self._settle(job, ended)

    def _settle(self, job: Job, ended: Status) -> None:
        status = replace(ended, asked=job.asked)
        job.end(status)
        with self._lock:
            self._ended[job.job_id] = status
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
            self._live.pop(job.job_id, None)
        if job.asked.webhook:
            self._deliveries.put(job.job_id, job.asked.webhook, self._own_lake(job), lambda: self._let_go(job))
        else:
            self._let_go(job)

    def _let_go(self, job: Job) -> None:
        """Nobody waits for it any more; but what the lake doesn't keep stays for who asks."""
        if job.asked.store:
            self._spool.drop(job.job_id)

    def _sweep(self) -> None:
        """Drop results that the lake doesn't keep: a while after somebody has fetched them, or a day old."""
        while not self._over.wait(SWEEP_S):
            now = time.time()
            for job_id, asked in list(self._spool.jobs()):
                fetched = self._fetched.get(job_id, now)
                if not asked.store and (now > fetched + SWEEP_S or now > asked.created_at + KEPT_S):
                    with self._lock:
                        if job_id in self._live:
                            continue
                        self._ended.pop(job_id, None)
                        self._fetched.pop(job_id, None)
                    self._spool.drop(job_id)

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
