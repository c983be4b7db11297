"""`shotlog export` on a real S3 server, by who may only read, beside a run; what it says of places that won't do."""

import json
import subprocess
from pathlib import Path

import polars
import pyarrow
import pytest
from pyarrow import dataset, fs

import pipeline
from pipeline.errors import ShotlogError
from pipeline.steps.export import export
from tests.integration.doors import SHOTLOG, ask, environment, fill, shotlog, tag, upload

NULL = ["--tagger", "null", "--format", "json"]
FILMS = ("cfr.mp4", "vfr.mkv", "still.webp")


@pytest.fixture(scope="module")
def first(s3, tmp_path_factory):
    """The home of the machine that made the lake s3://exported/lake."""
    home = tmp_path_factory.mktemp("first")
    upload(s3, "exported", "archive", *FILMS, "text.mp4")
    done = shotlog("tag", "s3://exported/archive/", "--lake", "s3://exported/lake", *NULL, cwd=home, **s3.env)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, 3), done.stderr
    return home


def keys(s3, prefix):
    found = s3.client().list_objects_v2(Bucket="exported", Prefix=prefix).get("Contents", [])
    return {item["Key"]: item["ETag"] for item in found}


def test_whoever_only_reads_the_lake_exports_it_and_others_read_that_on_s3(first, s3, tmp_path, monkeypatch):
    before = keys(s3, "lake/")
    command = ["export", "--lake", "s3://exported/lake", "--to", "s3://exported/tables", "--format", "json"]
    done = shotlog(*command, cwd=tmp_path, **s3.env)
    assert done.returncode == 0, done.stderr
    assert {"media", "timestamps", "failures"} <= set(done.stderr.split())
    told = json.loads(done.stdout)
    assert {name: told["views"][name]["rows"] for name in ("media", "failures", "runs")} == {
        **{"media": 3, "failures": 1, "runs": 1},
    }
    assert keys(s3, "lake/") == before
    assert not list(tmp_path.rglob("*.sqlite"))
    texts = [s3.client().get_object(Bucket="exported", Key=key)["Body"].read() for key in keys(s3, "tables/")]
    assert not [text for text in (*texts, done.stdout.encode(), done.stderr.encode()) if s3.secret_key.encode() in text]

    for name, value in {**s3.env, "HOME": str(first)}.items():
        monkeypatch.setenv(name, value)
    files = fs.S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, endpoint_override=s3.endpoint)
    latest = json.loads(files.open_input_stream("exported/tables/latest.json").read())
    assert latest["folder"] == told["folder"]
    place = f"exported/tables/{latest['folder']}/timestamps"
    by_arrow = dataset.dataset(place, filesystem=files, partitioning="hive").to_table()
    reach = {"aws_endpoint_url": s3.endpoint, "aws_allow_http": "true", "aws_region": "us-east-1"}
    keyed = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    by_polars = polars.scan_parquet(f"s3://{place}/", storage_options={**reach, **keyed}).collect().to_arrow()
    with pipeline.connect("s3://exported/lake") as con:
        wanted = con.execute("FROM timestamps ORDER BY ALL").fetchall()
        columns = ", ".join(name for name, *_ in con.execute("DESCRIBE timestamps").fetchall())
        for found in (by_arrow, by_polars):
            assert isinstance(found, pyarrow.Table)
            assert con.execute(f"SELECT {columns} FROM found ORDER BY ALL").fetchall() == wanted


def test_an_export_beside_a_run_shows_whole_batches_and_the_last_one_all(tmp_path):
    archive = fill(tmp_path / "in", *(f"{number}-{name}={name}" for number in range(2) for name in FILMS))
    lake = tmp_path / "lake"
    tag(lake, archive / "0-cfr.mp4")
    running = subprocess.Popen(
        [SHOTLOG, "tag", "in", "--lake", "lake", *NULL],
        cwd=tmp_path,
        env=environment(tmp_path, SHOTLOG_BATCH_FRAMES="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        counts = [counted(lake, tmp_path / "tables")]
        while running.poll() is None:
            counts.append(counted(lake, tmp_path / "tables"))
    finally:
        running.kill()
        running.wait()
    counts.append(counted(lake, tmp_path / "tables"))
    assert counts == sorted(counts)
    assert counts[-1] == len(FILMS) * 2


def counted(lake, to):
    """How many media an export has, each with all of its frames."""
    folder = export({"lake": str(lake)}, str(to), ["media", "timestamps"], lambda *_: None)["uri"]
    media, moments = (f"read_parquet('{folder}/{view}/**/*.parquet')" for view in ("media", "timestamps"))
    frames = f"SELECT tagging_id, count(*) AS found FROM {moments} GROUP BY tagging_id"
    ((count, whole, strangers),) = ask(
        lake,
        f"""
        SELECT count(looks.tagging_id), count(*) FILTER (found = frames), count(*) FILTER (looks.tagging_id IS NULL)
        FROM {media} AS looks FULL JOIN ({frames}) AS moments USING (tagging_id)
        """,
    )
    assert (whole, strangers) == (count, 0)
    return count


@pytest.mark.parametrize(
    ("to", "more", "code", "sentence"),
    [
        ("lake/tables", {}, 2, "lake/tables' lies inside the lake: give a place of its own as --to"),
        ("link/tables", {}, 2, "lies inside the lake"),
        ("in", {}, 2, "in' holds something that is no export: give a new or empty folder as --to"),
        ("in/cfr.mp4", {}, 2, "in/cfr.mp4' is a file: give a folder as --to"),
        ("https://me:geheim@example.org/t", {}, 2, "an export can't lie at 'https://example.org/t': give a folder"),
        ("ftp://example.org/t", {}, 2, "unknown URI scheme 'ftp'"),
        ("s3://me:geheim@tables", {}, 2, "an s3 URI holds no key: write s3://tables/"),
        ("tables", {"views": ["media", "tgas"]}, 2, "unknown view 'tgas': known are actions, all, categories, "),
        ("tables", {"lake": "none"}, 3, "there is no lake at"),
        ("/sys/tables", {}, 3, "/sys/tables/export.json' can't be written ("),
        ("s3://no-such-bucket/tables", {}, 3, "there is no bucket 'no-such-bucket'"),
    ],
)
def test_a_place_that_wont_do_is_said_so_and_left_alone(to, more, code, sentence, s3, made, monkeypatch):
    monkeypatch.chdir(made)
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    before = outside(made)
    with pytest.raises(ShotlogError) as told:
        export({"lake": more.get("lake", "lake")}, to, more.get("views", ["media"]), lambda *_: None)
    assert sentence in str(told.value)
    assert told.value.exit_code == code
    assert "geheim" not in str(told.value)
    assert outside(made) == before


def outside(folder):
    """All files but those of the catalog, which SQLite makes and removes."""
    return sorted(path for path in folder.rglob("*") if not path.name.startswith("catalog.sqlite"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    tag(folder / "lake", fill(folder / "in", "cfr.mp4"))
    (folder / "link").symlink_to("lake")
    return folder


def test_what_is_printed_for_people_and_a_sentence_where_it_cant_be_done(made):
    done = shotlog("export", "--lake", "lake", "--to", "in", "--format", "json", cwd=made)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("shotlog: ")
    done = shotlog("export", "--lake", "lake", "--to", "shown", "--views", "media,runs", cwd=made)
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["view", "rows", "files"],
        ["media", "1", "1"],
        ["runs", "1", "1"],
    ]
    assert done.stderr.splitlines()[:2] == ["media", "runs"]
    assert f"to {Path(made, 'shown')}/" in done.stderr
