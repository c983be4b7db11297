"""What is to do is what is new or changed, and no more unless it is asked for (DESIGN.md §5.1, §5.5)."""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CODES, passing_codes
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.model import MediaObject
from pipeline.planning import compare as comparing
from pipeline.planning.batches import MAX_BATCHES, batches
from pipeline.planning.listing import LISTING, kind_of
from pipeline.planning.wish import Wish
from pipeline.recipe import Recipe
from pipeline.store import open_store
from tests.unit.lake.made import OTHER_RECIPE, RECIPE, media, tagging

PYAV, DECORD = "pyav 18.1.0", "decord 3.4.0"
WISH = Wish(RECIPE, ("/archive/",), (PYAV, DECORD))
PLAIN, RETAG, RETRY = WISH, replace(WISH, retag=True), replace(WISH, retry_failed=True)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("planning") / "lake")
    opened = open_lake(uri, open_store(uri), catalog=None, create=True, read_only=False)
    yield opened
    opened.close()


@pytest.fixture
def listed(tmp_path):
    """Write a listing of media objects, as listing files of a few rows, and give its glob."""

    def write(objects, kind="video"):
        rows = [row(one) | {"kind": kind} for one in objects]
        for part in range(0, max(1, len(rows)), 7):
            table = pa.Table.from_pylist(rows[part : part + 7], schema=LISTING)
            pq.write_table(table, tmp_path / f"{kind}-{part:06}.parquet")
        return str(tmp_path / "*.parquet")

    return write


def row(one: MediaObject) -> dict:
    return {name: getattr(one, name) for name in LISTING.names if name != "kind"}


def compare(lake, listing, wish=PLAIN):
    return lake.transaction(lambda con: comparing.compare(con, listing, wish))


def rows(lake, query):
    return lake.con.execute(query).fetchall()


def todo(lake):
    return {uri for (uri,) in rows(lake, "SELECT uri FROM compared WHERE todo")}


# ---- one media object and its history


def look(status="ok", code=None, *, etag="1", recipe=RECIPE, decoder=PYAV):
    return {"status": status, "code": code, "etag": etag, "recipe": recipe, "decoder": decoder}


OK, OLD_OK = look(), look(recipe=OTHER_RECIPE)
LASTING, PASSING = look("failed", "corrupt"), look("failed", "unreadable")

# name: looks so far, first to last; state; which of a plain run, --retag and --retry-failed look again
HISTORIES = {
    "never looked at": ([], "new", "plain retag retry"),
    "looked at": ([OK], "unchanged", ""),
    "changed": ([look(etag="0")], "changed", "plain retag retry"),
    "failed for good and changed": ([look("failed", "corrupt", etag="0")], "changed", "plain retag retry"),
    "as it was once before": ([OK, look(etag="2")], "changed", "plain retag retry"),
    "looked at under another recipe": ([OLD_OK], "unchanged", "retag"),
    "looked at under ours, then another": ([OK, OLD_OK], "unchanged", ""),
    "looked at, then failed": ([OK, PASSING], "unchanged", ""),
    "failed, then looked at": ([LASTING, OK], "unchanged", ""),
    "failed for now": ([PASSING], "unchanged", "plain retag retry"),
    "failed for good": ([LASTING], "unchanged", "retry"),
    "failed for now, then for good": ([PASSING, LASTING], "unchanged", "retry"),
    "failed for good under another recipe": (
        [look("failed", "corrupt", recipe=OTHER_RECIPE)],
        "unchanged",
        "plain retag retry",
    ),
    "failed for good under ours, then under another recipe": (
        [LASTING, look("failed", "corrupt", recipe=OTHER_RECIPE)],
        "unchanged",
        "retry",
    ),
    "failed for good by an older decoder": (
        [look("failed", "corrupt", decoder="pyav 17.0.0")],
        "unchanged",
        "plain retag retry",
    ),
    "failed for good by two, one of them older": (
        [look("failed", "corrupt", decoder=f"{PYAV}, decord 3.3.0")],
        "unchanged",
        "plain retag retry",
    ),
    "failed for good by both of today": (
        [look("failed", "corrupt", decoder=f"{PYAV}, {DECORD}")],
        "unchanged",
        "retry",
    ),
    "failed for good before any decoder": ([look("failed", "empty_file", decoder=None)], "unchanged", "retry"),
    "skipped": ([look("skipped", "too_large", decoder=None)], "unchanged", "retry"),
    "partly seen, the rest for now": ([look("partial", "decode_timeout")], "unchanged", "plain retag retry"),
    "partly seen, the rest for good": ([look("partial", "truncated")], "unchanged", "retry"),
    "partly seen under another recipe, the rest for now": (
        [look("partial", "decode_timeout", recipe=OTHER_RECIPE)],
        "unchanged",
        "plain retag retry",
    ),
    "partly seen and changed": ([look("partial", "decode_timeout", etag="0")], "changed", "plain retag retry"),
}
TAKEN_OVER = {"partly seen, the rest for now"}


