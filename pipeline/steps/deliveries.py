"""Messages on their way to webhook endpoints: each is tried until it arrives, also by the next server."""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self

import httpx

from pipeline.errors import ShotlogError
from pipeline.lake.catalog import Lake
from pipeline.steps.notify import last_try, notify
from pipeline.steps.service import Service
from pipeline.webhooks import next_try_s

_log = logging.getLogger("shotlog.api")

AT_ONCE, AT_ONE = 8, 2
"""Messages that are on their way at the same time, to all endpoints and to one: a slow one holds up no other."""

AGAIN_S = 30.0
"""After so long a try is made again that the lake couldn't take note of."""


@dataclass(order=True, slots=True)
class Due:
    """A message to be tried. at: when, in seconds since 1970. lake: where its job is, None: in the server's.
    anew: whether this server hasn't tried it; another may have, and not long ago.
    """

    at: float
    run_id: str = field(compare=False)
    endpoint: str = field(compare=False)
    lake: str | None = field(compare=False)
    settled: Callable[[], None] = field(compare=False)
    anew: bool = field(compare=False, default=True)


class Deliveries:
    """Use it in a with statement; `put` suits many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._due: list[Due] = []
        self._talking = Counter[str]()
        self._held: dict[str, list[Due]] = {}
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
        return len(self._due) + sum(len(held) for held in self._held.values())

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
                if self._talking[due.endpoint] >= AT_ONE:
                    self._held.setdefault(due.endpoint, []).append(due)
                    continue
                self._talking[due.endpoint] += 1
            self._pool.submit(self._try, due)

    def _wait_s(self) -> float:
        return self._due[0].at - time.time() if self._due else 3600.0

    def _try(self, due: Due) -> None:
        wait_s: float | None = AGAIN_S
        try:
            with self._service.lake_at(due.lake) as lake:
                wait_s = self._asked_before_s(lake, due) or self._told(lake, due)
        except ShotlogError as error:  # of the lake, or of the file of endpoints: neither is the message's fault
            _log.error("the message about job %s waits: %s", due.run_id, error)
        except Exception:
            _log.exception("the message about job %s broke", due.run_id)
        with self._changed:
            self._talking[due.endpoint] -= 1
            if held := self._held.get(due.endpoint):
                heapq.heappush(self._due, held.pop(0))
                self._changed.notify()
        if wait_s is None:
            due.settled()
        else:
            self._enqueue(replace(due, at=time.time() + wait_s, anew=False))

    def _asked_before_s(self, lake: Lake, due: Due) -> float:
        """How long a message has to wait that another server has tried."""
        if not due.anew or not (last := last_try(lake, due.run_id, due.endpoint)):
            return 0.0
        wait_s = next_try_s(last[0], random.Random())
        return max(0.0, last[1] + wait_s - time.time()) if wait_s else 0.0

    def _told(self, lake: Lake, due: Due) -> float | None:
        """Try; returns after how long to try again, None for never."""
        tried = notify(self._service.settings, lake, self._client, due.run_id, due.endpoint)
        wait_s = None if tried.settled else next_try_s(tried.attempts, random.Random())
        if tried.error:
            again = "it is given up" if wait_s is None else f"again in {wait_s:.0f} s"
            _log.warning("the message about job %s didn't arrive (%s): %s", due.run_id, tried.error, again)
        return wait_s
