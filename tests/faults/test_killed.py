"""SIGKILL at any moment, and where one stage ends: every media object once in the views, and nothing paid for twice."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.tag import tag_batch
from tests.faults.children import KILLED, run_in_child
from tests.faults.dying import ANYWHERE, BOUNDARIES, tag_until
from tests.faults.invariants import check_whole, read_throughout
from tests.faults.places import fill
from tests.integration.doors import tag
from tests.media import media

FILES = ["cfr.mp4", "vfr.mkv", "hevc.mp4", "still.webp", "truncated.mp4", "text.mp4", "animated.gif", "cmyk.jpg"]
COPIES = 4
MEDIA = len(FILES) * COPIES
GOOD = MEDIA - COPIES  # text.mp4 is no media
TAG_UNTIL = """
import json, os, signal, sys
from pipeline.lake.journal import Journal
from pipeline.steps.tag import tag_batch

def keep_and_die(journal, entry, keep=Journal.keep):
    keep(journal, entry)
    if len(list(journal.entries())) >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

Journal.keep = keep_and_die
tag_batch(*json.loads(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for name in FILES:
        for copy in range(COPIES):
            shutil.copy(media(name), folder / f"{copy}-{name}")
    return folder


def check_everything_once(lake):
    con = pipeline.connect(lake)
    counts = "SELECT count(*), count(DISTINCT media_id) FROM"
    assert con.execute(f"{counts} media").fetchone() == (GOOD, GOOD)
    assert con.execute(f"{counts} log.taggings").fetchone() == (MEDIA, MEDIA), "looked at twice"
    frames = con.execute("SELECT uri, timestamp_s, count(*) FROM timestamps GROUP BY ALL HAVING count(*) > 1")
    assert frames.fetchall() == []
    assert con.execute("SELECT count(*) = (SELECT sum(frames) FROM media) FROM timestamps").fetchone() == (True,)
    failures = con.execute("SELECT error_code, count(*) FROM failures GROUP BY error_code ORDER BY error_code")
    assert failures.fetchall() == [("not_media", COPIES), ("truncated", COPIES)]


@pytest.mark.seeds(3, 30)
def test_a_run_killed_at_random_moments_ends_with_every_media_object_once(seed, archive, tmp_path, s3, monkeypatch):
    chance = random.Random(seed)
    lake, catalog = str(tmp_path / "lake"), None
    if seed % 2:
        s3.client().create_bucket(Bucket=f"killed-{seed}")
        lake, catalog = f"s3://killed-{seed}/lake", str(tmp_path / "catalog.sqlite")
        for name, value in {**s3.env, "SHOTLOG_CATALOG": catalog}.items():
            monkeypatch.setenv(name, value)
    command = [str(Path(sys.executable).with_name("shotlog")), "tag", str(archive), "--lake", lake, "--tagger", "null"]
    with read_throughout(lake, catalog, may_meet="there is no lake at"):
        for _ in range(chance.randint(2, 5)):
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
                try:
                    run.wait(chance.uniform(0.3, 4))
                except subprocess.TimeoutExpired:
                    run.kill()
        last = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert last.returncode == 0, last.stderr
    check_everything_once(lake)
    bad, cut = (set(map(str, archive.glob(f"*-{name}"))) for name in ("text.mp4", "truncated.mp4"))
    check_whole(lake, set(map(str, archive.iterdir())) - bad, bad | cut, catalog=catalog)


def test_a_tag_task_killed_midway_and_retried_adds_each_media_object_once(archive, tmp_path):
    lake = str(tmp_path / "lake")
    request = {"sources": str(archive), "lake": lake, "tagger": "null", "workers": 1}
    run_id = list_media(request, "task")["run_id"]
    (batch_id,) = plan_batches({**request, "batch_frames": 10_000}, run_id)["batches"]
    journal = Path(lake) / "work" / run_id / "journal"
    for kept in ("5", "15"):
        task = [sys.executable, "-c", TAG_UNTIL, kept, json.dumps([request, run_id, batch_id])]
        assert subprocess.run(task).returncode == -signal.SIGKILL
    (journal / ".part-0").touch()  # a kill in the middle of a write leaves one
    assert 15 <= len(list(journal.glob("*.json"))) < MEDIA
    assert tag_batch(request, run_id, batch_id)["ok"] + 2 * COPIES == MEDIA
    assert tag_batch(request, run_id, batch_id) == dict.fromkeys(("ok", "partial", "failed", "skipped", "frames"), 0)
    assert publish_run(request, run_id)["state"] == "finished"
    assert not journal.exists()
    check_everything_once(lake)


@pytest.mark.seeds(3, 20)
def test_a_run_killed_where_one_stage_ends_is_gone_on_with(seed, tmp_path, s3, monkeypatch, request):
    """Three seeds cross every boundary once; with --all each crosses all of them, in an order of its own."""
    chance, archive = random.Random(seed), tmp_path / "in"
    where = list(BOUNDARIES)
    if request.config.getoption("--all"):
        chance.shuffle(where)
    else:
        where = where[seed::3]
    lake, env = str(tmp_path / "lake"), {}
    if seed % 2:
        s3.client().create_bucket(Bucket=f"stages-{seed}")
        lake, env = f"s3://stages-{seed}/lake", {**s3.env, "SHOTLOG_CATALOG": str(tmp_path / "catalog.sqlite")}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = {"tagger": "null", "workers": 1, "batch_frames": 1, "freeze": "on"}
    tag(lake, fill(archive, "first.png"), **settings)
    with read_throughout(lake, env.get("SHOTLOG_CATALOG")):
        for number, boundary in enumerate(where):
            fill(archive, f"{number}.png", f"{number}.mp4")
            times = chance.randint(1, 2) if boundary in ANYWHERE else 1
            asked = {**settings, "sources": str(archive), "lake": lake}
            assert run_in_child(tag_until, boundary, times, asked, env=env) == KILLED, boundary
    assert tag(lake, archive, **settings)["state"] == "finished"
    check_whole(lake, {str(path) for path in archive.iterdir()}, catalog=env.get("SHOTLOG_CATALOG"))