@pytest.fixture(scope="module")
def judged(lake, tmp_path_factory):
    """Wish → name → (state, todo, tagging taken over), and name → id of its last tagging."""
    now, last = datetime(2026, 1, 1, tzinfo=UTC), {}
    for turn in range(2):
        batch = []
        for name, (looks, *_) in HISTORIES.items():
            if turn < len(looks):
                how = dict(looks[turn])
                made = tagging(media(name, how.pop("etag")), frames=1, **how)
                batch.append(replace(made, tagged_at=now + timedelta(days=turn)))
                last[name] = made.tagging_id
        writer.commit_batch(lake, f"run-{turn}", "000000", batch)
    path = tmp_path_factory.mktemp("listing") / "0.parquet"
    listing = [row(media(name)) | {"kind": "video"} for name in HISTORIES]
    pq.write_table(pa.Table.from_pylist(listing, schema=LISTING), path)
    found, counts = {}, {}
    for label, wish in (("plain", PLAIN), ("retag", RETAG), ("retry", RETRY), ("none", replace(PLAIN, limit=0))):
        counts[label] = compare(lake, str(path), wish)
        compared = rows(lake, "SELECT uri, state, todo, take_over FROM compared")
        found[label] = {name: ["unchanged", False, None] for name in HISTORIES}  # what is settled isn't judged
        found[label] |= {uri.removeprefix("/archive/"): rest for uri, *rest in compared}
    return found, counts, last


@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_looked_at_again(judged, name):
    found, _, last = judged
    _, state, expected = HISTORIES[name]
    for label, by_name in found.items():
        taken = last[name] if name in TAKEN_OVER else None
        assert by_name[name] == [state, label in expected.split(), taken], label


def test_counts_say_what_was_found_and_what_waits(judged):
    _, counts, _ = judged
    states = [state for _, state, _ in HISTORIES.values()]
    for label, got in counts.items():
        assert got["listed"] == got["new"] + got["changed"] + got["unchanged"] == len(HISTORIES)
        assert [got[state] for state in ("new", "changed", "unchanged")] == [
            states.count(state) for state in ("new", "changed", "unchanged")
        ]
        assert got["media"] == sum(label in expected.split() for *_, expected in HISTORIES.values())
        assert got["stale"] == 1
    assert (counts["plain"]["waiting"], counts["retry"]["waiting"]) == (7, 0)
    for got in (counts["plain"], counts["retry"]):
        assert got["retried"] + got["waiting"] == counts["retry"]["retried"] == got["failed_before"]
    assert counts["none"]["media"] == counts["none"]["retried"] == 0
    assert counts["none"]["waiting"] == 7, "what comes next time doesn't wait"


def test_every_code_says_whether_the_next_run_tries_again(lake, listed):
    objects = {code: media(f"{code}.mp4") for code in CODES}
    looks = [tagging(one, status=CODES[code].status, code=code) for code, one in objects.items()]
    writer.commit_batch(lake, "codes", "000000", looks)
    compare(lake, listed(objects.values()))
    assert todo(lake) == {objects[code].uri for code in passing_codes()}


def test_what_a_caller_of_the_api_showed_is_settled_and_sighted_once_it_is_listed(lake, listed):
    shown = media("shown.mp4")
    run = {"run_id": "served", "kind": "serve", "started_at": datetime.now(UTC)}
    lake.transaction(lambda con: writer.insert(con, {"runs": [run]}))
    writer.commit_batch(lake, "served", "000000", [tagging(shown, run_id="served")])
    assert compare(lake, listed([shown]))["unchanged"] == 1
    assert rows(lake, "SELECT uri, state, todo FROM compared") == [(shown.uri, "unchanged", False)]


# ---- copies

MD5, OTHER = "0" * 32, "1" * 32


def of_s3(name, etag, size=100):
    return MediaObject(f"s3://b/{name}", etag, size)


def copies(lake):
    found = rows(
        lake, "SELECT uri, inherits, copy_of.uri, alike FROM compared JOIN copies USING (media_id) ORDER BY uri"
    )
    return {uri.removeprefix("s3://b/"): rest for uri, *rest in found}


