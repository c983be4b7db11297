"""A lake on S3 is written where its catalog is and nowhere else, and no secret gets into it (DESIGN.md §4, §5.4)."""

import json
import logging
import re
import shutil
from base64 import b64decode
from functools import partial
from pathlib import Path

import pytest

import pipeline
from pipeline.lake.catalog import Lake
from pipeline.lake.connection import open_duckdb
from pipeline.lake.tables import FORMAT, TABLES
from pipeline.steps.forget import forget
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.tag import tag_batch
from pipeline.store import open_store
from tests.contract.shelves import Files, serving
from tests.integration.doors import fill, shotlog, upload
from tests.media import media

NULL = ["--tagger", "null", "--format", "json"]


# --- identity ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(s3):
    upload(s3, "lakes", "archive", "cfr.mp4", "still.webp")
    return "lakes"


@pytest.fixture(scope="module")
def first(s3, bucket, tmp_path_factory):
    """The home of the machine that made the lake s3://lakes/lake."""
    home = tmp_path_factory.mktemp("first")
    done = shotlog("tag", f"s3://{bucket}/archive/", "--lake", f"s3://{bucket}/lake", *NULL, cwd=home, **s3.env)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, 2), done.stderr
    return home


def keys(s3, bucket):
    """Every object of the lake with its version."""
    found = s3.client().list_objects_v2(Bucket=bucket, Prefix="lake/")["Contents"]
    return {item["Key"]: item["ETag"] for item in found}


def test_a_lake_on_s3_finds_its_catalog_again_and_a_rerun_adds_nothing(first, s3, bucket):
    lake = f"s3://{bucket}/lake"
    (catalog,) = (first / ".local/share/shotlog").glob("*.sqlite")
    identity = json.loads(s3.client().get_object(Bucket=bucket, Key="lake/lake.json")["Body"].read())
    assert identity == {"lake_id": catalog.stem, "format": FORMAT, "catalog": "sqlite"}
    before = keys(s3, bucket)
    again = json.loads(shotlog("tag", f"s3://{bucket}/archive/", "--lake", lake, *NULL, cwd=first, **s3.env).stdout)
    assert (again["unchanged"], again["ok"]) == (2, 0)
    assert {key for key in keys(s3, bucket) if "/taggings/" in key} == {key for key in before if "/taggings/" in key}
    assert not [key for key in keys(s3, bucket) if key.startswith("lake/work/")]


@pytest.mark.usefixtures("first")
def test_a_second_machine_reads_by_the_frozen_catalog_beside_the_data(s3, bucket, tmp_path):
    before, lake = keys(s3, bucket), ["--lake", f"s3://{bucket}/lake", "--format", "json"]
    asked = shotlog("sql", "SELECT sum(frames) AS frames FROM media", *lake, cwd=tmp_path, **s3.env)
    assert json.loads(asked.stdout) == [{"frames": 3}], asked.stderr
    assert re.fullmatch(r"the catalog of 's3://.*' isn't at hand: this is the lake as of 20\S+ \S+\n", asked.stderr)
    plan = json.loads(shotlog("plan", f"s3://{bucket}/archive/", *lake, *NULL[:2], cwd=tmp_path, **s3.env).stdout)
    assert (plan["unchanged"], plan["new"]) == (2, 0)
    assert keys(s3, bucket) == before
    assert not list(tmp_path.rglob("*.sqlite"))


