"""An S3 Inventory stands for the listing of its bucket, and never passes for newer than it is."""

import hashlib
import json
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import pyarrow.parquet as pq
import pytest

from pipeline.steps import backfill
from pipeline.steps.listing import write_parts
from pipeline.steps.workplace import Workplace
from tests.integration import doors
from tests.integration.doors import ask, files, rows, shotlog, tag
from tests.integration.quiet import Quiet
from tests.media import media
from tests.servers.inventory import FORMS, VERSIONS, rows_of, write_inventory

ODD = (
    *("plain.mp4", "with space.mp4", "plus+plus.JPG", "100%25.mov", "a%2Fb.mp4", "quote'\".png", "comma,semi;.mkv"),
    *("ümläut/日本.webm", "x[1]*?.mp4", "b\\s.mp4", "no ending", ".mp4", "two..mp4", "a.b/c.txt", "deep/er/still.gif"),
)
NOW = datetime.now(UTC)


@pytest.fixture
def bucket(s3, monkeypatch):
    """A bucket of the test's own, and `NAME-lists` for its inventories. Gives its name."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"stock-{uuid.uuid4().hex[:12]}"
    for name in (bucket, f"{bucket}-lists"):
        s3.client().create_bucket(Bucket=name)
    return bucket


@pytest.fixture
def put(s3, bucket):
    """Put test media (`new=old`: under another name) below in/. Returns the source."""
    return partial(doors.put, s3, bucket)


@pytest.fixture
def inventory(s3, bucket):
    """Write an inventory of what is in the bucket now, or of these rows. Gives its manifest's URI."""

    def write(found=None, form="Parquet", **how):
        found = rows_of(s3.client(), bucket) if found is None else found
        return write_inventory(s3.client(), f"{bucket}-lists", bucket, found, form, **how)

    return write


def listed(folder, *sources, **settings):
    """The listing of a request, in order."""
    folder.mkdir()
    work = Workplace.of({"sources": ",".join(sources), "lake": str(folder / "lake"), "tagger": "null", **settings})
    write_parts(
        work,
        lambda _, source: work.store(source).list(source),
        lambda name, data: (folder / name).write_bytes(data) and None,
        None,
    )
    return sorted(pq.read_table(folder).to_pylist(), key=lambda row: row["uri"])


# ---- the same listing


@pytest.mark.parametrize("form", FORMS)
def test_it_says_of_every_object_what_a_listing_says(form, s3, bucket, inventory, tmp_path):
    for key in ODD:
        s3.client().put_object(Bucket=bucket, Key=f"in/{key}", Body=key.encode())
    s3.client().put_object(Bucket=bucket, Key="in/folder/", Body=b"")
    s3.client().put_object(Bucket=bucket, Key="out/other.mp4", Body=b"x")
    source, manifest = f"s3://{bucket}/in/", inventory(form=form)
    patterns = {"include": "*.mp4,*.JPG,*.mkv,c.txt", "exclude": "x[[]*,*two*"}
    for number, how in enumerate(({}, patterns)):
        plain = listed(tmp_path / f"plain-{number}", source, **how)
        from_it = listed(tmp_path / f"inventory-{number}", source, inventory=manifest, **how)
        assert from_it == plain
        assert len(plain) == len(ODD)
    assert {row["kind"] for row in plain} == {"video", "image", "unknown", "excluded"}


@pytest.mark.parametrize("form", FORMS)
def test_old_versions_and_what_was_deleted_are_left_out(form, s3, bucket, put, inventory, tmp_path):
    source = put("cfr.mp4")
    (now,) = rows_of(s3.client(), bucket)
    now |= {"version_id": "3", "is_latest": True, "is_delete_marker": False}
    before = now | {"version_id": "2", "is_latest": False, "e_tag": "0" * 32}
    deleted = now | {"key": "in/deleted.mp4", "is_delete_marker": True, "size": None, "e_tag": None}
    last = deleted | {"is_latest": False, "is_delete_marker": False, "size": 7, "e_tag": "1" * 32}
    manifest = inventory([before, now, deleted, last], form, without=())
    found = listed(tmp_path / "found", source, inventory=manifest)
    assert [(row["uri"], row["etag"]) for row in found] == [(f"{source}cfr.mp4", now["e_tag"])]