def test_a_copy_is_told_by_its_etag_and_size(lake, listed):
    look = tagging(of_s3("tagged.mp4", MD5))
    writer.commit_batch(lake, "copied", "000000", [look])
    objects = [
        of_s3("a.mp4", MD5),
        of_s3("b.mp4", MD5, size=101),
        of_s3("c.mp4", OTHER),
        of_s3("d.mp4", OTHER),
        of_s3("e.mp4", f"{OTHER}-2"),  # of the parts' MD5s
        of_s3("f.mp4", f"{OTHER}-2"),
        of_s3("g.mp4", "d41d8cd9"),  # of whatever
        of_s3("h.mp4", "d41d8cd9"),
    ]
    counts = compare(lake, listed(objects), replace(WISH, sources=("s3://b/",)))
    assert (counts["new"], counts["media"], counts["duplicate"]) == (8, 8, 3)
    assert {name: found[:2] for name, found in copies(lake).items()} == {
        "a.mp4": [look.tagging_id, None],
        "b.mp4": [None, None],
        "c.mp4": [None, None],
        "d.mp4": [None, "s3://b/c.mp4"],
        "e.mp4": [None, None],
        "f.mp4": [None, "s3://b/e.mp4"],
        "g.mp4": [None, None],
        "h.mp4": [None, None],
    }
    (batch,) = batches(lake.con, "run-9", 600, video_frames=60)
    assert [one.uri for one in batch.objects] == [f"s3://b/{name}.mp4" for name in "bcegh"]
    assert batch.copies == ((objects[3], objects[2].media_id), (objects[5], objects[4].media_id))


def test_what_may_be_a_copy_is_told_whose(lake, listed):
    look = replace(tagging(media("source.mp4", size=777)), content_id="c" * 64)
    writer.commit_batch(lake, "contents", "000000", [look])
    compare(lake, listed([media("target.mp4", size=777), media("larger.mp4", size=778)]))
    (batch,) = batches(lake.con, "run-9", 600, video_frames=60)
    assert batch.alike == {media("target.mp4").media_id: {"c" * 64: look.tagging_id}}


def test_where_more_than_the_bytes_decides_nothing_is_a_copy(lake, listed):
    objects = [of_s3("x.mp4", "2" * 32), of_s3("y.mp4", "2" * 32)]
    wish = replace(WISH, sources=("s3://b/",), inherit=False)
    assert compare(lake, listed(objects), wish)["duplicate"] == 0
    assert copies(lake) == {}


@pytest.mark.parametrize("batch_frames", [1, 3, 60])
def test_a_copy_is_in_the_batch_of_its_original(lake, tmp_path, batch_frames):
    objects = [of_s3(f"many/{number:03}", f"{1000 + number % 40:032x}") for number in range(100)]
    table = pa.Table.from_pylist([row(one) | {"kind": "image"} for one in objects], schema=LISTING)
    pq.write_table(table, tmp_path / "0.parquet")
    compare(lake, str(tmp_path / "*.parquet"))
    planned = list(batches(lake.con, "run-9", batch_frames, video_frames=60))
    assert sum(len(batch.objects) for batch in planned) == 40
    assert sum(len(batch.copies) for batch in planned) == 60
    for batch in planned:
        by_id = {one.media_id: one.etag for one in batch.objects}
        assert all(copy.etag == by_id[original] for copy, original in batch.copies)


# ---- the listing


def test_a_limit_leaves_the_rest_new(lake, listed):
    objects = [media(f"limited/{number}.mp4") for number in range(20)]
    counts = compare(lake, listed(objects), replace(WISH, limit=3))
    assert (counts["new"], counts["media"], len(todo(lake))) == (20, 3, 3)
    writer.commit_batch(lake, "limited", "000000", [tagging(one) for one in objects if one.uri in todo(lake)])
    counts = compare(lake, listed(objects))
    assert (counts["new"], counts["unchanged"], counts["media"]) == (17, 3, 17)


def test_what_fails_again_and_again_does_not_use_up_the_limit(lake, listed):
    failing, fresh = media("fair/a.mp4"), media("fair/b.mp4")
    writer.commit_batch(lake, "fair", "000000", [tagging(failing, status="failed", code="unreadable")])
    compare(lake, listed([failing, fresh]), replace(WISH, limit=1))
    assert todo(lake) == {fresh.uri}


def test_sources_that_overlap_give_an_object_once(lake, listed):
    twice = [media(f"twice/{number}.mp4") for number in range(10)] * 2
    wish = replace(WISH, sources=("/archive/", "/archive/twice/"))
    assert compare(lake, listed(twice), wish)["listed"] == len(todo(lake)) == 10


