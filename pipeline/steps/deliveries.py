"""Messages on their way to webhook endpoints: each is tried until it arrives, also by the next server."""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self

import httpx

from pipeline.errors import ShotlogError
from pipeline.steps.notify import notify
from pipeline.steps.service import Service
from pipeline.webhooks import next_try_s

_log = logging.getLogger("shotlog.api")

AT_ONCE = 8
"""Endpoints that are talked to at the same time: a slow one holds up few others."""

AGAIN_S = 30.0
"""After so long a try is made again that the lake couldn't take note of."""


@dataclass(order=True, slots=True)
class Due:
    """A message to be tried. at: when, in seconds since 1970. lake: where its job is, None: in the server's."""

    at: float
    run_id: str = field(compare=False)
    endpoint: str = field(compare=False)
    lake: str | None = field(compare=False)
    settled: Callable[[], None] = field(compare=False)


class Deliveries:
    """Use it in a with statement; `put` suits many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._due: list[Due] = []
        self._changed, self._over = threading.Condition(), False
        self._client = httpx.Client(trust_env=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def put(self, run_id: str, endpoint: str, lake: str | None, settled: Callable[[], None]) -> None:
        """Tell an endpoint how a job ended until it has heard, then call `settled`.

        lake: the job's, by its URI; None: the server's.
        """
        self._enqueue(Due(time.time(), run_id, endpoint, lake, settled))

    def waiting(self) -> int:
        """How many messages wait for a next try."""
        return len(self._due)

    def _enqueue(self, due: Due) -> None:
        with self._changed:
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
            with self._service.lake_at(due.lake) as lake:
                tried = notify(self._service.settings, lake, self._client, due.run_id, due.endpoint)
            wait_s = None if tried.settled else next_try_s(tried.attempts, random.Random())
        except ShotlogError as error:  # of the lake, or of the file of endpoints: neither is the message's fault
            _log.error("the message about job %s waits: %s", due.run_id, error)
        except Exception:
            _log.exception("the message about job %s broke", due.run_id)
        if wait_s is None:
            due.settled()
        else:
            self._enqueue(replace(due, at=time.time() + wait_s))
