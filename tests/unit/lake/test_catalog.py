"""A lake is what it says it is, or it isn't opened (DESIGN.md §4, identity)."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import pipeline
from pipeline.errors import LakeError
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.tables import FORMAT
from pipeline.store import open_store
from tests.unit.lake.made import tagging


def opened(folder: Path, **options):
    return open_lake(str(folder), open_store(str(folder)), catalog=None, **options)


@pytest.fixture
def folder(tmp_path):
    lake = opened(tmp_path / "lake", create=True, read_only=False)
    writer.commit_batch(lake, "run-1", "000000", [tagging(frames=30)])
    lake.close()
    return tmp_path / "lake"


def test_a_lake_that_isnt_there_is_said_so(tmp_path):
    with pytest.raises(LakeError, match=r"there is no lake at .*: `shotlog tag SOURCE --lake .*` makes one"):
        opened(tmp_path / "nothing")


def test_a_folder_with_something_else_is_never_made_a_lake(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(LakeError, match="a folder with something else in it: give a new or empty folder"):
        opened(tmp_path / "photos", create=True, read_only=False)
    assert [path.name for path in (tmp_path / "photos").iterdir() if path.suffix == ".sqlite"] == []


def test_a_moved_lake_works_from_any_directory(folder, tmp_path, monkeypatch):
    shutil.move(folder, tmp_path / "elsewhere")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    con = pipeline.connect("../elsewhere")
    assert con.execute("SELECT count(*), any_value(caption) FROM timestamps").fetchone() == (30, "1 person.")


def threads(con):
    return con.execute("SELECT current_setting('threads')").fetchone()[0]


def test_who_writes_works_with_one_thread_but_for_what_wants_all(folder):
    with closing(opened(folder, read_only=False)) as lake, closing(opened(folder)) as reader:
        assert threads(lake.con) == 1
        with lake.on_all_cores():
            assert threads(lake.con) == threads(reader.con)
        with pytest.raises(LakeError), lake.on_all_cores():
            raise LakeError("it broke")
        assert threads(lake.con) == 1


def test_reading_writes_nothing(folder):
    con = pipeline.connect(str(folder))
    with pytest.raises(duckdb.Error, match="read-only"):
        con.execute("DELETE FROM log.taggings")


def test_two_that_make_it_at_once_make_one(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        lakes = list(pool.map(lambda _: opened(tmp_path / "lake", create=True, read_only=False), range(4)))
    assert len({lake.lake_id for lake in lakes}) == 1


def test_one_that_died_while_making_it_leaves_no_hindrance(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "catalog.sqlite").write_bytes(b"")  # lake.json is the last thing that is written
    lake = opened(folder, create=True, read_only=False)
    assert lake.con.execute("SELECT count(*) FROM media").fetchone() == (0,)


def test_a_lost_lake_json_is_made_again_from_the_catalog(folder):
    before = (folder / "lake.json").read_text()
    (folder / "lake.json").unlink()
    lake = opened(folder, create=True, read_only=False)
    assert (folder / "lake.json").read_text() == before
    assert lake.con.execute("SELECT count(*) FROM timestamps").fetchone() == (30,)


def test_a_lost_catalog_is_said_so_and_not_made_anew(folder):
    (folder / "catalog.sqlite").unlink()
    for create in (False, True):
        with pytest.raises(LakeError, match="has lost its catalog: restore"):
            opened(folder, create=create, read_only=False)


def test_another_lakes_catalog_is_refused(folder, tmp_path):
    other = opened(tmp_path / "other", create=True, read_only=False)
    other.close()
    shutil.copy(tmp_path / "other" / "catalog.sqlite", folder / "catalog.sqlite")
    with pytest.raises(LakeError, match="is the catalog of another lake"):
        opened(folder)


def test_a_newer_lake_is_refused(folder):
    identity = json.loads((folder / "lake.json").read_text())
    (folder / "lake.json").write_text(json.dumps({**identity, "format": 99}))
    with pytest.raises(LakeError, match=f"has format 99, this shotlog knows {FORMAT}: upgrade shotlog"):
        opened(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"lake_id": "x"}', ""])
def test_a_lake_json_that_isnt_one_is_refused(folder, text):
    (folder / "lake.json").write_text(text)
    with pytest.raises(LakeError, match=r"lake\.json' is not a lake's"):
        opened(folder)


def test_paths_in_the_catalog_are_relative_to_a_data_path_given_as_absolute(folder):
    con = pipeline.connect(str(folder))
    stored = con.execute("SELECT path, path_is_relative FROM __ducklake_metadata_lake.ducklake_data_file").fetchall()
    assert stored
    assert all(relative for _, relative in stored)


def test_a_query_looks_for_no_name_among_pythons_variables(lake):
    """DuckDB drops whatever is raised there: a Ctrl-C that came just then would be lost."""
    nobodys = pa.table({"one": [1]})
    with pytest.raises(duckdb.CatalogException, match="nobodys does not exist"):
        lake.con.execute("FROM nobodys")
    assert nobodys.num_rows == 1
