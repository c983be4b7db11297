"""One batch is one transaction over all tables, and nothing the second time."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources

import pytest

from pipeline.lake import writer
from pipeline.lake.journal import Entry, Journal
from pipeline.lake.reader import answered_frames, load_cost
from pipeline.lake.views import views
from pipeline.model import FrameTags, Label, Participant, TaggedFrame
from pipeline.recipe import METADATA_KINDS, Recipe
from tests.unit.lake.made import SAID, TRACKS, frame, media, reused, tagging

DETAILS = ("timestamps", "shots", "thumbnails", "subtitles", *METADATA_KINDS)


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
    assert rows(lake, "SELECT DISTINCT uri, label, score FROM rating") == [("/archive/a.mp4", "safe", 0.98)]
    assert {name: rows(lake, f"SELECT count(*) FROM {name}")[0][0] for name in ("scene", "actions")} == {
        "scene": 0,
        "actions": 0,
    }


def test_every_view_has_its_tables_columns_and_uri_and_media_id(lake):
    for name in {*views()} - {"runs", "tag_changes"}:
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


def test_a_label_that_was_taken_over_says_so_in_every_table(lake):
    writer.commit_batch(lake, "run-1", "000000", [replace(tagging(), frames=(frame(0.0), reused(1.0, from_s=0.0)))])
    for name in ("timestamps", "categories", "participants", "tags", "rating"):
        found = rows(lake, f"SELECT DISTINCT timestamp_s, reused_from_s FROM {name} ORDER BY timestamp_s")
        assert found == [(0.0, None), (1.0, 0.0)], name


def test_tokens_are_counted_where_they_were_paid(lake):
    looked = replace(
        tagging(),
        frames=(frame(0.0), frame(1.0), reused(2.0, from_s=1.0)),
        frame_budget=24,
        summary="A person, all the time.",
        further_prompt_tokens=900,
        further_completion_tokens=70,
    )
    writer.commit_batch(lake, "run-1", "000000", [looked])
    assert rows(lake, "SELECT prompt_tokens, completion_tokens FROM timestamps ORDER BY timestamp_s") == [
        (500, 40),
        (500, 40),
        (0, 0),
    ]
    assert rows(lake, "SELECT summary, frame_budget, prompt_tokens, completion_tokens FROM media") == [
        ("A person, all the time.", 24, 1900, 150)
    ]


def test_what_no_context_limits_has_no_frame_budget_and_no_summary(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging()])
    assert rows(lake, "SELECT frame_budget, summary FROM media") == [(None, None)]


def spoken(name="film.mkv", said=SAID, moments=(0.0, 10.0, 58.0)):
    """A film with sound and subtitles."""
    made = tagging(media(name))
    return replace(
        made, info=replace(made.info, **TRACKS), subtitles=said, frames=tuple(frame(moment) for moment in moments)
    )


def test_what_a_film_says_beside_its_pictures_is_in_the_lake(lake):
    still = tagging(media("still.png"))
    silent = tagging(media("silent.gif"))
    silent = replace(silent, info=replace(silent.info, audio_languages=(), subtitle_languages=()))
    writer.commit_batch(lake, "run-1", "000000", [spoken(), still, silent])
    told = "SELECT rotation, hdr, audio_languages, subtitle_languages FROM media WHERE uri LIKE '%/{}'"
    assert rows(lake, told.format("film.mkv")) == [(90, "hlg", ["eng", "und"], ["eng", "ger"])]
    assert rows(lake, told.format("still.png")) == [(None, None, None, None)]
    assert rows(lake, told.format("silent.gif")) == [(None, None, [], [])]
    assert rows(lake, "SELECT uri FROM media WHERE list_contains(audio_languages, 'eng')") == [("/archive/film.mkv",)]


def test_subtitles_are_rows_with_the_language_of_their_track(lake):
    writer.commit_batch(lake, "run-1", "000000", [spoken(), tagging()])
    found = "SELECT uri, start_s, end_s, text, language, track FROM subtitles ORDER BY start_s, track"
    assert rows(lake, found) == [
        ("/archive/film.mkv", 0.2, 1.5, "Look, a bicycle!", "eng", 0),
        ("/archive/film.mkv", 0.2, 1.5, "Schau, ein Fahrrad!", "ger", 1),
        ("/archive/film.mkv", 61.0, None, "Where?", "eng", 0),
    ]
    of_track = "SELECT DISTINCT language = subtitle_languages[track + 1] FROM subtitles JOIN media USING (tagging_id)"
    assert rows(lake, of_track) == [(True,)]


def test_subtitles_of_an_earlier_look_leave_the_view(lake):
    writer.commit_batch(lake, "run-1", "000000", [spoken()])
    writer.commit_batch(lake, "run-2", "000000", [spoken(said=SAID[:1])])
    assert rows(lake, "SELECT text FROM subtitles") == [("Look, a bicycle!",)]
    assert rows(lake, "SELECT count(*) FROM log.subtitles") == [(4,)]


def test_what_is_said_around_each_moment(lake):
    writer.commit_batch(lake, "run-1", "000000", [spoken(), tagging(media("silent.mp4"), frames=1)])
    query = resources.files("pipeline.sql").joinpath("queries", "what_is_said.sql").read_text("utf-8")
    assert rows(lake, query) == [
        ("film.mkv", "00:00:00.000", "1 person.", "eng", "Look, a bicycle!"),
        ("film.mkv", "00:00:00.000", "1 person.", "ger", "Schau, ein Fahrrad!"),
        ("film.mkv", "00:00:10.000", "1 person.", None, None),
        ("film.mkv", "00:00:58.000", "1 person.", "eng", "Where?"),
        ("silent.mp4", "00:00:00.000", "1 person.", None, None),
    ]


def test_an_appearance_ends_at_a_moment_without_it(lake):
    seen = ({"dog": 1}, {"dog": 3, "cat": 1}, {}, {"dog": 2})
    tags = [
        replace(frame(0.0).tags, participants=tuple(Participant(label, "animal", n, 0.9) for label, n in each.items()))
        for each in seen
    ]
    film = replace(tagging(), frames=tuple(replace(frame(2.0 * n), tags=each) for n, each in enumerate(tags)))
    writer.commit_batch(lake, "run-1", "000000", [film])
    query = resources.files("pipeline.sql").joinpath("queries", "appearances.sql").read_text("utf-8")
    assert rows(lake, query) == [
        ("a.mp4", "dog", "00:00:00.000", "00:00:02.000", 2, 3),
        ("a.mp4", "cat", "00:00:02.000", "00:00:02.000", 1, 1),
        ("a.mp4", "dog", "00:00:06.000", "00:00:06.000", 1, 2),
    ]


# ── what loading a tagger costs ─────────────────────────────────────────────────────────────────────────────────────


def batch(lake, batch_id, recipe, *, load_s, frames=10, model_s=5.0):
    """One batch of a run of its own, of one tagging."""
    run = {"run_id": f"run-{batch_id}", "recipe_id": recipe.recipe_id}
    for _ in range(2):  # two that began at once may both have written their recipe
        lake.transaction(lambda con: writer.insert(con, {"recipes": [writer.recipe_row(recipe, datetime.now(UTC))]}))
    lake.transaction(lambda con: writer.insert(con, {"runs": [run]}))
    made = replace(tagging(media(f"{batch_id}.mp4"), frames=frames), model_s=model_s)
    writer.commit_batch(lake, run["run_id"], batch_id, [made], load_s=load_s)


def test_loading_costs_what_the_latest_batch_that_loaded_says(lake):
    big, small = Recipe("transformers", "big"), Recipe("transformers", "small")
    batch(lake, "000000", big, load_s=40.0)
    batch(lake, "000001", big, load_s=60.0, frames=20, model_s=5.0)
    batch(lake, "000002", big, load_s=None)  # loaded already
    batch(lake, "000003", small, load_s=2.0)
    batch(lake, "000004", Recipe("builtin"), load_s=1.0)
    assert load_cost(lake, "transformers", "big") == (60.0, 0.25)
    assert load_cost(lake, "transformers", "small") == (2.0, 0.5)
    assert load_cost(lake, "builtin", None) == (1.0, 0.5)


def test_loading_costs_nothing_that_is_known_before_a_batch_has_told(lake):
    assert load_cost(lake, "transformers", "big") is None
    batch(lake, "000000", Recipe("transformers", "big"), load_s=None)
    batch(lake, "000001", Recipe("transformers", "big"), load_s=60.0, frames=0)
    assert load_cost(lake, "transformers", "big") is None
    assert load_cost(lake, "transformers", None) is None


def test_the_work_of_a_batch_is_that_of_its_media(lake):
    made = [replace(tagging(media(name)), model_s=seconds) for name, seconds in (("a.mp4", 1.5), ("b.mp4", 2.0))]
    writer.commit_batch(lake, "run-1", "000000", made, load_s=0.5)
    assert rows(lake, "SELECT load_s, model_s FROM log.batches") == [(0.5, 3.5)]


# ── what may be published ───────────────────────────────────────────────────────────────────────────────────────────


def rated(timestamp_s, *labels):
    return TaggedFrame(timestamp_s, 0, FrameTags(rating=tuple(labels)))


def test_what_to_hold_back_is_what_is_rated_other_than_safe_or_not_rated(lake):
    safe, bare = Label("safe", 0.9), Label("explicit", 0.9)
    looks = {
        "safe.mp4": (rated(0.0, safe), rated(1.0, safe, Label("violent", 0.1))),
        "once.mp4": (rated(0.0, safe), rated(61.5, bare), rated(62.0, Label("explicit", 0.7))),
        "unsure.mp4": (rated(0.0, Label("violent")),),
        "unrated.mp4": (rated(0.0), rated(1.0, safe)),
    }
    made = [replace(tagging(media(name)), frames=frames) for name, frames in looks.items()]
    writer.commit_batch(lake, "run-1", "000000", made)
    query = resources.files("pipeline.sql").joinpath("queries", "not_safe.sql").read_text("utf-8")
    assert rows(lake, query) == [
        ("/archive/once.mp4", "explicit", 2, 0.9, "00:01:01.500, 00:01:02.000"),
        ("/archive/unrated.mp4", "not rated", 1, None, "00:00:00.000"),
        ("/archive/unsure.mp4", "violent", 1, None, "00:00:00.000"),
    ]


# ── reading back ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_transaction_that_breaks_leaves_nothing(lake):
    def work(con):
        writer.insert(con, writer._rows([tagging()]))
        raise RuntimeError("the machine is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        lake.transaction(work)
    assert {rows(lake, f"SELECT count(*) FROM log.{name}")[0][0] for name in ("taggings", *DETAILS)} == {0}


def test_commits_from_many_writers_at_once_all_arrive(lake, open_it):
    barrier = threading.Barrier(4)

    def commit(number):
        own = open_it(read_only=False)
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
    assert back[0].tags.rating == made.frames[0].tags.rating


def test_a_frame_that_is_taken_over_is_not_paid_again_and_keeps_what_it_was_taken_from(lake):
    made = replace(tagging(), frames=(frame(0.0), reused(1.0, from_s=0.0)))
    writer.commit_batch(lake, "run-1", "000000", [made])
    back = answered_frames(lake, made.tagging_id)
    assert [(f.reused_from_s, f.tags.prompt_tokens, f.tags.completion_tokens) for f in back] == [
        (None, 0, 0),
        (0.0, 0, 0),
    ]


def test_the_journal_keeps_a_whole_tagging(lake):
    journal = Journal(lake, "run-1")
    made = replace(spoken(), frames=(frame(0.0), reused(1.0, from_s=0.0)), frame_budget=24, summary="A person.")
    journal.keep(Entry(made.object.media_id, "1", made.recipe_id, made.frames, made))
    journal.keep(Entry("other", "1", made.recipe_id, (frame(1.0),)))
    assert journal.find(made.object.media_id).finished == made
    assert made.frames[1].tags.rating == (Label("safe", 0.98),)
    assert {entry.media_id for entry in journal.entries()} == {made.object.media_id, "other"}
    journal.drop("other")
    assert journal.find("other") is None


def test_the_journal_of_an_older_shotlog_knows_nothing_of_tracks_and_is_read(lake):
    made = replace(tagging(), info=replace(tagging().info, audio_languages=("eng",)), subtitles=SAID)
    uri = lake.work_uri("run-1", "journal", f"{made.object.media_id}.json")
    journal = Journal(lake, "run-1")
    journal.keep(Entry(made.object.media_id, "1", made.recipe_id, made.frames, made))
    entry = json.loads(lake.store.read(uri))
    for name in (*TRACKS, "text_subtitles"):
        del entry["finished"]["info"][name]
    del entry["finished"]["subtitles"]
    lake.store.write(uri, json.dumps(entry).encode())
    finished = journal.find(made.object.media_id).finished
    assert finished == replace(made, info=tagging().info, subtitles=())


def test_a_journal_entry_nobody_can_read_counts_as_none(lake):
    lake.store.write(lake.work_uri("run-1", "journal", "m.json"), b'{"media_id": "m", "frames"')
    assert Journal(lake, "run-1").find("m") is None
