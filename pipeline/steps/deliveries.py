"""Messages on their way to webhook endpoints: each is tried until it arrives, also by the next server."""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import httpx

from pipeline.errors import ShotlogError
from pipeline.lake.catalog import Lake
from pipeline.steps.notify import notify
from pipeline.steps.service import Service
from pipeline.webhooks import MOST_ATTEMPTS, next_try_s

_log = logging.getLogger("shotlog.api")

AT_ONCE = 8
"""Endpoints that are talked to at the same time: a slow one holds up few others."""

AGAIN_S = 30.0
"""After so long a try is made again that the lake couldn't take note of."""

_LEFT = f"""
WITH ended AS (
    SELECT run_id, max(happened_at) AS ended_at
    FROM log.run_events
    WHERE event IN ('finished', 'incomplete', 'cancelled')
    GROUP BY run_id
),

tried AS (
    SELECT run_id, max(attempt) AS attempts, max(tried_at) AS tried_at, bool_or(delivered OR status = 410) AS settled
    FROM log.deliveries
    GROUP BY run_id
)

SELECT run_id, request ->> '$.job.webhook', coalesce(attempts, 0), epoch(coalesce(tried_at, ended_at))
FROM log.runs
JOIN ended USING (run_id)
LEFT JOIN tried USING (run_id)
WHERE kind = 'job' AND (request ->> '$.job.webhook') IS NOT NULL
    AND NOT coalesce(settled, false) AND coalesce(attempts, 0) < {MOST_ATTEMPTS}
"""


@dataclass(order=True, slots=True)
class Due:
    """A message to be tried. at: when, in seconds since 1970. lake: where its job is, None: in the server's."""

    at: float
    run_id: str = field(compare=False)
    endpoint: str = field(compare=False)
    lake: str | None = field(compare=False, default=None)


class Deliveries:
    """Use it in a with statement; `put` suits many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._due: list[Due] = []
        self._pending: set[str] = set()
        self._changed, self._over = threading.Condition(), False
        self._client = httpx.Client(trust_env=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        lake = self._service.lake()
        for run_id, endpoint, attempts, last in lake.transaction(lambda con: con.execute(_LEFT).fetchall()):
            wait_s = next_try_s(attempts, random.Random()) if attempts else None
            self._enqueue(Due(last + (wait_s or 0.0), run_id, endpoint))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def put(self, run_id: str, endpoint: str, lake: str | None = None) -> None:
        """Tell an endpoint how a job ended until it has heard. lake: the job's, by its URI; None: the server's."""
        self._enqueue(Due(time.time(), run_id, endpoint, lake))

    def is_pending(self, run_id: str) -> bool:
        """Whether a message about that job is still on its way."""
        with self._changed:
            return run_id in self._pending

    def _enqueue(self, due: Due) -> None:
        with self._changed:
            self._pending.add(due.run_id)
            heapq.heappush(self._due, due)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._over and (wait_s := self._wait_s()) > 0:
                    self._changed.wait(wait_s)
                if self._over:
                    return
                due = heapq.heappop(self._due)
            self._pool.submit(self._try, due)

    def _wait_s(self) -> float:
        return self._due[0].at - time.time() if self._due else 3600.0

    def _try(self, due: Due) -> None:
        wait_s: float | None = AGAIN_S
        try:
            lake: Lake = self._service.lake(due.lake)
            tried = notify(self._service.settings, lake, self._client, due.run_id, due.endpoint)
            wait_s = None if tried.settled else next_try_s(tried.attempts, random.Random())
        except ShotlogError as error:  # of the lake, or of the file of endpoints: neither is the message's fault
            _log.error("the message about job %s waits: %s", due.run_id, error)
        except Exception:
            _log.exception("the message about job %s broke", due.run_id)
        if wait_s is None:
            with self._changed:
                self._pending.discard(due.run_id)
        else:
            self._enqueue(Due(time.time() + wait_s, due.run_id, due.endpoint, due.lake))
