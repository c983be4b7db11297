"""The same bytes under the same recipe are looked at once (DESIGN.md §5.5)."""

import shutil
from functools import partial
from unittest.mock import patch

import duckdb
import pytest
from boto3.s3.transfer import TransferConfig

import pipeline
from pipeline.lake.catalog import Lake
from pipeline.steps import backfill, plan, run
from pipeline.steps.desk import Desk
from pipeline.steps.tag import tag_batch
from tests.integration import doors
from tests.integration.doors import ask, files, fill, tag
from tests.integration.quiet import Quiet
from tests.media import media

LOOKED = "SELECT count(*) FROM log.taggings WHERE inherited_from IS NULL"


@pytest.fixture
def put(s3, monkeypatch, request):
    """Puts test media (`new=old`: under another name) into a bucket of the test's own. Returns the source."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = request.node.name.replace("_", "-")[:60].strip("-")
    s3.client().create_bucket(Bucket=bucket)
    return partial(doors.put, s3, bucket)


def test_copies_on_s3_cost_a_line_of_the_listing(put, tmp_path):
    lake, others = tmp_path / "lake", ("b/again.webp=still.webp", "a/before.mp4=cfr.mp4", "t.mp4=text.mp4")
    source = put("still.webp", "cfr.mp4", "text.mp4", *others)
    first = tag(lake, source, tagger="builtin")
    assert (first["ok"], first["failed"] + first["skipped"], first["duplicate"]) == (4, 2, 3)
    assert ask(lake, LOOKED) == [(2 + 2,)]  # a failure is written for each
    assert ask(lake, "SELECT count(*) FROM media WHERE inherited_from IS NOT NULL") == [(2,)]
    assert ask(lake, "SELECT uri, count(*) FROM timestamps GROUP BY uri ORDER BY uri") == [
        (f"{source}a/before.mp4", 2),
        (f"{source}b/again.webp", 1),
        (f"{source}cfr.mp4", 2),
        (f"{source}still.webp", 1),
    ]
    # renamed, and one more copy
    put("renamed.mp4=cfr.mp4", "third.webp=still.webp", gone=["cfr.mp4"])
    with patch.object(Desk, "begin", side_effect=AssertionError("nobody is to look")):
        second = tag(lake, source, tagger="builtin")
    assert [second[name] for name in ("new", "gone", "duplicate", "ok", "frames")] == [2, 1, 2, 2, 0]
    assert ask(lake, LOOKED) == [(4,)]
    assert ask(lake, "SELECT uri, count(*) FROM timestamps GROUP BY uri ORDER BY uri DESC") == [
        (f"{source}third.webp", 1),
        (f"{source}still.webp", 1),
        (f"{source}renamed.mp4", 2),
        (f"{source}b/again.webp", 1),
        (f"{source}a/before.mp4", 2),
    ]
    for detail in ("tags", "thumbnails", "participants"):
        found = ask(lake, f"SELECT count(*) % 3, count(DISTINCT media_id) FROM {detail} WHERE uri LIKE '%.webp'")
        assert found in ([(0, 3)], [(0, 0)]), detail
    assert ask(lake, "SELECT sum(bytes_read), sum(model_s) FROM media WHERE inherited_from IS NOT NULL") == [(0, 0)]
    assert ask(lake, "SELECT run_id, inherited FROM runs ORDER BY started_at DESC LIMIT 1")[0][1] == 2
    # as it was before: its first answers are taken, not paid for again
    put("still.webp=cmyk.jpg")
    assert tag(lake, source, tagger="builtin")["changed"] == 1
    put("still.webp=still.webp")
    with patch.object(Desk, "begin", side_effect=AssertionError("nobody is to look")):
        back = tag(lake, source, tagger="builtin")
    assert [back[name] for name in ("changed", "ok")] == [1, 1]
    assert ask(lake, "SELECT count(*), count(DISTINCT width) FROM media WHERE uri LIKE '%.webp'") == [(3, 1)]
    assert tag(lake, source, tagger="builtin")["unchanged"] == 7


def test_an_object_put_in_parts_is_known_under_another_name(put, s3, tmp_path):
    lake, source = tmp_path / "lake", put()
    bucket, in_parts = source.split("/")[2], TransferConfig(multipart_threshold=1)
    for name, gone in (("before.mp4", None), ("after.mp4", "before.mp4")):
        s3.client().upload_file(str(media("cfr.mp4")), bucket, f"in/{name}", Config=in_parts)
        put(gone=[gone] if gone else [])
        tag(lake, source, tagger="null", pieces_from_mb=0)
    assert ask(lake, "SELECT parse_filename(uri), etag LIKE '%-1', content_id FROM media") == [
        ("after.mp4", True, None)
    ]
    assert ask(lake, LOOKED) == [(1,)]


def test_a_copy_in_other_parts_is_known_by_its_bytes(put, s3, tmp_path):
    lake, source = tmp_path / "lake", put()
    bucket, in_parts = source.split("/")[2], TransferConfig(multipart_threshold=1)
    s3.client().upload_file(str(media("cfr.mp4")), bucket, "in/before.mp4", Config=in_parts)
    tag(lake, source)
    assert tag(lake, put("after.mp4=cfr.mp4"))["inherited"] == 1
    assert ask(lake, "SELECT count(DISTINCT etag), count(DISTINCT content_id) FROM media") == [(2, 1)]
    assert ask(lake, LOOKED) == [(1,)]


def test_a_copy_whose_original_goes_before_it_is_read_is_looked_at_itself(put, tmp_path):
    request = {"sources": put("a-old.mp4=cfr.mp4", "b-new.mp4=cfr.mp4"), "lake": str(tmp_path / "lake")}
    request |= {"tagger": "null", "workers": 1}
    run_id = backfill.begin(request, "by-hand")
    planned = backfill.plan(request, run_id, 0, 1000)
    put(gone=["a-old.mp4"])
    counts = tag_batch(request, run_id, planned["batches"][0], "backfills")
    assert (counts["ok"], counts["failed"]) == (0, 1)
    assert backfill.end_piece(request, run_id) is None
    assert tag(tmp_path / "lake", request["sources"])["ok"] == 1
    assert files(tmp_path / "lake") == ["b-new.mp4"]
    assert files(tmp_path / "lake", "failures") == []


def test_under_another_recipe_a_copy_is_looked_at(put, tmp_path):
    tag(tmp_path / "lake", put("cfr.mp4"))
    other = tag(tmp_path / "lake", put("copy.mp4=cfr.mp4"), max_frames=1)
    assert (other["new"], other["duplicate"], other["frames"]) == (1, 0, 1)


def test_copies_in_a_folder_are_known_by_their_bytes(tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4", "still.webp"), tmp_path / "lake"
    tag(lake, archive)
    shutil.copyfile(archive / "cfr.mp4", archive / "copy.mp4")
    (archive / "still.webp").rename(archive / "renamed.webp")
    data = bytearray((archive / "cfr.mp4").read_bytes())
    data[-1] ^= 1
    (archive / "other.mp4").write_bytes(data)  # of the same size
    again = tag(lake, archive)
    assert (again["new"], again["ok"], again["frames"]) == (3, 3, 2)
    found = ask(lake, "SELECT parse_filename(uri), inherited_from IS NOT NULL FROM media ORDER BY uri")
    assert found == [("cfr.mp4", False), ("copy.mp4", True), ("other.mp4", False), ("renamed.webp", True)]
    assert ask(lake, "SELECT count(*), count(DISTINCT tagging_id) FROM timestamps") == [(2 + 2 + 2 + 1, 4)]


def test_a_plan_whose_commit_goes_unanswered_is_in_the_lake_once(put, tmp_path, monkeypatch):
    lake = tmp_path / "lake"
    tag(lake, put("cfr.mp4"))
    source = put("copy.mp4=cfr.mp4")
    record, commit, unanswered = plan._record, Lake._transaction, []

    def recorded(*told):
        record(*told)
        unanswered.append("planned")

    def committed(self, work):
        result = commit(self, work)
        if unanswered == ["planned"]:  # stands for Postgres that is killed between its commit and its answer
            raise duckdb.IOException('Failed to execute query "COMMIT": server closed the connection unexpectedly')
        return result

    monkeypatch.setattr(plan, "_record", recorded)
    monkeypatch.setattr(Lake, "_transaction", committed)
    again = tag(lake, source)
    assert unanswered == ["planned"] * 2, "it was tried again"
    assert (again["new"], again["ok"]) == (1, 1)
    assert ask(lake, "SELECT parse_filename(uri) FROM media ORDER BY uri") == [("cfr.mp4",), ("copy.mp4",)]
    planned = f"SELECT count(*) FROM log.run_events WHERE event = 'planned' AND run_id = '{again['run_id']}'"
    assert ask(lake, planned) == [(1,)]
    assert ask(lake, "SELECT count(*) FROM log.batches WHERE starts_with(batch, 'inherited')") == [(1,)]


def test_a_copy_of_what_a_killed_run_had_finished_inherits_from_it(put, tmp_path):
    source = put("cfr.mp4", "copy.mp4=cfr.mp4")
    request = {"sources": source, "lake": str(tmp_path / "lake"), "tagger": "null", "workers": 1}
    with patch("pipeline.lake.writer.commit_batch", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run.tag(request, Quiet())
    with patch.object(Desk, "begin", side_effect=AssertionError("nobody is to look")):
        assert tag(tmp_path / "lake", source)["ok"] == 1
    with pipeline.connect(str(tmp_path / "lake")) as con:
        assert con.execute("SELECT count(*), count(DISTINCT media_id) FROM media").fetchone() == (2, 2)
