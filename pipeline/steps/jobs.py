"""Jobs: videos, and many media at once, that somebody asked for over HTTP. A job is a run, its id the run's.

The start of a job is in the lake before its id goes out, and what it was asked for in the spool until it has ended: a
server that was killed takes up all that is there.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from pipeline.errors import LakeError, StoreError, TooManyError
from pipeline.steps.carry_out import Carrier
from pipeline.steps.deliveries import Deliveries
from pipeline.steps.job import Job, Status
from pipeline.steps.job_history import Line, history, listed
from pipeline.steps.recorder import take_over_images
from pipeline.steps.service import Service
from pipeline.steps.spool import Asked, Spool

_log = logging.getLogger("shotlog.api")

_ID = re.compile(r"[A-Za-z0-9_-]{1,250}")

REMEMBERED = 1000
"""Jobs that have ended and are still answered from memory."""

FOLLOWED = 32
"""Runs of Airflow's that are looked after at a time."""

SWEEP_S = 60.0
"""How long results that the lake doesn't keep stay after they were fetched: an answer may be lost on its way. And how
long a job rests after the lake couldn't be reached."""

KEPT_S = 86_400.0
"""How long results live that the lake doesn't keep."""


class Jobs:
    """All jobs of one server. Use it in a with statement; its methods suit many threads."""

    def __init__(self, service: Service, spool: Spool, deliveries: Deliveries) -> None:
        self._service, self._spool, self._deliveries = service, spool, deliveries
        self._carrier = Carrier(service, spool)
        self._live: dict[str, Job] = {}
        self._ended: OrderedDict[str, Status] = OrderedDict()
        self._fetched: dict[str, float] = {}
        self._told: set[str] = set()  # of those that the lake doesn't keep: whose webhook has heard
        self._in_hand: set[str] = set()  # of those that have ended: in the spool until their webhook has heard
        self._resting: list[Job] = []
        self._waiting: dict[str, deque[Job]] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        at_once = FOLLOWED if self._carrier.airflow else service.settings.workers
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._unpublished: list[str] = []
        self._publisher = ThreadPoolExecutor(1, thread_name_prefix="publisher")
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="clerk")  # has a connection to the lake of its own

    def __enter__(self) -> Self:
        self._clerk.submit(self._take_up).result()
        self._sweeper.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.stop()
        self._pool.shutdown(cancel_futures=True)
        self._publisher.shutdown()
        self._clerk.shutdown()
        self._carrier.close()

    def stop(self) -> None:
        """Leave all off, for the next server to go on."""
        with self._lock:
            live = list(self._live.values())
        for job in live:
            job.stop()

    def create(self, asked: Asked) -> Job:
        """Returns once the job can't be lost. Its URLs and its webhook are checked by now.

        Raises TooManyError where the key has as many jobs as it may have, LakeError.
        """
        job = Job(uuid.uuid4().hex, asked)
        self._admit(job)
        try:
            self._spool.put(job.job_id, asked)
            if asked.store:
                self._clerk.submit(self._begin, job.job_id, asked).result()
        except BaseException:
            self._spool.drop(job.job_id)
            with self._lock:
                del self._live[job.job_id]
            raise
        _log.info("job %s of key '%s' is taken: %d URLs", job.job_id, asked.owner, len(asked.urls))
        self._enqueue(job)
        return job

    def status(self, job_id: str, owner: str | None) -> Status | None:
        """How far a job is; None where this owner has none of that id. owner: None for who may see all."""
        if not _ID.fullmatch(job_id):
            return None
        with self._lock:
            job, ended = self._live.get(job_id), self._ended.get(job_id)
        found = job.status() if job else ended or self._clerk.submit(self._looked_up, job_id).result()
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
            self._spool.note_cancel(job_id)
            job.cancel()
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

    def _admit(self, job: Job) -> None:
        """Count it among its key's. Raises TooManyError."""
        owner, most = job.asked.owner, self._service.settings.jobs_a_key
        with self._lock:
            going_on = (other for other in self._live.values() if not other.is_cancelled)
            if sum(other.asked.owner == owner for other in going_on) >= most:
                raise TooManyError(f"key '{owner}' has {most} jobs that go on: wait for one, or cancel one")
            self._live[job.job_id] = job

    def _take_up(self) -> None:
        """Go on with what servers that died have left."""
        for job_id, asked in self._spool.jobs():
            with self._lock:
                if job_id in self._live or job_id in self._in_hand:
                    continue
            if not self._is_known(job_id, asked):  # its id never went out, or its time is over
                self._spool.drop(job_id)
                continue
            job = Job(job_id, asked)
            if self._spool.is_cancelled(job_id):
                job.cancel()
            if ended := self._carrier.look_back(job):
                self._settle(job, ended)
                continue
            with self._lock:
                self._live[job_id] = job
            self._enqueue(job)

    def _is_known(self, job_id: str, asked: Asked) -> bool:
        if not asked.store:
            return time.time() < (self._spool.ended_at(job_id) or time.time()) + KEPT_S
        query = "SELECT 1 FROM log.runs WHERE run_id = ?"
        return bool(self._service.lake().transaction(lambda con: con.execute(query, [job_id]).fetchone()))

    def _begin(self, job_id: str, asked: Asked) -> None:
        self._carrier.record(self._service.lake(), job_id, asked)

    def _looked_up(self, job_id: str) -> Status | None:
        if (asked := self._spool.asked(job_id)) and not asked.store:
            with self._carrier.lake_of(job_id, asked) as lake:
                return history(lake, job_id)
        return history(self._service.lake(), job_id)

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            self._waiting.setdefault(job.asked.owner, deque()).append(job)
        self._pool.submit(self._run_next)

    def _run_next(self) -> None:
        """Keys take turns: one's many jobs don't hold up another's few."""
        with self._lock:
            owner = next(iter(self._waiting))
            theirs = self._waiting.pop(owner)
            job = theirs.popleft()
            if theirs:
                self._waiting[owner] = theirs  # behind the others
        self._run(job)

    def _run(self, job: Job) -> None:
        try:
            if ended := self._carrier.carry_out(job):
                self._settle(job, ended)
        except Exception as error:
            _log.error("job %s waits: %s", job.job_id, error, exc_info=not isinstance(error, LakeError | StoreError))
            with self._lock:
                self._resting.append(job)

    def _settle(self, job: Job, ended: Status) -> None:
        status = replace(ended, asked=job.asked)
        job.end(status)
        _log.info("job %s has ended: %s%s", job.job_id, status.state, f" ({status.error[1]})" if status.error else "")
        if not job.asked.store:
            self._spool.note_end(job.job_id)
        with self._lock:
            self._ended[job.job_id] = status
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
            self._live.pop(job.job_id, None)
            self._in_hand.add(job.job_id)
        if job.asked.webhook:
            own = self._carrier.own_lake(job.job_id, job.asked)
            self._deliveries.put(job.job_id, job.asked.webhook, own, lambda: self._let_go(job))
        else:
            self._let_go(job)
        if job.asked.store and not self._carrier.airflow:  # else Airflow's last task does it
            with self._lock:
                self._unpublished.append(job.job_id)
            self._publisher.submit(self._publish)

    def _publish(self) -> None:
        """Once for all that have ended meanwhile."""
        with self._lock:
            job_ids, self._unpublished = self._unpublished, []
        if job_ids:
            self._carrier.publish(job_ids)

    def _let_go(self, job: Job) -> None:
        """Nobody waits for it any more; but what the lake doesn't keep stays for who asks."""
        if job.asked.store:
            self._drop(job.job_id)
        else:
            self._told.add(job.job_id)

    def _drop(self, job_id: str) -> None:
        self._spool.drop(job_id)
        with self._lock:
            self._in_hand.discard(job_id)

    def _adopted(self) -> None:
        take_over_images(self._service.lake(), self._spool)
        self._take_up()

    def _sweep(self) -> None:
        adopted = False
        while not self._over.wait(SWEEP_S):
            try:
                with self._lock:
                    resting, self._resting = self._resting, []
                for job in resting:
                    self._enqueue(job)
                if self._spool.adopt() or adopted:
                    adopted = True
                    self._clerk.submit(self._adopted).result()
                    adopted = False
                self._drop_old()
            except Exception:
                _log.exception("what is left of jobs couldn't be looked after")

    def _drop_old(self) -> None:
        """Drop results that the lake doesn't keep: a while after somebody has fetched them, or a day old."""
        now = time.time()
        for job_id, asked in self._spool.jobs():
            ended_at = self._spool.ended_at(job_id)
            if asked.store or ended_at is None or job_id not in self._told:
                continue
            if now > self._fetched.get(job_id, now) + SWEEP_S or now > ended_at + KEPT_S:
                with self._lock:
                    self._ended.pop(job_id, None)
                self._fetched.pop(job_id, None)
                self._told.discard(job_id)
                self._drop(job_id)
