"""Only what is named is forgotten: not what is stored under the same URI, not what is called alike."""

import json
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.batch import Batch
from pipeline.errors import UsageError
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.journal import Entry, Journal
from pipeline.model import MediaObject
from pipeline.steps import backfill
from pipeline.steps.forget import forget
from pipeline.steps.listing import write_listing
from pipeline.steps.plan import batch_as_json, planned_batch
from pipeline.steps.workplace import Workplace
from pipeline.store import open_store
from pipeline.uris import media_id
from tests.unit.lake.made import media, tagging

URI = "https://example.org/img.png"
NUMBERED = [MediaObject(URI, "1", 1, media_id=media_id(f"{URI}?id={number}")) for number in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "lake")


def filled(folder, *objects, run=None):
    with closing(open_lake(folder, open_store(folder), catalog=None, create=True, read_only=False)) as lake:
        writer.commit_batch(lake, "run-1", "0", [tagging(of) for of in objects])
        if run:
            lake.transaction(lambda con: writer.insert(con, {"runs": [{"run_id": "run-1", "kind": "tag", **run}]}))
        for of in objects:
            Journal(lake, "run-1").keep(Entry(of.media_id, "1", "r", finished=tagging(of)))


def asked(folder, query):
    with closing(open_lake(folder, open_store(folder), catalog=None)) as lake:
        return lake.con.execute(query).fetchall()


def journals(folder):
    with closing(open_lake(folder, open_store(folder), catalog=None)) as lake:
        return {entry.media_id for entry in Journal(lake, "run-1").entries()}


@pytest.mark.parametrize("name", [f"{URI}?id=1", f"{URI}?id=1&X-Amz-Signature=s", media_id(f"{URI}?id=1")])
def test_of_media_that_only_their_queries_tell_apart_the_one_that_is_named_goes(name, folder):
    filled(
        folder, *NUMBERED, run={"sources": [URI], "request": json.dumps({"media": [one.media_id for one in NUMBERED]})}
    )
    assert forget({"lake": folder}, [name])["media"] == 1
    left = [one.media_id for one in NUMBERED[1:]]
    assert sorted(asked(folder, "SELECT media_id FROM media")) == sorted((one,) for one in left)
    assert asked(folder, "SELECT sources, request FROM log.runs") == [
        ([URI], json.dumps({"media": ["(forgotten)", *left]}))
    ]
    assert journals(folder) == set(left)
    assert forget({"lake": folder}, [name])["media"] == 0
    assert forget({"lake": folder}, left)["media"] == 2
    assert asked(folder, "SELECT sources FROM log.runs") == [(["(forgotten)"],)], "nobody is called so any more"


def test_a_url_that_a_job_was_given_with_its_signature_goes_from_what_it_was_told_beside(folder):
    payload = {"asset": "https://me:geheim@example.org/img.png?X-Amz-Signature=s", "note": "mine"}
    of = MediaObject(URI, "1", 1)
    filled(folder, of, run={"sources": [URI], "request": json.dumps({"job": {"custom_payload": payload}})})
    assert forget({"lake": folder}, [URI])["media"] == 1
    left = {"job": {"custom_payload": {**payload, "asset": "(forgotten)"}}}
    assert asked(folder, "SELECT request FROM log.runs") == [(json.dumps(left),)]


def test_a_name_that_several_have_is_refused_and_nothing_is_done(folder):
    filled(folder, *NUMBERED, media())
    with pytest.raises(UsageError, match=rf"3 media of this lake are called '{URI}': .* name those .* media_id"):
        forget({"lake": folder}, [media().uri, URI])
    assert asked(folder, "SELECT count(*) FROM media") == [(4,)]
    assert len(journals(folder)) == 4


def test_one_of_a_kind_is_found_by_what_the_tables_call_it_but_not_by_another_query(folder):
    filled(folder, NUMBERED[0])
    assert forget({"lake": folder}, ["https://u:geheim@example.org/img.png?id=7"])["unknown"] == [URI]
    assert forget({"lake": folder}, [URI])["media"] == 1
    assert asked(folder, "SELECT count(*) FROM log.taggings") == [(0,)]


def test_others_whose_names_begin_so_keep_theirs_everywhere(folder):
    one, other = media("1.png"), media("1.png.old.png")
    request = {"sources": [one.uri, other.uri], "error": f"'{other.uri}' can't be read"}
    filled(folder, one, other, run={"sources": request["sources"], "request": json.dumps(request)})
    with closing(open_lake(folder, open_store(folder), catalog=None)) as lake:
        plan = Batch("000000", "run-1", (one, other))
        lake.store.write(lake.work_uri("run-1", "batches", "000000.json"), batch_as_json(plan))
        assert forget({"lake": folder}, [one.uri])["media"] == 1
        left = lake.store.read(lake.work_uri("run-1", "batches", "000000.json"))
        assert planned_batch(left) == replace(plan, objects=(other,))
    assert journals(folder) == {other.media_id}
    kept = {**request, "sources": ["(forgotten)", other.uri]}
    assert asked(folder, "SELECT sources, request FROM log.runs") == [(kept["sources"], json.dumps(kept))]
    assert asked(folder, "SELECT uri FROM media") == [(other.uri,)]


