"""One try to tell a webhook endpoint how a job or another run ended.

The message comes from the lake, and the try is a row there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from pipeline import webhooks
from pipeline.errors import ShotlogError, unknown_name
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.settings import Settings
from pipeline.steps.job import Status
from pipeline.steps.job_history import history
from pipeline.steps.listing import make_run_id
from pipeline.steps.publish import end_run
from pipeline.steps.spool import Asked
from pipeline.steps.workplace import Workplace
from pipeline.uris import stored_uri
from pipeline.webhooks import Attempt, Endpoint

EVENT = "media.completed"

_NEVER_BEGUN = Status(
    "", "FAILED", 0, [], Asked("", (), (), 0.0, batch=True), ("not_begun", "the run broke before it was in the lake")
)

_TRIES = """
SELECT coalesce(max(attempt), 0), coalesce(bool_or(delivered OR status = 410), false)
FROM log.deliveries
WHERE run_id = ? AND endpoint = ? AND message_id = ?
"""

# A run that was cleared and done again ends more than once.
_ENDS = """
SELECT count(*), max(happened_at)
FROM log.run_events
WHERE run_id = ? AND event IN ('finished', 'incomplete', 'cancelled', 'interrupted', 'died')
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """attempts: how many there have been by now. settled: whether there need be no more. error: of this one.
    delivered: whether it has arrived."""

    attempts: int
    settled: bool
    error: str | None = None
    delivered: bool = True


def endpoints(settings: Settings) -> dict[str, Endpoint]:
    """The endpoints set up on this machine, by name. Raises UsageError where their file can't be used."""
    return webhooks.load_endpoints(Path(settings.webhooks_file).expanduser())


def check_endpoint(settings: Settings, name: str) -> None:
    """Raises UsageError where there is no such endpoint."""
    if name not in (known := endpoints(settings)):
        raise unknown_name("webhook", name, known, hint=f"(they are set up in {settings.webhooks_file})")


def notify(settings: Settings, lake: Lake, client: httpx.Client, run_id: str, endpoint: str) -> Tried:
    """Try once, unless it has arrived already. Whatever comes of it is in the lake when this returns."""
    ends, ended_at = lake.transaction(lambda con: con.execute(_ENDS, [run_id]).fetchone()) or (0, None)
    message = message_id(run_id, ends)
    tries = lake.transaction(lambda con: con.execute(_TRIES, [run_id, endpoint, message]).fetchone())
    attempts, settled = tries or (0, False)
    if settled:
        return Tried(attempts, True)
    attempt = _attempt(settings, lake, client, run_id, endpoint, message, ended_at)
    row = {
        "message_id": message,
        "run_id": run_id,
        "endpoint": endpoint,
        "attempt": attempts + 1,
        "status": attempt.status,
        "error": attempt.error,
        "delivered": attempt.delivered,
        "tried_at": datetime.now(UTC),
    }
    lake.transaction(lambda con: writer.insert(con, {"deliveries": [row]}))
    return Tried(attempts + 1, attempt.delivered or attempt.unwanted, attempt.error, attempt.delivered)


def tell(request: dict[str, Any], run_name: str) -> None:
    """Step 5 of a run, where its request names a webhook: try once. Raises ShotlogError unless it has arrived, for the
    scheduler to try again; a run that broke before its end ends now.
    """
    work, run_id = Workplace.of(request), make_run_id(run_name)
    lake, endpoint = work.lake(create=True, read_only=False), work.settings.webhook
    assert endpoint
    check_endpoint(work.settings, endpoint)
    if not lake.con.execute(_ENDS, [run_id]).fetchall()[0][0]:
        end_run(lake, run_id)
    with httpx.Client(trust_env=False) as client:
        tried = notify(work.settings, lake, client, run_id, endpoint)
    if not tried.settled:
        raise ShotlogError(f"endpoint '{endpoint}' has not heard: {tried.error}")


def last_try(lake: Lake, run_id: str, endpoint: str) -> tuple[int, float] | None:
    """How often it was tried, and when last, in seconds since 1970; None where it wasn't, or has arrived."""
    query = """
        SELECT max(attempt), epoch(max(tried_at)) FROM log.deliveries WHERE run_id = ? AND endpoint = ?
        HAVING NOT bool_or(delivered OR status = 410)
    """
    row: tuple[int, float] | None = lake.transaction(lambda con: con.execute(query, [run_id, endpoint]).fetchone())
    return row


def message_id(run_id: str, ends: int) -> str:
    """The same for every try, so that a receiver knows a message that comes twice. ends: how often the run ended."""
    return f"msg_{run_id}" if ends < 2 else f"msg_{run_id}_{ends}"


def _attempt(
    settings: Settings, lake: Lake, client: httpx.Client, run_id: str, name: str, message: str, ended_at: datetime
) -> Attempt:
    if (endpoint := endpoints(settings).get(name)) is None:
        return Attempt(error=f"there is no endpoint '{name}'")
    body = webhooks.message(EVENT, ended_at, _data(settings, lake, run_id))
    return webhooks.deliver(client, endpoint, message, body)


def _data(settings: Settings, lake: Lake, run_id: str) -> dict[str, Any]:
    found = history(lake, run_id) or _NEVER_BEGUN
    data: dict[str, Any] = {
        "job_id": run_id,
        "status": found.state.lower(),
        "media_url": None if found.asked.batch else stored_uri(found.asked.urls[0]),
        "results": found.results,
        "failures": [{"media_url": one.uri, "code": one.code, "message": one.sentence} for one in found.failures],
        "custom_payload": found.asked.custom_payload,
        "status_url": f"{settings.api_url.rstrip('/')}/v2/media/categories/{run_id}",
    }
    if found.error:
        data["error"] = {"code": found.error[0], "message": found.error[1]}
    return data
