"""One batch is one transaction over all tables, and nothing the second time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.lake import writer
from pipeline.lake.catalog import open_lake, views
from pipeline.lake.journal import Entry, Journal
from pipeline.lake.reader import answered_frames
from pipeline.store import open_store
from tests.unit.lake.made import frame, media, tagging

DETAILS = ("timestamps", "shots", "categories", "participants", "actions", "scene", "tags", "thumbnails")


@pytest.fixture
def lake(tmp_path):
    uri = str(tmp_path / "lake")
    opened = open_lake(uri, open_store(uri), catalog=None, create=True, read_only=False)
    yield opened
    opened.close()


def rows(lake, query):
    return lake.con.execute(query).fetchall()


def test_a_batch_reaches_every_table_and_view(lake):
    assert writer.commit_batch(lake, "run-1", "000000", [tagging()])
    assert rows(lake, "SELECT uri, status, frames, width FROM media") == [("/archive/a.mp4", "ok", 2, 640)]
    assert rows(lake, "SELECT timecode, frame_index, caption FROM timestamps ORDER BY timestamp_s") == [
        ("00:00:00.000", 0, "1 person."),
        ("00:00:01.000", 25, "1 person."),
    ]
    assert rows(lake, 'SELECT label, kind, "count", score FROM participants LIMIT 1') == [("person", "person", 1, 0.9)]
    assert rows(lake, "SELECT DISTINCT label, score FROM tags ORDER BY label") == [("hat", None), ("person", 0.9)]
    assert rows(lake, "SELECT count(*), any_value(image) FROM thumbnails") == [(2, b"\xffRIFF\x00")]
    assert rows(lake, "SELECT start_s, end_s, representative_s FROM shots") == [(0.0, 2.0, 1.0)]
    assert {name: rows(lake, f"SELECT count(*) FROM {name}")[0][0] for name in ("scene", "actions")} == {
        "scene": 0,
        "actions": 0,
    }


def test_every_view_has_its_tables_columns_and_uri_and_media_id(lake):
    for name in {*views()} - {"runs"}:
        table = "taggings" if name in ("media", "failures") else name
        columns = {row[0] for row in rows(lake, f"DESCRIBE {name}")}
        assert {row[0] for row in rows(lake, f"DESCRIBE log.{table}")} | {"uri", "media_id"} == columns, name


def test_the_first_line_of_a_view_says_what_a_row_means():
    assert [name for name, text in views().items() if not text.startswith("-- One row: ")] == []


def test_the_second_commit_of_a_batch_adds_nothing(lake):
    assert writer.commit_batch(lake, "run-1", "000000", [tagging()])
    assert not writer.commit_batch(lake, "run-1", "000000", [tagging()])
    assert rows(lake, "SELECT count(*) FROM log.taggings") == [(1,)]


def test_should_two_taggings_get_in_the_views_show_one(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging()])
    writer.commit_batch(lake, "run-2", "000000", [tagging()])
    assert rows(lake, "SELECT count(*) FROM media") == [(1,)]
    for name in ("timestamps", "thumbnails"):
        assert rows(lake, f"SELECT count(*) FROM {name}") == [(2,)], name


def test_a_transaction_that_breaks_leaves_nothing(lake):
    def work(con):
        writer.insert(con, writer._rows([tagging()]))
        raise RuntimeError("the machine is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        lake.transaction(work)
    assert [rows(lake, f"SELECT count(*) FROM log.{name}")[0][0] for name in ("taggings", *DETAILS)] == [0] * 9


def test_commits_from_many_writers_at_once_all_arrive(lake):
    barrier = threading.Barrier(4)

    def commit(number):
        own = open_lake(lake.uri, lake.store, catalog=None, read_only=False)
        barrier.wait()
        writer.commit_batch(own, f"run-{number}", "000000", [tagging(media(f"{number}.mp4"))])
        own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(commit, range(4)))
    assert rows(lake, "SELECT count(*) FROM media") == [(4,)]


def test_a_changed_object_leaves_the_views_for_its_new_tagging_and_stays_in_the_history(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging(media(etag="1"))])
    writer.commit_batch(lake, "run-2", "000000", [tagging(media(etag="2"), frames=3)])
    assert rows(lake, "SELECT etag, frames FROM media") == [("2", 3)]
    assert rows(lake, "SELECT count(*) FROM timestamps") == [(3,)]
    assert rows(lake, "SELECT count(*) FROM log.timestamps") == [(5,)]


def test_a_good_look_stands_until_the_object_itself_changes(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging(media(etag="1"))])
    writer.commit_batch(lake, "run-2", "000000", [tagging(media(etag="1"), status="failed", code="unreadable")])
    assert rows(lake, "SELECT status FROM media") == [("ok",)]
    assert rows(lake, "SELECT error_code FROM failures") == [("unreadable",)]
    writer.commit_batch(lake, "run-3", "000000", [tagging(media(etag="2"), status="failed", code="not_found")])
    assert rows(lake, "SELECT status FROM media") == []
    assert rows(lake, "SELECT count(*) FROM timestamps") == [(0,)]


def test_failures_say_what_and_why(lake):
    made = [
        tagging(media("ok.mp4")),
        tagging(media("cut.mp4"), status="partial", code="truncated"),
        tagging(media("bad.mp4"), status="failed", code="corrupt"),
        tagging(media("text.mp4"), status="skipped", code="not_media"),
    ]
    writer.commit_batch(lake, "run-1", "000000", made)
    found = rows(lake, "SELECT uri, status, error_code FROM failures WHERE error IS NOT NULL ORDER BY uri")
    assert found == [
        ("/archive/bad.mp4", "failed", "corrupt"),
        ("/archive/cut.mp4", "partial", "truncated"),
        ("/archive/text.mp4", "skipped", "not_media"),
    ]
    assert rows(lake, "SELECT uri FROM media ORDER BY uri") == [("/archive/cut.mp4",), ("/archive/ok.mp4",)]


def test_answered_frames_come_back_as_they_went_in(lake):
    made = tagging()
    writer.commit_batch(lake, "run-1", "000000", [made])
    back = answered_frames(lake, made.tagging_id)
    assert [(f.timestamp_s, f.frame_index, f.thumbnail, f.tags.caption) for f in back] == [
        (f.timestamp_s, f.frame_index, f.thumbnail, f.tags.caption) for f in made.frames
    ]
    assert back[0].tags.participants == made.frames[0].tags.participants
    assert set(back[0].tags.tags) == set(made.frames[0].tags.tags)


def test_the_journal_keeps_a_whole_tagging(lake):
    journal, made = Journal(lake, "run-1"), tagging()
    journal.keep(Entry(made.object.media_id, "1", made.recipe_id, made.frames, made))
    journal.keep(Entry("other", "1", made.recipe_id, (frame(1.0),)))
    assert journal.find(made.object.media_id).finished == made
    assert {entry.media_id for entry in journal.entries()} == {made.object.media_id, "other"}
    journal.drop("other")
    assert journal.find("other") is None


def test_a_journal_entry_nobody_can_read_counts_as_none(lake):
    lake.store.write(lake.work_uri("run-1", "journal", "m.json"), b'{"media_id": "m", "frames"')
    assert Journal(lake, "run-1").find("m") is None
