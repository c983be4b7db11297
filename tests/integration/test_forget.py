"""What is forgotten is gone: from rows, history, old files, journals, copies of the catalog. What inherited stays."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import LakeError
from pipeline.lake import forget as forgetting
from pipeline.lake import freeze, writer
from pipeline.lake.catalog import open_lake
from pipeline.model import MediaObject
from pipeline.steps.forget import forget as forget_here
from pipeline.steps.listing import begin_run, list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.tag import tag_batch
from pipeline.steps.workplace import Workplace
from pipeline.store import open_store
from tests.integration.doors import ask, fill, rows, shotlog, tag
from tests.unit.lake.made import tagging

SECRET = "interview-with-a-witness.mp4"


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request, monkeypatch):
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").url
        monkeypatch.setenv("SHOTLOG_CATALOG", url)
        return url
    return None


def opened(lake, catalog):
    return open_lake(str(lake), open_store(str(lake)), catalog=catalog, read_only=False)


def forget(lake, *named, catalog=None):
    environment = {"SHOTLOG_CATALOG": catalog} if catalog else {}
    arguments = ["forget", *named, "--lake", str(lake), "--yes", "--format", "json"]
    done = shotlog(*arguments, cwd=lake.parent, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def everything(lake, catalog):
    """Every byte that the lake keeps, by where it is."""
    found = {str(path): path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    if catalog:
        import psycopg

        with opened(lake, catalog).con as con, psycopg.connect(catalog) as session:
            schema = ask(lake, "SELECT lake_id FROM log.identity LIMIT 1")[0][0]
            con.close()
            query = "SELECT schemaname, tablename FROM pg_tables WHERE starts_with(schemaname, %s)"
            for place in session.execute(query, [f"shotlog_{schema}"]).fetchall():
                found["/".join(place)] = str(
                    session.execute('SELECT * FROM "{}"."{}"'.format(*place)).fetchall()
                ).encode()
    return found


def test_every_trace_goes_and_everything_else_stays(catalog, tmp_path):
    archive = fill(tmp_path / "in", f"{SECRET}=cfr.mp4", "vfr.mkv", "still.webp")
    lake, secret = tmp_path / "lake", tmp_path / "in" / SECRET
    tag(lake, archive, tagger="builtin")
    tag(lake, archive, tagger="builtin", max_frames=1, retag=True)
    tag(lake, secret, archive, tagger="builtin", max_frames=1)  # a source of its own: the run's row names it
    with opened(lake, catalog).con:
        pass
    handle = opened(lake, catalog)
    old = freeze.publish(handle)
    handle.close()
    with pipeline.connect(str(lake)) as con:
        ((media_id,),) = con.execute("SELECT media_id FROM media WHERE uri = ?", [str(secret)]).fetchall()
    others = "SELECT * FROM media WHERE uri NOT LIKE '%witness%' ORDER BY uri"
    before = ask(lake, others)
    assert any(SECRET.encode() in data for data in everything(lake, catalog).values())

    handle = opened(lake, catalog)
    handle.catalog.back_up("format-4")  # as before an upgrade
    handle.close()
    report, said = forget(lake, str(secret), catalog=catalog)
    assert (report["media"], report["unknown"], report["frozen_catalogs"]) == (1, [], 1)
    assert report["rows"] > 10
    assert "no data file holds a row of them" in said
    assert "the older ones are gone" in said
    assert not Path(old).exists()
    left = everything(lake, catalog)
    assert [name for name, data in left.items() if SECRET.encode() in data or media_id.encode() in data] == []
    assert ask(lake, others) == before
    assert ask(lake, "SELECT count(*) FROM log.taggings WHERE uri LIKE '%witness%'") == [(0,)]
    assert ask(lake, "SELECT count(*) FROM log.sightings WHERE uri LIKE '%witness%'") == [(0,)]
    (newest,) = (path for path in (lake / "frozen").glob("*.duckdb"))
    assert SECRET.encode() not in newest.read_bytes()
    # the object itself is still there, so the next run finds it new
    assert tag(lake, archive, tagger="builtin", max_frames=1)["new"] == 1


def test_it_may_be_a_day_behind_who_wrote_the_lake(tmp_path):
    fill(tmp_path / "in", f"{SECRET}=still.webp")
    tagged = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", cwd=tmp_path, TZ="Pacific/Kiritimati")
    assert tagged.returncode == 0, tagged.stderr
    named = ["forget", f"in/{SECRET}", "--lake", "lake", "--yes"]
    done = shotlog(*named, cwd=tmp_path, TZ="Etc/GMT+12")  # 26 hours behind
    assert done.returncode == 0, done.stderr
    assert "1 media forgotten" in done.stderr


def test_what_is_committed_meanwhile_is_kept_whole_and_the_next_try_gets_it(tmp_path, monkeypatch):
    archive, lake = fill(tmp_path / "in", f"{SECRET}=cfr.mp4", "vfr.mkv"), tmp_path / "lake"
    tag(lake, archive)
    again, delete = replace(tagging(), object=MediaObject(str(archive / SECRET), "1", 1)), forgetting._delete_rows

    def before_a_commit(held, mentions):
        rows = delete(held, mentions)
        monkeypatch.undo()
        with opened(lake, None).con as con:
            writer.insert(con, writer._rows([again]))
        return rows

    monkeypatch.setattr(forgetting, "_delete_rows", before_a_commit)
    with pytest.raises(LakeError, match="still hold rows of what is to be forgotten: run it again"):
        forget_here({"lake": str(lake)}, [str(archive / SECRET)])
    assert ask(lake, "SELECT count(*) FROM timestamps WHERE uri LIKE '%witness%'") == [(2,)]
    assert forget_here({"lake": str(lake)}, [str(archive / SECRET)])["media"] == 1
    assert ask(lake, "SELECT parse_filename(uri) FROM media") == [("vfr.mkv",)]


@pytest.mark.parametrize("name", ["Müller0.png", 'the "Müller" tape.png'])
def test_a_name_that_json_writes_otherwise_goes_from_what_runs_keep_of_it(name, tmp_path):
    archive, lake = fill(tmp_path / "in", f"{name}=still.webp", "vfr.mkv"), tmp_path / "lake"
    uri = str(archive / name)
    tag(lake, uri, archive)
    of_it = MediaObject(uri, "1", 1).media_id
    with closing(opened(lake, None)) as handle:
        work = Workplace.of({"sources": str(archive / "vfr.mkv"), "lake": str(lake), "tagger": "null"})
        begin_run(work, handle, "job-1", kind="job", asked={"job": {"media": [of_it, "another"]}})
        writer.record_event(handle, "job-1", "finished", {"refused": [[uri, "not_found", "gone"]]})
        tables = {Path(found).parent.name for found in forgetting.traces(handle, {of_it: uri})}
        assert {"runs", "run_events"} <= tables
    assert forget_here({"lake": str(lake)}, [uri])["media"] == 1
    kept = ask(lake, "SELECT sources, request FROM log.runs UNION ALL SELECT [], detail FROM log.run_events")
    for trace in ("Müller", r"M\u00fcller", of_it):
        assert trace not in "".join(text for _, text in kept), trace
    assert ask(lake, "SELECT request -> '$.job.media' FROM log.runs WHERE kind = 'job'") == [
        ('["(forgotten)","another"]',)
    ]
    assert [len(sources) for sources, _ in kept if "(forgotten)" in sources] == [2]


def test_a_copy_keeps_what_it_inherited(tmp_path):
    archive, lake = fill(tmp_path / "in", f"{SECRET}=cfr.mp4"), tmp_path / "lake"
    tag(lake, archive, tagger="builtin")
    fill(archive, "copy.mp4=cfr.mp4")
    tag(lake, archive, tagger="builtin")
    before = ask(lake, "SELECT count(*) FROM timestamps WHERE uri LIKE '%/copy.mp4'")
    assert before == [(2,)]
    forget(lake, str(archive / SECRET))
    assert ask(lake, "SELECT count(*) FROM timestamps WHERE uri LIKE '%/copy.mp4'") == before
    assert ask(lake, "SELECT count(*) FROM media") == [(1,)]


def test_what_a_planned_copy_was_to_inherit_is_gone_and_the_next_run_looks_itself(tmp_path):
    archive, lake = fill(tmp_path / "in", f"{SECRET}=cfr.mp4"), tmp_path / "lake"
    tag(lake, archive)
    fill(archive, "copy.mp4=cfr.mp4", "vfr.mkv")
    request = {"sources": str(archive), "lake": str(lake), "tagger": "null"}
    run_id = list_media(request, "second")["run_id"]
    (batch_id,) = plan_batches(request, run_id)["batches"]
    forget_here({"lake": str(lake)}, [str(archive / SECRET)])
    (archive / SECRET).unlink()
    tag_batch(request, run_id, batch_id)
    done = publish_run(request, run_id)
    assert (done["ok"], done["inherited"]) == (1, 0)
    assert ask(lake, "SELECT parse_filename(uri) FROM media") == [("vfr.mkv",)]
    assert ask(lake, "SELECT count(*) FROM failures") == [(0,)]
    again = tag(lake, archive)
    assert (again["ok"], again["inherited"]) == (1, 0)
    assert ask(lake, "SELECT parse_filename(uri), frames FROM media ORDER BY ALL") == [("copy.mp4", 2), ("vfr.mkv", 2)]


def test_a_name_of_nothing_is_said_and_nothing_is_done(tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4"), tmp_path / "lake"
    tag(lake, archive)
    before = rows(lake)
    report, said = forget(lake, "s3://elsewhere/a.mp4")
    assert (report["media"], report["unknown"]) == (0, ["s3://elsewhere/a.mp4"])
    assert "nothing in this lake is called s3://elsewhere/a.mp4" in said
    assert "no data file holds" not in said
    secret = "https://u:geheim@host/x.jpg?X-Amz-Signature=geheim"
    report, said = forget(lake, secret)
    assert report["unknown"] == ["https://host/x.jpg"]
    assert "geheim" not in said
    assert rows(lake) == before


def test_nobody_is_forgotten_unasked(tmp_path):
    archive = fill(tmp_path / "in", "cfr.mp4")
    tag(tmp_path / "lake", archive)
    done = shotlog("forget", str(archive / "cfr.mp4"), "--lake", "lake", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "add --yes where nobody can be asked" in done.stderr
    assert ask(tmp_path / "lake", "SELECT count(*) FROM media") == [(1,)]


def test_journals_of_runs_that_died_are_cleared_of_it(tmp_path):
    archive, lake = fill(tmp_path / "in", f"Müller-{SECRET}=cfr.mp4", "vfr.mkv"), tmp_path / "lake"
    secret = str(archive / f"Müller-{SECRET}")
    tag(lake, archive)
    for part, text in {
        "journal/x.json": secret,
        "batches/000000.json": f'"{secret}"',
        "refused.json": json.dumps([{"uri": secret}]),
        "journal/y.json": "another.mp4",
    }.items():
        (lake / "work" / "dead" / part).parent.mkdir(parents=True, exist_ok=True)
        (lake / "work" / "dead" / part).write_text(text)
    forget(lake, secret)
    assert [path.name for path in (lake / "work").rglob("*.json")] == ["y.json"]
