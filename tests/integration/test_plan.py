"""What a run would do and take is known before it, and the fact stands beside it afterwards."""

import inspect
import json
import os
from contextlib import closing

import pytest

from pipeline.cli import tag as cli
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.planning.budget import Budget
from pipeline.planning.prices import load_prices
from pipeline.steps.forecast import forecast
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.workplace import Workplace
from pipeline.store import open_store
from tests.integration.doors import ask, fill, rows, shotlog, tag, upload
from tests.media import names
from tests.unit.lake.made import media, tagging

COUNTS = ("new", "changed", "stale", "failed_before", "unchanged", "duplicate", "gone")
FILMS = ("cfr.mp4", "vfr.mkv", "hevc.mp4", "late_start.mp4")


def plan(*arguments, cwd, **environment):
    done = shotlog("plan", *arguments, "--format", "json", cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def snapshot(folder):
    """Every file, and every row of the lake: SQLite tidies its own files up while it is read."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("catalog.sqlite")]
    times = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
    return times, rows(folder / "lake"), ask(folder / "lake", "SELECT count(*) FROM log.run_events")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """All media of the tests, the bad ones too, and more copies of some."""
    return fill(tmp_path_factory.mktemp("media") / "in", *names(bad=True))


@pytest.mark.parametrize("sampling", ["uniform", "every:200ms"])
def test_the_forecast_is_within_a_tenth_of_the_frames_that_are_looked_at(sampling, archive, tmp_path):
    options = ["--lake", "lake", "--sampling", sampling, "--max-frames", "20", "--tagger", "null"]
    forecast = plan(archive, *options, cwd=tmp_path, SHOTLOG_FORECAST_SAMPLE="1000")
    assert list(tmp_path.iterdir()) == [], "it writes nothing"
    done = tag(tmp_path / "lake", archive, sampling=sampling, max_frames=20)
    assert forecast["frames"]["expected"] == pytest.approx(done["frames"], rel=0.1)
    assert (forecast["new"], forecast["media"]) == (done["new"], done["new"])


def test_a_sample_of_the_headers_does_too_and_says_how_sure_it_is(tmp_path):
    films = (*FILMS, "carphone_pristine.mp4", "bigbuckbunny.mp4")
    archive = fill(tmp_path / "in", *(f"{number}-{name}={name}" for number in range(20) for name in films))
    forecast = plan("in", "--lake", "lake", "--tagger", "null", cwd=tmp_path, SHOTLOG_FORECAST_SAMPLE="40")
    done = tag(tmp_path / "lake", archive)
    frames = forecast["frames"]
    assert forecast["sampled"] == 40
    assert frames["low"] <= done["frames"] <= frames["high"]
    assert frames["expected"] == pytest.approx(done["frames"], rel=0.1)
    assert frames["low"] < frames["expected"] < frames["high"]


def test_it_says_what_is_what_and_writes_nothing(tmp_path):
    archive = fill(tmp_path / "in", "cfr.mp4", "vfr.mkv", "text.mp4", "still.webp", "late_start.mp4")
    tag(tmp_path / "lake", archive)
    fill(archive, "hevc.mp4")
    (archive / "late_start.mp4").unlink()
    os.utime(archive / "still.webp", ns=(1, 1))
    before = snapshot(tmp_path)
    found = plan("in", "--lake", "lake", "--tagger", "null", cwd=tmp_path)
    assert {name: found[name] for name in COUNTS} == {
        "new": 1,
        "changed": 1,
        "stale": 0,
        "failed_before": 1,
        "unchanged": 3,
        "duplicate": 0,
        "gone": 1,
    }
    for number in ("frames", "gpu_hours", "cost", "media_hours", "hours", "thumbnail_bytes"):
        assert {"low", "expected", "high"} <= set(found[number])
    assert set(found["tokens"]) == {"prompt", "completion"}
    stale = plan("in", "--lake", "lake", "--tagger", "null", "--max-frames", "1", "--retag", cwd=tmp_path)
    assert (stale["stale"], stale["media"]) == (2, 1 + 1 + 2 + 1)
    assert stale["frames"]["low"] == stale["frames"]["high"] == 4
    assert snapshot(tmp_path) == before
    # the same by --dry-run, as a table for people
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", "--dry-run", cwd=tmp_path)
    assert "1 new, 1 changed, 3 unchanged, 1 gone" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]][:2] == ["media", "frames"]
    assert snapshot(tmp_path) == before


def test_large_films_in_s3_are_told_by_their_ends(s3, tmp_path):
    upload(s3, "foreseen", "in", "cfr.mp4", "vfr.mkv")
    found = plan("s3://foreseen/in/", "--lake", "s3://foreseen/lake", cwd=tmp_path, **s3.env)
    assert (found["new"], found["frames"]["expected"]) == (2, 4)
    assert s3.client().list_objects_v2(Bucket="foreseen")["KeyCount"] == 2


def test_a_run_that_is_over_has_its_forecast_beside_the_fact(tmp_path):
    archive = fill(tmp_path / "in", *(f"{number}-{name}={name}" for number in range(10) for name in FILMS))
    done = tag(tmp_path / "lake", archive)
    (run,) = ask(tmp_path / "lake", "SELECT frames_forecast, frames, tokens_forecast, tokens FROM runs")
    assert run[0]["low"] <= run[1] == done["frames"] <= run[0]["high"]
    assert run[2]["expected"] == run[3] == 0
    assert rows(tmp_path / "lake")["taggings"] == 40


PRICES = """
currency = "EUR"

[taggers.null]
frames_per_s = 0.001
gpus = 2
gpu_hour = 3.5
million_prompt_tokens = 4000
million_completion_tokens = 10000
"""


def test_money_and_gpu_hours_stand_beside_their_forecast_by_the_prices_it_was_made_with(tmp_path):
    archive, lake, table = fill(tmp_path / "in", *FILMS), tmp_path / "lake", tmp_path / "prices.toml"
    table.write_text(PRICES)
    price = load_prices(table).of("null")
    run_id = tag(lake, archive, prices=str(table))["run_id"]
    with closing(open_lake(str(lake), open_store(str(lake)), catalog=None, read_only=False)) as mine:
        dear = tagging(media("dear.mp4"), batch_id="dear", frames=3)
        writer.commit_batch(mine, run_id, "dear", [dear], seconds=1800.0)
    table.unlink()
    (found,) = ask(lake, "SELECT gpu_hours, gpu_hours_forecast, cost, cost_forecast, tokens FROM runs")
    gpu_hours, hours_forecast, cost, cost_forecast, tokens = found
    ((seconds,),) = ask(lake, "SELECT sum(seconds) FROM log.batches")
    took = {"seconds": seconds, "prompt_tokens": 3 * 500, "completion_tokens": 3 * 40}
    assert tokens == 3 * 540
    assert gpu_hours == pytest.approx(Budget(1, "gpu_hours", "").spent(price, **took))
    assert cost == pytest.approx(Budget(1, "money", "").spent(price, **took))
    assert (hours_forecast["expected"] > 0, cost_forecast["currency"]) == (True, "EUR")


def test_a_run_whose_prices_nobody_noted_has_no_cost(tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4"), tmp_path / "lake"
    tag(lake, archive)
    with closing(open_lake(str(lake), open_store(str(lake)), catalog=None, read_only=False)) as mine:
        forget_prices = "UPDATE log.run_events SET detail = replace(detail, '\"prices\"', '\"others\"')"
        mine.transaction(lambda con: con.execute(forget_prices))
    assert ask(lake, "SELECT gpu_hours, cost, frames FROM runs") == [(None, None, 2)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_a_killed_run_had_planned_is_still_to_do(kind, tmp_path, request):
    archive = fill(tmp_path / "in", *FILMS)
    asked = {"sources": str(archive), "lake": str(tmp_path / "lake"), "tagger": "null"}
    asked |= {"catalog": request.getfixturevalue("postgres").url} if kind == "postgres" else {}
    run_id = list_media(asked, "killed")["run_id"]
    plan_batches(asked, run_id)
    with Workplace.of(asked).lake(read_only=False) as lake, lake.at_work(alone=False):  # a task of it is at work
        counts = forecast(asked)
        assert [counts[name] for name in ("new", "claimed", "media")] == [len(FILMS), len(FILMS), 0]
    counts = forecast(asked)
    assert [counts[name] for name in ("new", "claimed", "media")] == [len(FILMS), 0, len(FILMS)]


def test_a_prefix_that_matches_nothing_is_no_error(s3, tmp_path):
    upload(s3, "bare", "in", "cfr.mp4")
    for verb in ("plan", "tag"):
        done = shotlog(verb, "s3://bare/out/", "--lake", "lake", "--tagger", "null", cwd=tmp_path, **s3.env)
        assert done.returncode == 0, done.stderr
        assert "listed 0 media objects" in done.stderr
        assert "no image or video lies there: check the URI" in done.stderr


def test_a_folder_with_something_else_is_no_empty_lake(tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    done = shotlog("plan", "in", "--lake", "in", "--tagger", "null", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "is a folder with something else in it: give a new or empty folder as --lake" in done.stderr.replace(
        "\n", " "
    )


def test_what_decides_what_a_run_does_can_be_asked_of_its_plan():
    of_the_run = {"workers", "decoder", "dry_run", "budget", "fail_on_error"}
    assert inspect.signature(cli.tag).parameters.keys() - of_the_run <= inspect.signature(cli.plan).parameters.keys()


def test_a_run_over_a_few_large_films_knows_how_long_they_are(tmp_path):
    archive = fill(tmp_path / "in", "bikes.mp4", "coffee.png")
    with (archive / "bikes.mp4").open("ab") as film:
        film.truncate(33 << 20)  # beyond what is fetched whole to be probed
    tag(tmp_path / "lake", archive)
    ((forecast, frames, hours),) = ask(tmp_path / "lake", "SELECT frames_forecast, frames, media_hours FROM runs")
    assert (forecast["low"], forecast["expected"]) == (frames, frames) == (11, 11)
    assert hours > 0


def test_a_table_of_prices_that_is_wrong_is_said_before_anything_is_listed(tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    (tmp_path / "prices.toml").write_text("[taggers.null]\nframes_per_s = -1\n")
    done = shotlog("plan", "in", "--tagger", "null", "--prices", "prices.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "taggers.null.frames_per_s = -1: input should be greater than 0" in done.stderr
