"""A lake whose catalog is in Postgres: committed to by several processes, through restarts of the server, no secret."""

import json
import multiprocessing
import re
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from demo.services import wait_until
from pipeline.errors import LakeError
from pipeline.lake import base, writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.postgres import PostgresCatalog
from pipeline.lake.tables import FORMAT
from pipeline.store import open_store
from tests.integration.doors import fill, shotlog, upload
from tests.servers.postgres import PASSWORD
from tests.unit.lake.made import media, tagging

NULL = ["--tagger", "null", "--format", "json"]
WORKERS, BATCHES, MEDIA = 4, 10, 3
ONCE = "SELECT count(*), count(DISTINCT media_id) FROM media"
HALF = """
    SELECT count(*) FROM log.taggings
    WHERE frames <> (SELECT count(*) FROM log.timestamps WHERE timestamps.tagging_id = taggings.tagging_id)
"""
ORPHANS = "SELECT count(*) FROM log.timestamps ANTI JOIN log.taggings USING (tagging_id)"


def opened(lake, url, **options):
    return open_lake(lake, open_store(lake), catalog=url, **options)


def test_the_whole_job_on_s3_with_no_file_on_this_machine(s3, postgres, tmp_path):
    upload(s3, "shelves", "archive", "cfr.mp4", "still.webp", "text.mp4")
    reach = {**s3.env, "SHOTLOG_CATALOG": postgres.url, "SHOTLOG_LAKE": "s3://shelves/lake"}
    done = shotlog("tag", "s3://shelves/archive/", *NULL, cwd=tmp_path, **reach)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, 2), done.stderr
    again = json.loads(shotlog("tag", "s3://shelves/archive/", *NULL, cwd=tmp_path, **reach).stdout)
    assert (again["unchanged"], again["ok"]) == (3, 0)
    asked = shotlog("sql", "SELECT sum(frames) AS frames FROM media", "--format", "json", cwd=tmp_path, **reach)
    assert json.loads(asked.stdout) == [{"frames": 3}]
    assert not list(tmp_path.rglob("*.sqlite*"))
    told = [done.stdout, done.stderr]
    for query in ("FROM duckdb_databases()", "FROM duckdb_secrets()", "FROM log.runs", "FROM duckdb_settings()"):
        told.append(shotlog("sql", query, "--format", "json", cwd=tmp_path, **reach).stdout)
    objects = s3.client().list_objects_v2(Bucket="shelves", Prefix="lake/")["Contents"]
    for item in objects:
        told.append(s3.client().get_object(Bucket="shelves", Key=item["Key"])["Body"].read().decode("latin-1"))
    assert [text for text in told if PASSWORD in text] == []


@pytest.mark.parametrize(
    ("catalog", "sentence"),
    [
        ("", "is in Postgres: set SHOTLOG_CATALOG to postgresql://user:password@host/database"),
        ("elsewhere.sqlite", "is in Postgres: set SHOTLOG_CATALOG to postgresql://user:password@host/database"),
        ("postgresql://u:geheim@h/x?words=1", "SHOTLOG_CATALOG isn't a Postgres database's: give postgresql://user"),
        ("postgresql://u:geheim@127.0.0.1:1/x", "Postgres can't be reached .*: check SHOTLOG_CATALOG and that the"),
        ("another", "is not in this Postgres database: expected .*, schema shotlog_.*. Set SHOTLOG_CATALOG to the"),
    ],
    ids=["none", "a file", "garbled", "nobody there", "another database"],
)
def test_who_cant_reach_it_is_told_how(catalog, sentence, postgres, tmp_path):
    lake = str(tmp_path / "lake")
    opened(lake, postgres.url, create=True, read_only=False).close()
    url = postgres.database(f"empty_{time.time_ns()}") if catalog == "another" else catalog
    done = shotlog("runs", "--lake", lake, cwd=tmp_path, SHOTLOG_CATALOG=url)
    assert (done.returncode in (2, 3), done.stdout) == (True, ""), done.stderr
    assert re.search(sentence, done.stderr.replace("\n", " ")), done.stderr
    assert "geheim" not in done.stderr
    assert PASSWORD not in done.stderr