def test_what_is_no_media_and_what_is_left_out_is_counted_and_not_looked_at(lake, listed):
    listed([media("x.txt"), media("x.srt")], kind="unknown")
    listed([media("y.mp4")], kind="excluded")
    counts = compare(lake, listed([media("z.mp4")]))
    assert (counts["unknown"], counts["excluded"], counts["listed"]) == (2, 1, 1)
    assert todo(lake) == {"/archive/z.mp4"}


@pytest.mark.parametrize("name", ["[1]", "what?", "star*", "50% 'off' #1"])
def test_a_lake_may_lie_in_a_folder_that_is_called_like_a_pattern(lake, listed, tmp_path, name):
    listed([media("a.mp4"), media("b.mp4")])
    folder = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name} {name}"))
    assert compare(lake, f"{folder}/*.parquet")["listed"] == 2


def test_an_empty_listing_is_one(lake, listed):
    assert set(compare(lake, listed([])).values()) == {0}


@pytest.mark.parametrize(
    ("uri", "include", "exclude", "kind"),
    [
        ("s3://b/a.MP4", (), (), "video"),
        ("s3://b/a.jpeg", (), (), "image"),
        ("s3://b/a.txt", (), (), "unknown"),
        ("s3://b/mp4", (), (), "unknown"),
        ("s3://b/a.mp4", ("*.mp4",), (), "video"),
        ("s3://b/a.mov", ("*.mp4",), (), "excluded"),
        ("s3://b/a.mov", ("*.mp4", "*.mov"), (), "video"),
        ("s3://b/a.mp4", ("*.mp4",), ("*/b/*",), "excluded"),
        ("s3://b/raw/deep/a.mp4", (), ("raw/*",), "excluded"),
        ("s3://b/draw/a.mp4", (), ("raw/*",), "video"),
        ("s3://b/a.mp4", (), ("a.mp4",), "excluded"),
        ("s3://b/aa.mp4", (), ("a.mp4",), "video"),
        ("s3://b/1.mp4", ("[0-9].mp4",), (), "video"),
        ("s3://b/notes.txt", (), ("*.mp4",), "unknown"),
    ],
)
def test_patterns_and_endings_say_the_kind(uri, include, exclude, kind):
    assert kind_of(MediaObject(uri, "1", 1), include, exclude) == kind


# ---- what is gone


def see(lake, state, *uris):
    """Record that an earlier run saw these."""
    seen = [
        {**{name: getattr(one, name) for name in ("media_id", "uri", "etag")}, "run_id": "earlier", "state": state}
        for one in (MediaObject(uri, "1", 1) for uri in uris)
    ]
    moment = datetime.now(UTC)
    lake.transaction(lambda con: writer.insert(con, {"sightings": [one | {"seen_at": moment} for one in seen]}))


def gone(lake, listing, *sources):
    compare(lake, listing, replace(WISH, sources=sources))
    return {uri for (uri,) in rows(lake, "SELECT uri FROM gone")}


@pytest.mark.parametrize(
    ("source", "seen", "is_gone"),
    [
        ("/tapes/", "/tapes/a.mp4", True),
        ("/tapes/", "/tapes-2/a.mp4", False),
        ("/tapes/a.mp4", "/tapes/a.mp4", True),
        ("/tapes/a.mp4", "/tapes/a.mp4.mov", False),
        ("/", "/anywhere/a.mp4", True),
        ("s3://bucket", "s3://bucket/a.mp4", True),
        ("s3://bucket", "s3://bucket-2/a.mp4", False),
        ("s3://bucket/", "s3://bucket/a/b.mp4", True),
        ("s3://bucket/tapes/", "s3://bucket/tapes-2/a.mp4", False),
        ("s3://bucket/tapes", "s3://bucket/tapes-2/a.mp4", True),
        ("s3://bucket/100%_", "s3://bucket/100 or more.mp4", False),
    ],
)
def test_an_object_is_gone_only_where_a_source_would_have_listed_it(lake, listed, source, seen, is_gone):
    see(lake, "new", seen)
    assert (seen in gone(lake, listed([]), source)) == is_gone


def test_an_object_that_is_listed_is_not_gone_even_where_it_is_left_out(lake, listed):
    see(lake, "changed", "/left/a.mp4", "/left/b.mp4", "/left/c.mp4")
    listed([MediaObject("/left/a.mp4", "1", 1)], kind="excluded")
    assert gone(lake, listed([MediaObject("/left/b.mp4", "2", 1)]), "/left/") == {"/left/c.mp4"}


