"""A backfill of 3,000 objects by a real Airflow on the real S3 server is killed, goes on, and says how far it is."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import pipeline
from demo import keeper
from demo.airflow import airflow, component
from demo.services import wait_until
from tests.integration.test_postgres import HALF, ONCE, ORPHANS
from tests.media import media

STILLS, FILMS = 2_960, 40
BUCKET = "backfilled"
FAST = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}
"""How soon a scheduler that was killed is missed."""


def still(number):
    """A picture that no other is like."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32)).save(buffer, "PNG")
    return f"archive/{number // 500:02}/{number:05}.png", buffer.getvalue()


def film(number):
    """A film with a box of its own at the end, which players skip."""
    return f"archive/films/{number:03}.mp4", media("cfr.mp4").read_bytes() + b"\0\0\0\x10free" + b"%08d" % number


@pytest.fixture
def archive(s3):
    client = s3.client()
    client.create_bucket(Bucket=BUCKET)
    objects = [*map(still, range(STILLS)), *map(film, range(FILMS))]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: client.put_object(Bucket=BUCKET, Key=one[0], Body=one[1]), objects))
    return f"s3://{BUCKET}/archive/"


@pytest.mark.timeout(800)
def test_a_backfill_in_pieces_is_killed_and_goes_on(archive, s3, tmp_path):
    lake = str(tmp_path / "lake")
    env = {**s3.env, **FAST, "SHOTLOG_LAKE": lake, "SHOTLOG_TAGGER": "null", "SHOTLOG_MAX_FRAMES": "2"}
    env |= {"SHOTLOG_SCHEDULE": "none", "SHOTLOG_MAINTAIN_SCHEDULE": "none", "SHOTLOG_BATCH_FRAMES": "250"}
    env |= {"SHOTLOG_PIECE_BATCHES": "4", "SHOTLOG_WORKERS": "1"}
    seen = []

    def ask(query):
        with pipeline.connect(lake) as con:
            return con.execute(query).fetchall()

    def done():
        try:
            rows = ask("SELECT state, media_planned, media_done, progress, eta > started_at FROM runs")
        except pipeline.errors.LakeError:  # there is none yet
            return None
        seen.extend(row for row in rows if row not in seen)
        return rows[0][2] if rows else None

    with airflow(tmp_path / "airflow", env) as started:
        asked = {"sources": [archive], "order": "newest", "exclude": ["*/00/*7.png"], "retag": True}
        started.trigger("backfill_media", asked)
        wait_until("the second piece", lambda: (done() or 0) > 1_000 or None, seconds=240, services=started.services)
        scheduler = started.services[1]
        keeper.send(keeper.offspring(scheduler.process.pid), keeper.signal.SIGKILL)  # and every task that it runs
        before = done()
        with component("scheduler", started.logs, started.env) as again:
            rest = replace(started, services=(started.services[0], started.services[2], again))

            def over():
                done()
                states = rest.states("backfill_media")
                return states if not {"queued", "running"} & {*states} and seen[-1][0] == "finished" else None

            states = wait_until("the end", over, seconds=420, services=rest.services)
        labels = rest.labels("backfill_media", "tag_batch")
    left_out = 50
    expected = STILLS + FILMS - left_out
    assert before < expected
    assert states == ["success"] * 3, "12 batches in pieces of 4"
    assert seen[-1] == ("finished", expected, expected, 1, None)
    progress = [row[3] for row in seen if row[3]]
    assert progress == sorted(progress) and len(progress) >= 10
    assert any(row[0] == "running" and row[4] for row in seen), "it says when it will be done"
    assert ask(ONCE) == [(expected, expected)]
    assert [ask(query)[0][0] for query in (HALF, ORPHANS)] == [0, 0]
    assert ask("SELECT count(*) - count(DISTINCT media_id) FROM log.taggings") == [(0,)], "nothing was paid for twice"
    assert len(labels) == 12
    assert all(re.fullmatch(r"batch \d+: \d+ media(, \d+\.\d h)?", label) for label in labels)
    assert sum(int(label.split()[2]) for label in labels) == expected