def test_the_ways_to_name_it_that_others_have_are_taken(postgres, tmp_path):
    lake = str(tmp_path / "lake")
    opened(lake, postgres.url.replace("postgresql://", "postgresql+psycopg2://"), create=True, read_only=False).close()
    words = psycopg.conninfo.make_conninfo(**psycopg.conninfo.conninfo_to_dict(postgres.url))
    for setting in (postgres.url.replace("postgresql://", "postgres://"), words):
        with closing(opened(lake, setting)) as mine:
            assert mine.catalog.kind == "postgres"
            assert PASSWORD not in mine.catalog.name


@pytest.mark.parametrize(
    "setting", ["mysql://u:geheim@h/x", "x.sqlite password=geheim", "sqlite:///geheim", "'host=db password=geheim'"]
)
def test_what_is_neither_a_database_nor_a_file_is_refused_and_not_shown(setting, tmp_path):
    fill(tmp_path / "in", "still.webp")
    done = shotlog("tag", "in", "--lake", "lake", *NULL, cwd=tmp_path, SHOTLOG_CATALOG=setting)
    assert (done.returncode, done.stdout) == (2, "")
    assert "SHOTLOG_CATALOG is neither a Postgres database's nor a file's: give" in done.stderr
    assert "geheim" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == []


def commit_batches(lake, url, number):
    """What a worker of a run does: open the lake, hold it with the others, commit batches of its own."""
    with closing(opened(lake, url, read_only=False)) as mine, mine.at_work(alone=False):
        for batch in range(BATCHES):
            looks = [tagging(media(f"{number}-{batch}-{n}.mp4"), batch_id=f"{number}{batch}") for n in range(MEDIA)]
            looks.append(tagging(media("shared.mp4"), batch_id=f"{number}{batch}"))  # all of them look at this one
            assert writer.commit_batch(mine, "run-1", f"{number}{batch}", looks)
    return BATCHES


def test_four_workers_commit_at_once_while_a_reader_sees_only_whole_batches(postgres, tmp_path):
    lake = str(tmp_path / "lake")
    opened(lake, postgres.url, create=True, read_only=False).close()
    over, wrong = threading.Event(), []

    def read_on():
        with closing(opened(lake, postgres.url)) as reader:
            while not over.is_set():
                found = reader.con.execute(ONCE).fetchone()
                if found[0] != found[1] or any(
                    reader.con.execute(query).fetchone() != (0,) for query in (HALF, ORPHANS)
                ):
                    wrong.append(found)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = pool.map(commit_batches, [lake] * WORKERS, [postgres.url] * WORKERS, range(WORKERS))
            assert sum(done) == WORKERS * BATCHES
    finally:
        over.set()
        reader.join()
    assert wrong == []
    with closing(opened(lake, postgres.url)) as after:
        assert after.con.execute(ONCE).fetchone() == (WORKERS * BATCHES * MEDIA + 1,) * 2
        assert after.con.execute("SELECT count(*) FROM log.batches").fetchone() == (WORKERS * BATCHES,)


def hold(lake, url, alone, ready, over):
    with closing(opened(lake, url, read_only=False)) as mine, mine.at_work(alone=alone):
        ready.set()
        over.wait(60)


def test_one_that_wants_it_alone_waits_for_the_others_and_for_those_killed_not_at_all(postgres, tmp_path):
    lake = str(tmp_path / "lake")
    opened(lake, postgres.url, create=True, read_only=False).close()
    spawn = multiprocessing.get_context("spawn")
    ready, over = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(lake, postgres.url, False, ready, over))
    other.start()
    assert ready.wait(60)
    with closing(opened(lake, postgres.url, read_only=False)) as mine:
        with mine.at_work(alone=False):
            pass
        waited = []

        def kill():
            waited.append(True)
            other.kill()

        with mine.at_work(alone=True, waiting=kill):
            assert waited == [True]
    other.join()