def test_each_object_is_listed_once_however_sources_overlap(bucket, put, inventory, tmp_path):
    put("a/cfr.mp4=cfr.mp4", "a/b/still.webp=still.webp", "c.mp4=cfr.mp4")
    overlapping = [f"s3://{bucket}", f"s3://{bucket}/in/a/", f"s3://{bucket}/in/", f"s3://{bucket}/in/c.mp4"]
    found = listed(tmp_path / "found", *overlapping, inventory=inventory())
    assert [row["uri"].partition("/in/")[2] for row in found] == ["a/b/still.webp", "a/cfr.mp4", "c.mp4"]
    done = tag(tmp_path / "lake", *overlapping, inventory=inventory())
    assert (done["listed"], done["ok"]) == (3, 3)


def test_other_sources_are_listed_as_ever(s3, bucket, put, inventory, tmp_path):
    source, other = put("cfr.mp4"), f"{bucket}-other"
    s3.client().create_bucket(Bucket=other)
    s3.client().upload_file(str(media("still.webp")), other, "still.webp")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/hevc.mp4").write_bytes(media("hevc.mp4").read_bytes())
    manifest = inventory()
    put("vfr.mkv")  # not in it
    done = tag(tmp_path / "lake", source, f"s3://{other}", tmp_path / "in", inventory=manifest)
    assert (done["listed"], done["ok"]) == (3, 3)
    assert files(tmp_path / "lake") == ["hevc.mp4", "still.webp", "cfr.mp4"]


def test_a_prefix_that_matches_nothing_is_no_error(bucket, put, inventory, tmp_path):
    put("cfr.mp4")
    for verb in ("plan", "tag"):
        done = command(verb, f"s3://{bucket}/out/", inventory(), tmp_path, SHOTLOG_FORMAT="table")
        assert done.returncode == 0, done.stderr
        assert "listed 0 media objects" in done.stderr


def test_a_copy_of_it_in_a_folder_does_too(s3, bucket, put, inventory, tmp_path):
    source, manifest = put("cfr.mp4"), inventory(form="CSV")
    place = f"{bucket}-lists"
    for item in s3.client().list_objects_v2(Bucket=place)["Contents"]:
        for copy in (tmp_path / "whole" / item["Key"], tmp_path / "flat" / item["Key"].rpartition("/")[2]):
            copy.parent.mkdir(parents=True, exist_ok=True)
            s3.client().download_file(place, item["Key"], str(copy))
    whole = tmp_path / "whole" / manifest.removeprefix(f"s3://{place}/")
    for number, copy in enumerate((whole, tmp_path / "flat/manifest.json")):
        assert len(listed(tmp_path / f"found-{number}", source, inventory=str(copy))) == 1


def test_the_setting_is_as_good_as_the_option_and_plan_reads_it_too(put, inventory, tmp_path):
    source, manifest = put("cfr.mp4"), inventory()
    put("vfr.mkv")
    planned = command("plan", source, None, tmp_path, SHOTLOG_INVENTORY=manifest)
    assert (planned.returncode, json.loads(planned.stdout)["new"]) == (0, 1), planned.stderr


def test_a_backfill_reads_it_too_and_goes_on_when_it_has_gone(s3, bucket, put, inventory, tmp_path):
    source, manifest = put("cfr.mp4", "still.webp"), inventory()
    put("vfr.mkv")
    planned = command("backfill", source, manifest, tmp_path, SHOTLOG_DRY_RUN="true")
    assert (planned.returncode, json.loads(planned.stdout)["new"]) == (0, 2), planned.stderr
    lake = {"lake": str(tmp_path / "lake"), "tagger": "null", "batch_frames": 1, "piece_batches": 1}
    run_id = backfill.begin({**lake, "sources": [source], "inventory": manifest}, "by-hand")
    backfill.plan(lake, run_id, 0, 1_000)
    s3.client().delete_object(Bucket=f"{bucket}-lists", Key=manifest.partition("-lists/")[2])
    assert backfill.backfill(lake, Quiet(), run_id)["ok"] == 2
    assert files(lake["lake"]) == ["cfr.mp4", "still.webp"]