def test_what_is_gone_is_said_once_until_it_comes_back(lake, listed):
    for state, expected in (("new", {"/back/a.mp4"}), ("gone", set()), ("new", {"/back/a.mp4"})):
        see(lake, state, "/back/a.mp4")
        assert gone(lake, listed([]), "/back/") == expected


# ---- batches


def plan(lake, listing, recipe=RECIPE, batch_frames=600):
    compare(lake, listing, replace(WISH, recipe=recipe))
    return list(batches(lake.con, "run-9", batch_frames, video_frames=recipe.max_frames))


def names(count, ending):
    return [media(f"batched/{number:05}.{ending}") for number in range(count)]


@pytest.mark.parametrize(
    ("count", "kind", "recipe", "batch_frames", "sizes"),
    [
        (25, "video", RECIPE, 600, [10, 10, 5]),  # of at most 60 frames each
        (25, "video", Recipe("builtin", max_frames=600), 600, [1] * 25),
        (3, "video", Recipe("builtin", max_frames=None), 600, [1] * 3),
        (3, "video", Recipe("builtin", max_frames=1000), 600, [1] * 3),  # never cut in two
        (25, "image", RECIPE, 10, [10, 10, 5]),
        (0, "video", RECIPE, 600, []),
    ],
)
def test_a_batch_is_filled_by_cost(lake, listed, count, kind, recipe, batch_frames, sizes):
    batches = plan(lake, listed(names(count, "x"), kind=kind), recipe, batch_frames)
    assert [len(batch.objects) for batch in batches] == sizes


@pytest.mark.parametrize("batch_frames", [1, 60, 100, 10_000])
def test_every_media_object_is_in_one_batch_and_there_are_never_too_many(lake, tmp_path, batch_frames):
    objects = [(media(f"many/{number:05}"), "video" if number % 3 else "image") for number in range(2500)]
    table = pa.Table.from_pylist([row(one) | {"kind": kind} for one, kind in objects], schema=LISTING)
    pq.write_table(table, tmp_path / "0.parquet")
    batches = plan(lake, str(tmp_path / "*.parquet"), batch_frames=batch_frames)
    assert 0 < len(batches) <= MAX_BATCHES
    assert [one for batch in batches for one in batch.objects] == [one for one, _ in objects]
    assert [batch.batch_id for batch in batches] == [f"{number:06}" for number in range(len(batches))]
    assert {batch.run_id for batch in batches} == {"run-9"}
    assert plan(lake, str(tmp_path / "*.parquet"), batch_frames=batch_frames) == batches


def test_a_batch_says_whose_answered_frames_are_taken_over(lake, listed):
    looks = [tagging(one, status="partial", code="decode_timeout") for one in names(2, "mp4")]
    writer.commit_batch(lake, "partly", "000000", looks)
    (batch,) = plan(lake, listed(names(4, "mp4")))
    assert batch.unfinished == {look.object.media_id: look.tagging_id for look in looks}
    assert len(batch.objects) == 4


def test_a_large_plan_is_streamed(lake, tmp_path):
    number = pa.array(range(50_000))
    text = pa.compute.utf8_lpad(number.cast(pa.string()), 32, "0")
    columns = {"media_id": text, "uri": text, "etag": text, "size_bytes": number, "kind": ["video"] * len(number)}
    nulls = {"last_modified": pa.nulls(len(number), pa.timestamp("us", tz="UTC"))}
    table = pa.table({name: {**columns, **nulls}[name] for name in LISTING.names}, schema=LISTING)
    pq.write_table(table, tmp_path / "0.parquet")
    before = lake.con.execute("SELECT current_setting('memory_limit')").fetchone()[0]
    lake.con.execute("SET memory_limit = '100MB'")
    compare(lake, str(tmp_path / "*.parquet"))
    tracemalloc.start()
    total = sum(len(batch.objects) for batch in batches(lake.con, "run-9", 600, video_frames=RECIPE.max_frames))
    streamed = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    kept = list(batches(lake.con, "run-9", 600, video_frames=RECIPE.max_frames))
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    lake.con.execute(f"SET memory_limit = '{before}'")
    assert (total, len(kept)) == (50_000, MAX_BATCHES)
    assert streamed < whole / 20


@pytest.mark.parametrize(("uri", "kind"), [("/a/tape", "video"), ("/a/tape.bin", "video"), ("/a/b.jpg", "image")])
def test_an_object_that_is_a_source_itself_is_looked_at_whatever_its_ending(uri, kind):
    assert kind_of(MediaObject(uri, "1", 1), (), (), named=True) == kind
    assert kind_of(MediaObject(uri, "1", 1), (), ("*",), named=True) == "excluded"