@pytest.fixture
def two_roles(postgres):
    """URLs of a database with a lake's schema: of its owner, who isn't shown what others do, and of another role."""
    name = f"owned_{time.time_ns()}"
    database = postgres.database(name)
    owner = postgres.role(f"owner_of_{name}", database)
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(f"ALTER DATABASE {name} OWNER TO owner_of_{name}")
    with psycopg.connect(owner, autocommit=True) as session:
        session.execute("CREATE SCHEMA shotlog_x; CREATE TABLE shotlog_x.told (text TEXT)")
    return owner, postgres.role(f"analyst_of_{name}", database)


def test_a_reader_is_seen_whose_role_is_another(two_roles, monkeypatch):
    monkeypatch.setattr(base, "READERS_PATIENCE_S", 0.1)
    owner, analyst = two_roles
    mine = PostgresCatalog(owner, "x")
    with psycopg.connect(analyst) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        with pytest.raises(LakeError, match="somebody reads the lake as it was"):
            mine.wipe()
    mine.wipe()


WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_who_waits_for_backfills_is_no_reader_and_those_who_come_later_wait_longer(two_roles, monkeypatch):
    monkeypatch.setattr(base, "READERS_PATIENCE_S", 20)
    monkeypatch.setattr("pipeline.lake.postgres._ANEW_MS", 100)
    owner, _ = two_roles
    mine, came, threads = PostgresCatalog(owner, "x"), [], []

    def come(alone):
        with PostgresCatalog(owner, "x").at_work("backfills", alone=alone):
            came.append(alone)

    def all_wait():
        return session.execute(WAITING).fetchall() == [(len(threads),)] or None

    with psycopg.connect(owner, autocommit=True) as session, mine.at_work("backfills", alone=False):
        for alone in (True, False):
            threads.append(threading.Thread(target=come, args=[alone]))
            threads[-1].start()
            wait_until("it to wait", all_wait, seconds=30)
        mine.wipe()
        assert came == []
    for thread in threads:
        thread.join()
    assert came == [True, False]


def test_an_upgrade_keeps_a_copy_of_the_tables_it_changes(postgres, tmp_path, monkeypatch):
    lake = str(tmp_path / "lake")
    with closing(opened(lake, postgres.url, create=True, read_only=False)) as mine:
        writer.commit_batch(mine, "run-1", "000000", [tagging()])
        schema = mine.catalog.schema
    for module in ("catalog", "upgrade"):
        monkeypatch.setattr(f"pipeline.lake.{module}.FORMAT", 99)
    with closing(opened(lake, postgres.url, read_only=False)) as mine:
        assert mine.con.execute("SELECT max(format) FROM log.identity").fetchone() == (99,)
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"
    with psycopg.connect(postgres.url) as session:
        copies = session.execute(query, [f"{schema}_format_{FORMAT}"]).fetchone()
        assert copies[0] > 20


def test_a_postgres_that_forgot_the_lake_is_said_so_and_none_is_made(postgres, tmp_path):
    lake = str(tmp_path / "lake")
    with closing(opened(lake, postgres.url, create=True, read_only=False)) as mine:
        mine.catalog.clear()
    for create in (False, True):
        with pytest.raises(LakeError, match="is not in this Postgres database"):
            opened(lake, postgres.url, create=create, read_only=False)
    assert not (Path(lake) / "catalog.sqlite").exists()


def test_a_lake_in_a_folder_may_have_it_too(postgres, tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    done = shotlog("tag", "in", "--lake", "lake", *NULL, cwd=tmp_path, SHOTLOG_CATALOG=postgres.url)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "lake" / "lake.json").read_text())["catalog"] == "postgres"
    asked = shotlog("sql", "archive", "--lake", "lake", "--format", "json", cwd=tmp_path, SHOTLOG_CATALOG=postgres.url)
    assert json.loads(asked.stdout)[0]["media"] == 1
