"""What the view `runs` says of a run that was paused, or cancelled while somebody planned it, by what was recorded."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.lake import writer

START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = {"listed": 20, "media": 20, "forecast": {"media_hours": {"expected": 0}}}
MINUTE, PAUSE = 60, 36_000


@pytest.fixture
def record(lake):
    """Adds rows to the run that `lake` has: seconds after its start → an event, or a batch of one picture."""
    begun = {"run_id": "r", "kind": "backfill", "sources": [], "recipe_id": "", "request": "{}", "started_at": START}
    lake.transaction(lambda con: writer.insert(con, {"runs": [begun]}))

    def at(seconds, event):
        moment = START + timedelta(seconds=seconds)
        if event == "batch":
            rows = {"batches": [{"run_id": "r", "batch": f"{seconds:06}", "media": 1, "committed_at": moment}]}
        else:
            detail = json.dumps(PLAN if event == "planned" else {})
            rows = {"run_events": [{"run_id": "r", "event": event, "detail": detail, "happened_at": moment}]}
        lake.transaction(lambda con: writer.insert(con, rows))

    return at


def seen(lake, columns):
    return lake.read(lambda con: con.execute(f"SELECT {columns} FROM runs").fetchall())[0]


def test_when_it_will_be_done_goes_by_what_it_does_since_its_last_pause(lake, record):
    record(1, "planned")
    for number in range(1, 6):
        record(number * MINUTE, "batch")
    assert seen(lake, "left_s") == (15 * MINUTE,)
    record(5 * MINUTE + 1, "interrupted")
    record(PAUSE, "resumed")
    assert seen(lake, "state, left_s") == ("running", None), "nothing tells yet"
    record(PAUSE + MINUTE, "batch")
    assert seen(lake, "left_s, eta") == (14 * MINUTE, START + timedelta(seconds=PAUSE + 15 * MINUTE))


def test_one_that_is_cancelled_stays_so_whatever_is_written_afterwards(lake, record):
    record(1, "cancelled")
    record(2, "planned")
    assert seen(lake, "state, left_s") == ("cancelled", None)