# ---- how old it is


def test_what_is_gone_since_is_gone_and_what_it_cant_know_is_left(put, inventory, tmp_path):
    lake, source = tmp_path / "lake", put("cfr.mp4", "vfr.mkv")
    tag(lake, source)
    old = inventory(made_at=NOW - timedelta(days=1))
    put("still.webp")
    assert tag(lake, source)["new"] == 1
    again = tag(lake, source, inventory=old)
    assert (again["gone"], again["listed"], again["unchanged"]) == (0, 2, 2), "younger than the inventory"
    put(gone=["vfr.mkv"])
    assert tag(lake, source, inventory=old)["gone"] == 0, "it still lists it"
    newer = inventory(made_at=datetime.now(UTC) + timedelta(seconds=1))
    assert tag(lake, source, inventory=newer)["gone"] == 1
    assert files(lake) == ["cfr.mp4", "still.webp"]


def test_an_object_that_the_lake_has_in_a_newer_version_isnt_changed_back(put, inventory, tmp_path):
    lake, source = tmp_path / "lake", put("a.mp4=cfr.mp4", "b.mp4=vfr.mkv")
    first = inventory(made_at=NOW - timedelta(days=2))
    tag(lake, source, inventory=first)
    put("a.mp4=hevc.mp4", gone=["b.mp4"])
    done = tag(lake, source)
    assert (done["changed"], done["gone"]) == (1, 1)
    before = rows(lake)
    for _ in range(2):
        again = tag(lake, source, inventory=first)
        assert [again[name] for name in ("listed", "new", "changed", "gone", "ok", "failed")] == [2, 0, 0, 0, 0, 0]
    assert rows(lake) == before
    assert files(lake) == ["a.mp4"]


def test_an_older_sighting_never_hides_a_newer_inventory(put, inventory, tmp_path):
    """One of two days ago is read today; that of yesterday, read afterwards, is newer all the same."""
    lake, source = tmp_path / "lake", put("a.mp4=cfr.mp4", "b.mp4=still.webp")
    first = inventory(made_at=NOW - timedelta(days=2))
    put("a.mp4=hevc.mp4", gone=["b.mp4"])
    second = inventory(made_at=NOW - timedelta(days=1))
    done = tag(lake, source, inventory=first)
    assert (done["new"], done["failed"]) == (2, 2)  # both are no longer what it says
    done = tag(lake, source, inventory=second)
    assert [done[name] for name in ("changed", "gone", "ok")] == [1, 1, 1]
    assert files(lake) == ["a.mp4"]


# ---- bad input


def command(verb, source, manifest, folder, **environment):
    given = ["--inventory", manifest] if manifest else []
    environment = {"SHOTLOG_FORMAT": "json"} | environment
    return shotlog(verb, source, "--lake", "lake", "--tagger", "null", *given, cwd=folder, **aws(), **environment)


def aws():
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name.lower() == "no_proxy"}


def spoil(s3, manifest, change):
    """Change what the manifest says."""
    bucket, _, key = manifest.removeprefix("s3://").partition("/")
    told = json.loads(s3.client().get_object(Bucket=bucket, Key=key)["Body"].read())
    changed = change(told, bucket)
    if changed is not None:
        s3.client().put_object(Bucket=bucket, Key=key, Body=changed)


def no_part(s3):
    return lambda told, bucket: s3.client().delete_object(Bucket=bucket, Key=told["files"][1]["key"]) and None


def other_bytes(s3):
    return lambda told, bucket: (
        s3.client().put_object(Bucket=bucket, Key=told["files"][1]["key"], Body=b"other") and None
    )


def said(**other):
    return lambda told, _: json.dumps(told | other).encode()


