"""What an operator does with webhooks: see what has become of messages, try one again, try an endpoint."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import httpx

from pipeline import webhooks
from pipeline.errors import UsageError
from pipeline.steps.notify import check_endpoint, endpoints, notify
from pipeline.steps.workplace import Workplace

TEST = "shotlog.test"
"""The type of a message about no job, else of the same form."""

_LIST = """
SELECT
    run_id, endpoint,
    CASE
        WHEN bool_or(delivered) THEN 'arrived'
        WHEN bool_or(status = 410) THEN 'refused'
        WHEN max(attempt) >= ? THEN 'given up'
        ELSE 'waiting'
    END AS state,
    max(attempt) AS attempts,
    arg_max(status, attempt) AS last_status,
    last(error ORDER BY attempt) AS last_error,
    max(tried_at) AS tried_at
FROM log.deliveries
GROUP BY run_id, endpoint, message_id
ORDER BY tried_at DESC
"""

_ENDPOINT = "SELECT coalesce(request ->> '$.job.webhook', request ->> '$.webhook') FROM log.runs WHERE run_id = ?"

_ENDED = """
SELECT 1
FROM log.run_events
WHERE run_id = ? AND event IN ('finished', 'incomplete', 'cancelled', 'interrupted', 'died')
LIMIT 1
"""


def list_deliveries(request: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and one row a message, the latest first: whether it has arrived, how often it was tried."""
    with Workplace.of(request).lake() as lake:
        found = lake.con.execute(_LIST, [webhooks.MOST_ATTEMPTS])
        return [column[0] for column in found.description or ()], found.fetchall()


def retry(request: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Try once, now, to tell how a job ended. Raises UsageError for one that isn't there, or has nobody to tell."""
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    found = lake.con.execute(_ENDPOINT, [run_id]).fetchone()
    if found is None:
        raise UsageError(f"there is no job or run '{run_id}': `shotlog runs` has them")
    if found[0] is None:
        raise UsageError(f"'{run_id}' was begun without a webhook")
    if not lake.con.execute(_ENDED, [run_id]).fetchone():
        raise UsageError(f"'{run_id}' goes on: its end will be told")
    check_endpoint(work.settings, found[0])
    with httpx.Client(trust_env=False) as client:
        tried = notify(work.settings, lake, client, run_id, found[0])
    told = {"run_id": run_id, "endpoint": found[0], "delivered": tried.delivered, "attempts": tried.attempts}
    return {**told, "error": tried.error}


def test(request: dict[str, Any], name: str) -> dict[str, Any]:
    """Send an endpoint a message that says nothing. Raises UsageError where there is no such endpoint."""
    settings = Workplace.of(request).settings
    check_endpoint(settings, name)
    data: dict[str, Any] = {
        "job_id": "test",
        "status": "completed",
        "media_url": None,
        "results": [],
        "custom_payload": None,
    }
    body = webhooks.message(TEST, datetime.now(UTC), data)
    with httpx.Client(trust_env=False) as client:
        attempt = webhooks.deliver(client, endpoints(settings)[name], f"msg_test_{uuid.uuid4().hex}", body)
    return {"endpoint": name, "delivered": attempt.delivered, "status": attempt.status, "error": attempt.error}