def test_what_only_a_journal_tells_of_is_forgotten_too(folder):
    filled(folder, media())
    with closing(open_lake(folder, open_store(folder), catalog=None)) as lake:
        for of in (in_flight := [media("flight.mp4"), media("too.mp4")]):
            Journal(lake, "run-1").keep(Entry(of.media_id, "1", "r", finished=tagging(of)))
    report = forget({"lake": folder}, [in_flight[0].uri, in_flight[1].media_id])
    assert (report["media"], report["unknown"]) == (2, [])
    assert journals(folder) == {media().media_id}


def test_a_listing_that_goes_on_is_waited_for(folder, tmp_path):
    filled(folder, of := MediaObject(str(tmp_path / "a.mp4"), "1", 1))
    (tmp_path / "a.mp4").write_bytes(b"")
    begun, may_end = threading.Event(), threading.Event()

    def hold(_listed):
        begun.set()
        assert may_end.wait(60)

    def list_it():
        work = Workplace.of({"lake": folder, "sources": of.uri})
        with closing(work.lake(read_only=False)) as lake:
            write_listing(work, lake, "run-2", hold)

    listing = threading.Thread(target=list_it)
    listing.start()
    assert begun.wait(60)
    waited_for = []
    try:
        report = forget({"lake": folder}, [of.uri], lambda them: (waited_for.append(them), may_end.set()))
    finally:
        may_end.set()
        listing.join()
    assert (report["media"], waited_for) == (1, ["listings"])
    assert forget({"lake": folder}, [of.uri])["unknown"] == [of.uri]


def test_a_listing_that_nobody_can_read_tells_of_nothing_and_goes_with_what_is_forgotten(folder):
    filled(folder, media())
    with closing(open_lake(folder, open_store(folder), catalog=None)) as lake:
        half = lake.work_uri("run-2", "claims", "tmp_000000.parquet")
        lake.store.write(half, b"PAR1half")
        assert forget({"lake": folder}, ["/nowhere/typo.mp4"])["unknown"] == ["/nowhere/typo.mp4"]
        assert lake.store.read(half)
        assert forget({"lake": folder}, [media().uri])["media"] == 1
        assert lake.store.read(half) is None


def test_what_only_a_run_tells_of_is_forgotten_too(folder):
    filled(folder, media(), run={"sources": ["/archive/refused.mp4"], "request": "{}"})
    report = forget({"lake": folder}, ["/archive/refused.mp4"])
    assert (report["media"], report["unknown"]) == (1, [])
    assert asked(folder, "SELECT sources FROM log.runs") == [(["(forgotten)"],)]


def test_what_stopped_a_run_is_said_without_its_name(folder):
    filled(folder, media(), run={"sources": ["/archive/"], "request": "{}", "started_at": datetime.now(UTC)})
    with closing(open_lake(folder, open_store(folder), catalog=None, read_only=False)) as lake:
        writer.record_event(lake, "run-1", "too_dear", {"budget": "1 EUR", "uri": media().uri})
        why = f"{media().uri} takes more than the whole budget of 1 EUR"
        writer.record_event(lake, "run-1", "stopped", {"error": why})
    assert forget({"lake": folder}, [media().uri])["media"] == 1
    assert asked(folder, "SELECT error FROM runs") == [("(forgotten) takes more than the whole budget of 1 EUR",)]
    assert forget({"lake": folder}, [media().uri])["unknown"] == [media().uri]


def test_a_folder_or_a_prefix_is_refused_though_a_run_has_it_as_its_source(folder, tmp_path):
    (tmp_path / "arch").mkdir()
    here, gone = f"{tmp_path}/arch/", "/archive"
    in_s3 = [MediaObject(f"s3://shelf/{name}", "1", 1) for name in ("2019/a.mp4", "2020-a.mp4", "1.png.old.png")]
    prefixes = ["s3://shelf", "s3://shelf/2019", "s3://shelf/20", "s3://shelf/unlisted"]
    sources = [here, f"{gone}/", *prefixes, media().uri]
    filled(folder, media(), *in_s3, run={"sources": sources, "request": json.dumps({"sources": sources})})
    for name in (here, here.rstrip("/"), gone, f"{gone}/", *prefixes, "s3://shelf/2019/", folder, f"{folder}/data/x"):
        with pytest.raises(UsageError, match=f"'{name.rstrip('/')}/?' is .*: nothing is forgotten. Name the media"):
            forget({"lake": folder}, [media().uri, name])
    assert asked(folder, "SELECT sources FROM log.runs") == [(sources,)]
    assert asked(folder, "SELECT count(*) FROM media") == [(4,)]
    assert forget({"lake": folder}, ["s3://shelf/1.png"])["unknown"] == ["s3://shelf/1.png"], "no source of a run's"
    assert forget({"lake": folder}, [media().uri])["media"] == 1
    left = [*sources[:-1], "(forgotten)"]
    assert asked(folder, "SELECT sources, request FROM log.runs") == [(left, json.dumps({"sources": left}))]


def test_a_backfill_of_a_folder_goes_on_after_somebody_tried_to_forget_the_folder(folder, tmp_path):
    (tmp_path / "arch").mkdir()
    (tmp_path / "arch" / "a.mp4").write_bytes(b"")
    run_id = backfill.begin({"lake": folder, "tagger": "null", "sources": [str(tmp_path / "arch")]})
    with pytest.raises(UsageError, match="is a folder or a prefix, no media object"):
        forget({"lake": folder}, [str(tmp_path / "arch")])
    assert backfill.begin({"lake": folder, "tagger": "null"}, going_on=run_id) == run_id