def no_table(s3):
    def write(told, bucket):
        s3.client().put_object(Bucket=bucket, Key=told["files"][0]["key"], Body=b"no table")
        told["files"][0]["MD5checksum"] = hashlib.md5(b"no table").hexdigest()
        return json.dumps(told).encode()

    return write


BAD = {
    "missing part": (no_part, "names '.*', which can't be had (it is missing): take a newer inventory"),
    "other bytes": (other_bytes, "has other bytes than the inventory '.*' says (its MD5 is"),
    "no manifest": (
        lambda _: lambda *_: b"{}",
        "is not an inventory's manifest (KeyError: 'fileFormat'): give the URI",
    ),
    "no JSON": (lambda _: lambda *_: b"\xff{", "is not an inventory's manifest (UnicodeDecodeError"),
    "a list": (lambda _: lambda *_: b"[1]", "is not an inventory's manifest (TypeError"),
    "unknown format": (
        lambda _: said(fileFormat="Avro"),
        "has the format 'Avro': let S3 write it as CSV, ORC, Parquet",
    ),
    "no rows": (lambda _: said(files=[]), "names no files of rows: take a newer inventory"),
    "no table": (no_table, "can't be read (.*: take a newer inventory"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_inventory_that_cant_be_meant_is_a_sentence_and_marks_nothing(name, s3, put, inventory, tmp_path):
    lake, source = tmp_path / "lake", put("cfr.mp4", "still.webp")
    tag(lake, source)
    manifest, (spoiled, sentence) = inventory(made_at=NOW + timedelta(days=1)), BAD[name]
    spoil(s3, manifest, spoiled(s3))
    check(command("tag", source, manifest, tmp_path), 3, sentence)
    assert files(lake) == ["cfr.mp4", "still.webp"]
    assert ask(lake, "SELECT count(*) FROM log.sightings WHERE state = 'gone'") == [(0,)]
    assert {state for (state,) in ask(lake, "SELECT state FROM runs")} <= {"finished", "incomplete"}
    assert len(ask(lake, "FROM runs WHERE state = 'finished'")) == 1
    assert tag(lake, source)["unchanged"] == 2


def check(done, code, sentence):
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    pattern = re.escape(sentence).replace(r"\.\*", ".*").replace("'.*'", "'[^']*'")
    assert re.search(pattern, done.stderr.replace("\n", " ")), done.stderr


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", ["size", "e_tag", "last_modified_date"])
def test_one_without_a_column_that_is_needed_is_a_sentence(form, column, put, inventory, tmp_path):
    source = put("cfr.mp4")
    manifest = inventory(form=form, without=(*VERSIONS, column))
    done = command("plan", source, manifest, tmp_path)
    check(done, 3, f"lacks {column}: let S3 add size, last modified date and ETag")


@pytest.mark.parametrize("form", FORMS)
def test_one_that_lists_another_bucket_than_it_says_is_a_sentence(form, s3, bucket, put, inventory, tmp_path):
    source = put("cfr.mp4")
    manifest = inventory([row | {"bucket": "another"} for row in rows_of(s3.client(), bucket)], form)
    check(command("plan", source, manifest, tmp_path), 3, "it lists the bucket another")


def test_wrong_usage_is_said_before_anything_is_made(bucket, put, inventory, tmp_path):
    source, manifest = put("cfr.mp4"), inventory()
    for given, elsewhere, code, sentence in (
        (
            manifest,
            "s3://another/in/",
            2,
            f"lists the bucket '{bucket}', and no source lies in it: give s3://{bucket}/",
        ),
        (manifest, f"s3://{bucket}-2/in/", 2, "and no source lies in it"),
        (f"s3://{bucket}-lists/no/manifest.json", source, 3, "there is no inventory manifest at"),
        (f"s3://{bucket}-lists/", source, 2, "an inventory can't be"),
        ("https://example.org/manifest.json", source, 2, "an inventory can't be 'https://example.org/manifest.json'"),
        (str(tmp_path / "nowhere.json"), source, 3, "there is no inventory manifest at"),
    ):
        check(command("tag", elsewhere, given, tmp_path), code, sentence)
    assert not (tmp_path / "lake").exists()
