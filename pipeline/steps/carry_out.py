"""One job, from its request to its end in the lake: here, or by Airflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pipeline.errors import Cancelled, LakeError, MediaError, ShotlogError, TaggerError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.steps.airflow import DAG, Airflow
from pipeline.steps.decoders import Decoders
from pipeline.steps.job import Failure, Job, Status
from pipeline.steps.job_history import committed, history, so_far
from pipeline.steps.leftovers import clear_work, commit_finished
from pipeline.steps.listing import begin_run, write_listing
from pipeline.steps.plan import plan, plans_of, read_batch
from pipeline.steps.publish import end_run, freeze
from pipeline.steps.refusals import Refusals
from pipeline.steps.service import Service
from pipeline.steps.spool import Asked, Spool
from pipeline.steps.tag import desk_of, look_at
from pipeline.steps.workplace import Workplace
from pipeline.store.base import Store
from pipeline.uris import media_id

_log = logging.getLogger("shotlog.api")

MOST_STARTS = 20
"""A job that takes the worker process with it each time isn't begun for ever."""

LOOK_EVERY_S = 2.0

AIRFLOW_AWAY_S = 3600.0
"""So long a job waits for an Airflow that doesn't answer: its run goes on meanwhile."""


class Carrier:
    """Carries jobs out. Its methods suit many threads."""

    def __init__(self, service: Service, spool: Spool) -> None:
        self._service, self._spool = service, spool
        self.airflow = Airflow(service.settings) if service.settings.jobs == "airflow" else None

    def close(self) -> None:
        if self.airflow:
            self.airflow.close()

    def record(self, lake: Lake, job_id: str, asked: Asked) -> None:
        """Write the start of a job into the lake, unless it is there."""
        job = {
            "owner": asked.owner,
            "custom_payload": asked.custom_payload,
            "webhook": asked.webhook,
            "batch": asked.batch,
            "kinds": asked.kinds,
            "media": [media_id(url) for url in asked.urls],
        }
        begin_run(self._work(asked, {}), lake, job_id, kind="job", asked={"job": job})

    @contextmanager
    def lake_of(self, job_id: str, asked: Asked, *, create: bool = False) -> Iterator[Lake]:
        """The server's lake, or the job's own where the server's isn't to keep what it finds."""
        with self._service.lake_at(self.own_lake(job_id, asked), create=create) as lake:
            yield lake

    def own_lake(self, job_id: str, asked: Asked) -> str | None:
        """Where a job keeps what isn't for the server's lake."""
        return None if asked.store else str(self._spool.folder(job_id) / "lake")

    def look_back(self, job: Job) -> Status | None:
        """How a job that is taken up again has ended; if it hasn't, let it know how far it was."""
        if not self._spool.starts(job.job_id):
            return None
        with self.lake_of(job.job_id, job.asked, create=True) as lake:
            ended = history(lake, job.job_id)
            if ended and ended.has_ended:
                return ended
            job.far(*so_far(lake, job.job_id, job.asked))
            return None

    def carry_out(self, job: Job) -> Status | None:
        """How the job has ended; None where it is left off for another process.

        Raises LakeError where the lake couldn't be asked or told: try again.
        """
        with self.lake_of(job.job_id, job.asked, create=True) as lake:
            ended = history(lake, job.job_id)
            if ended and ended.has_ended:  # by a server that was killed before it had tidied up
                return ended
            try:
                trouble = self._trouble(job, lake)
            except LakeError:
                self._spool.take_back_start(job.job_id)
                raise
            if job.is_stopped or self._service.taggers.is_broken:
                self._spool.take_back_start(job.job_id)
                return None
            with lake.at_work("jobs", alone=False):
                return self._end(job, lake, trouble)

    def publish(self, job_ids: Sequence[str]) -> None:
        """Let who reads the frozen catalog see what these jobs found, where that is wished. The answers are given by
        now, so nobody waits for it; where it can't be done, the next job's end makes up for it."""
        try:
            freeze(self._service.work, self._service.lake(), *job_ids)
        except Exception as error:
            _log.error("no frozen catalog could be published: %s", error)

    def _trouble(self, job: Job, lake: Lake) -> Exception | None:
        """Do it; what it was broken by."""
        try:
            if self._spool.start(job.job_id) > MOST_STARTS:
                raise TaggerError(f"work on it was begun {MOST_STARTS} times, and the worker process died each time")
            with self._service.stores(job.asked.urls) as stores:
                work = self._work(job.asked, {scheme: job.heeds(store) for scheme, store in stores.items()})
                self.record(lake, job.job_id, job.asked)
                job.begin()
                if self.airflow and job.asked.store:  # what isn't to be stored can't leave this machine
                    self._follow(self.airflow, job, work, lake)
                else:
                    with lake.at_work("jobs", alone=False):
                        self._look(job, work, lake)
            job.decide()
        except LakeError:
            raise
        except Exception as error:
            if not isinstance(error, ShotlogError | MediaError):
                _log.exception("job %s broke", job.job_id)
            return error
        return None

    def _look(self, job: Job, work: Workplace, lake: Lake) -> None:
        run_id, taggers = job.job_id, self._service.taggers
        tagger = taggers.of(job.asked.model or taggers.own, job.asked.kinds)
        plans = plans_of(lake, run_id)
        if not plans:
            write_listing(work, lake, run_id)
            plans = [plan(work, lake, run_id, alone=False)]
        job.refused(Failure(one.uri, one.code, one.sentence) for one in Refusals(lake, run_id).kept())
        desk = desk_of(work, lake, run_id, tagger, job.media_ended)
        left = [batch_id for batch_id in plans[-1]["batches"] if not writer.has_batch(lake, run_id, batch_id)]
        job.goes_on(desk, plans[-1]["media"], *committed(lake, run_id, job.asked))
        with Decoders(work.settings, 1) as decoders:
            batches = (read_batch(lake, run_id, batch_id) for batch_id in left)
            look_at(work, lake, desk, batches, job.heeded_by(tagger), decoders)

    def _follow(self, airflow: Airflow, job: Job, work: Workplace, lake: Lake) -> None:
        """Let Airflow carry it out, and look now and then how far it is."""
        names = ("tagger", "metadata", "sampling", "retag", "retry_failed", "callers_urls", "max_object_mb")
        conf = {name: getattr(work.settings, name) for name in names}
        airflow.begin(job.job_id, {**conf, "sources": job.asked.urls, "lake": work.lake_uri})
        heard_at = time.monotonic()
        state = "queued"
        while state in ("queued", "running"):
            try:
                job.check()
                state = airflow.state(job.job_id)
                heard_at = time.monotonic()
            except Cancelled:
                if not job.is_stopped:
                    self._stop(airflow, job)
                raise
            except TaggerError as error:
                if time.monotonic() > heard_at + AIRFLOW_AWAY_S:
                    raise
                _log.warning("of job %s nothing is known: %s", job.job_id, error)
            job.far(*so_far(lake, job.job_id, job.asked))
            job.wait(LOOK_EVERY_S)
        if state == "failed":
            raise TaggerError(f"run {job.job_id} of Airflow's {DAG} failed: its tasks' logs say why")

    def _stop(self, airflow: Airflow, job: Job) -> None:
        """Airflow has tried a while when this raises: then its run goes on, and what it finds is in the lake."""
        try:
            airflow.stop(job.job_id)
        except TaggerError as error:
            _log.error("job %s is cancelled, but its run goes on: %s", job.job_id, error)

    def _end(self, job: Job, lake: Lake, trouble: Exception | None) -> Status:
        try:
            job.decide()
        except Cancelled as cancelled:
            trouble = cancelled
        if trouble:
            commit_finished(lake, job.job_id)
        if isinstance(trouble, Cancelled):
            writer.record_event(lake, job.job_id, "cancelled", {"percent": job.status().percent})
        elif trouble or not self.airflow or not job.asked.store:  # else Airflow's last task has recorded it
            end_run(lake, job.job_id, error=trouble)
        ended = history(lake, job.job_id)
        assert ended
        clear_work(lake, job.job_id)
        return ended

    def _work(self, asked: Asked, stores: dict[str, Store]) -> Workplace:
        taggers = self._service.taggers
        work = taggers.work_of(asked.model or taggers.own, asked.kinds, sampling=asked.sampling)
        return replace(work, sources=asked.urls, _stores=stores)