@pytest.mark.usefixtures("first")
def test_whoever_may_only_read_the_bucket_attaches_the_frozen_catalog(s3, bucket, monkeypatch):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    told = json.loads(s3.client().get_object(Bucket=bucket, Key="lake/frozen/latest.json")["Body"].read())
    with open_duckdb() as con:
        open_store(f"s3://{bucket}").prepare(con)
        con.execute(told["attach"])
        assert con.execute("SELECT count(*) FROM lake.media").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "command",
    [["tag", "s3://lakes/archive/"], ["tag", "s3://lakes/archive/", "--retag"], ["maintain"]],
    ids=["write", "retag", "maintain"],
)
@pytest.mark.usefixtures("first")
def test_a_second_machine_is_told_how_to_reach_the_catalog(command, s3, bucket, tmp_path):
    before = keys(s3, bucket)
    done = shotlog(*command, "--lake", f"s3://{bucket}/lake", cwd=tmp_path, **s3.env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not on this machine" in done.stderr
    assert f"{tmp_path}/.local/share/shotlog/" in done.stderr
    assert "bring its catalog here and set SHOTLOG_CATALOG to it" in done.stderr
    assert keys(s3, bucket) == before
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_catalog_that_was_brought_along_opens_the_lake(first, s3, bucket, tmp_path):
    (catalog,) = (first / ".local/share/shotlog").glob("*.sqlite")
    shutil.copy(catalog, tmp_path / "brought.sqlite")
    reach = {**s3.env, "SHOTLOG_CATALOG": "brought.sqlite", "SHOTLOG_LAKE": f"s3://{bucket}/lake"}
    done = shotlog("sql", "SELECT count(*) AS frames FROM timestamps", "--format", "json", cwd=tmp_path, **reach)
    assert json.loads(done.stdout) == [{"frames": 3}], done.stderr


@pytest.mark.usefixtures("first")
def test_a_catalog_of_another_lake_is_refused(s3, bucket, tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    reach = {**s3.env, "SHOTLOG_CATALOG": "other.sqlite"}
    done = shotlog("tag", "in", "--lake", f"s3://{bucket}/other", *NULL, cwd=tmp_path, **reach)
    assert done.returncode == 0, done.stderr
    for command in (["tag", "in"], ["runs"]):
        done = shotlog(*command, "--lake", f"s3://{bucket}/lake", cwd=tmp_path, **reach)
        assert (done.returncode, done.stdout) == (3, "")
        assert "other.sqlite' is the catalog of another lake" in done.stderr
        assert "set SHOTLOG_CATALOG to this lake's catalog" in done.stderr
    done = shotlog("tag", "in", "--lake", f"s3://{bucket}/third", *NULL, cwd=tmp_path, **reach)
    assert done.returncode == 3
    assert "other.sqlite' is another lake's catalog: give a new SHOTLOG_CATALOG" in done.stderr


def test_who_waited_long_to_forget_has_fresh_credentials(s3, bucket, tmp_path, monkeypatch):
    lake, reach = f"s3://{bucket}/forgetful", {**s3.env, "SHOTLOG_CATALOG": str(tmp_path / "catalog.sqlite")}
    done = shotlog("tag", f"s3://{bucket}/archive/", "--lake", lake, *NULL, cwd=tmp_path, **reach)
    assert done.returncode == 0, done.stderr
    for name, value in reach.items():
        monkeypatch.setenv(name, value)
    wait = Lake.at_work

    def wait_until_they_expire(opened, *crew, **how):
        (secret,) = opened.con.execute("SELECT secret_string FROM duckdb_secrets()").fetchall()
        endpoint = re.search("endpoint=([^;]+)", secret[0])[1]
        expired = f"KEY_ID 'expired', SECRET 'expired', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false"
        opened.con.execute(f"CREATE OR REPLACE SECRET shotlog_s3 (TYPE s3, {expired})")
        return wait(opened, *crew, **how)

    monkeypatch.setattr(Lake, "at_work", wait_until_they_expire)
    assert forget({"lake": lake}, [f"s3://{bucket}/archive/cfr.mp4"])["media"] == 1


def test_from_python_too(first, s3, bucket, monkeypatch):
    for name, value in {**s3.env, "HOME": str(first)}.items():
        monkeypatch.setenv(name, value)
    with pipeline.connect(f"s3://{bucket}/lake") as con:
        assert con.execute("SELECT sum(frames) FROM media").fetchall() == [(3,)]


# --- secrets -------------------------------------------------------------------------------------------------------


class Guarded(Files):
    """Files for those who know user and password (HTTP Basic)."""

    def do_GET(self):
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic" and b64decode(given) == b"reader:pass-word-7":
            return super().do_GET()
        return self.send_error(401)


@pytest.fixture
def signed(s3, bucket):
    """Signs a key of the archive for an hour."""

    def sign(key):
        where = {"Bucket": bucket, "Key": f"archive/{key}"}
        return s3.client().generate_presigned_url("get_object", Params=where, ExpiresIn=3600)

    return sign


def secrets_of(*urls):
    """What of these URLs nobody may read: every value of a query, users and passwords."""
    values = {value for url in urls for value in re.findall(r"[?&]X-Amz-(?:Signature|Credential)=([^&]+)", url)}
    return values | {value.partition("%2F")[0] for value in values} | {"X-Amz-", "pass-word-7", "reader:"}


def everything(lake):
    """All that a lake holds: every file beside it, and every value of every table."""
    texts = [path.read_bytes().decode("latin-1") for path in Path(lake).rglob("*") if path.is_file()]
    with pipeline.connect(str(lake)) as con:
        texts += [str(con.execute(f"FROM log.{name}").fetchall()) for name in TABLES]
    return texts


def check_clean(secrets, *texts):
    found = {secret for secret in secrets for text in texts if secret in text}
    assert found == set()


def test_a_signature_or_password_reaches_no_table_file_or_message(signed, s3, tmp_path):
    fill(tmp_path / "web", "vfr.mp4")
    with serving(partial(Guarded, directory=str(tmp_path / "web"))) as web:
        guarded = web.replace("http://", "http://reader:pass-word-7@") + "/vfr.mp4"
        sources = [signed("cfr.mp4"), signed("still.webp"), guarded]
        done = shotlog("tag", *sources, "--lake", "lake", *NULL, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {name: json.loads(done.stdout)[name] for name in ("new", "ok", "failed")} == {
            "new": 3,
            "ok": 3,
            "failed": 0,
        }
        runs = shotlog("runs", "--lake", "lake", "--format", "json", cwd=tmp_path)
        check_clean(secrets_of(*sources), done.stdout, done.stderr, runs.stdout, *everything(tmp_path / "lake"))
        with pipeline.connect(str(tmp_path / "lake")) as con:
            uris = [uri for (uri,) in con.execute("SELECT uri FROM media ORDER BY uri").fetchall()]
        assert sorted(uris) == sorted(
            [f"{s3.endpoint}/lakes/archive/cfr.mp4", f"{s3.endpoint}/lakes/archive/still.webp", f"{web}/vfr.mp4"]
        )
        # another signature, another password in the URL: the same media
        again = shotlog(
            "tag", *[signed("cfr.mp4"), signed("still.webp"), guarded], "--lake", "lake", *NULL, cwd=tmp_path
        )
        assert {name: json.loads(again.stdout)[name] for name in ("new", "unchanged")} == {"new": 0, "unchanged": 3}


@pytest.mark.parametrize("spoilt", ["signature", "password", "host", "scheme"])
def test_nothing_is_told_of_a_url_that_cant_be_listed(spoilt, signed, tmp_path):
    url = signed("cfr.mp4")
    (tmp_path / "web").mkdir()
    with serving(partial(Guarded, directory=str(tmp_path / "web"))) as web:
        url = {
            "signature": url[:-6] + "000000",
            "password": web.replace("http://", "http://reader:pass-word-7x@") + "/vfr.mp4?X-Amz-Signature=abcdefabcdef",
            "host": re.sub(r"//[^/]+/", "//reader:pass-word-7@127.0.0.1:9/", url),
            "scheme": url.replace("http://", "htps://reader:pass-word-7@"),
        }[spoilt]
        done = shotlog("tag", url, "--lake", "lake", "--tagger", "null", cwd=tmp_path)
    assert done.returncode == (2 if spoilt == "scheme" else 3), done.stderr
    held = everything(tmp_path / "lake") if spoilt != "scheme" else []
    check_clean(secrets_of(url), done.stdout, done.stderr, *held)


def test_nothing_is_told_of_a_url_that_cant_be_fetched(signed, s3, bucket, tmp_path, caplog):
    """Between listing and reading the object goes; what lies beside the lake meanwhile is searched, too."""
    caplog.set_level(logging.INFO)  # what a scheduler keeps
    s3.client().upload_file(str(media("cfr.mp4")), bucket, "archive/gone.mp4")
    sources = [signed("cfr.mp4"), signed("gone.mp4")]
    request = {"sources": ",".join(sources), "lake": str(tmp_path / "lake"), "tagger": "null", "workers": 1}
    run_id = list_media(request)["run_id"]
    (batch_id,) = plan_batches(request, run_id)["batches"]
    s3.client().delete_object(Bucket=bucket, Key="archive/gone.mp4")
    done = tag_batch(request, run_id, batch_id)
    assert (done["ok"], done["failed"]) == (1, 1)
    assert (tmp_path / "lake" / "work" / run_id).is_dir()
    with pipeline.connect(request["lake"]) as con:
        ((code, error),) = con.execute("SELECT error_code, error FROM failures").fetchall()
    assert (code, error) == ("not_found", "the object was gone when it was read (HTTP 404): nothing to do")
    check_clean(secrets_of(*sources), caplog.text, *everything(tmp_path / "lake"))


def test_s3_keys_reach_no_output_and_no_lake(first, s3, bucket):
    lake = f"s3://{bucket}/lake"
    outputs = [
        shotlog(*command, "--lake", lake, cwd=first, **s3.env)
        for command in (
            ["tag", f"s3://{bucket}/archive/"],
            ["tag", f"s3://{bucket}/nothing/"],
            ["tag", "s3://no-such-bucket/"],
            ["runs", "--format", "json"],
            ["sql", "FROM duckdb_secrets()"],
            ["sql", "SELECT * FROM duckdb_settings() WHERE name LIKE '%s3%' OR name LIKE '%secret%'"],
            ["sql", "FROM log.runs"],
        )
    ]
    (catalog,) = (first / ".local/share/shotlog").glob("*.sqlite")
    objects = [s3.client().get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys(s3, bucket)]
    texts = [text for done in outputs for text in (done.stdout, done.stderr)]
    texts += [data.decode("latin-1") for data in (catalog.read_bytes(), *objects)]
    check_clean({s3.secret_key}, *texts)
