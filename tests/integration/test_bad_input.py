"""Bad input has a code or an exit code, a sentence and a next step; no file stops a run (DESIGN.md §5.1, §7)."""

import ctypes
import json
import re
import shutil

import pytest

from demo.services import s3_server
from pipeline.errors import CODES
from tests.integration.doors import ask, files, fill, shotlog, tag, upload
from tests.media import BAD, media, names


def film(name):
    """The name under which a listing takes it for a video: a sound file is none by its own."""
    return f"{name}.mp4" if name.endswith(".m4a") else name


# --- media ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A lake of every healthy and every bad file there is, tagged by one run at the command line."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in names(healthy=True, bad=True):
        fill(folder / "in", f"{film(name)}={name}")
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "lake", json.loads(done.stdout), done.stderr


def test_bad_files_stop_no_run(mixed):
    lake, summary, _ = mixed
    assert summary["state"] == "finished"
    assert summary["listed"] == len(names(healthy=True, bad=True))
    assert summary["ok"] == len(names())
    assert summary["partial"] + summary["failed"] + summary["skipped"] == len(BAD)
    assert files(lake, "media WHERE status = 'ok'") == sorted(names(), key=lambda name: name)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_row_with_its_code_a_sentence_and_a_next_step(name, mixed):
    lake, _, stderr = mixed
    query = "SELECT status, error_code, error FROM failures WHERE parse_filename(uri) = "
    ((status, code, error),) = ask(lake, f"{query}'{film(name)}'")
    assert code == BAD[name]
    assert status in ("partial", CODES[code].status)
    assert error.startswith(CODES[code].sentence)
    assert error.endswith(CODES[code].next_step)
    (line,) = (line for line in stderr.splitlines() if f"/in/{film(name)}: " in line)
    assert line == f"{status}: {lake.parent}/in/{film(name)}: {error}"


@pytest.mark.parametrize(
    ("names", "code"), [(["text.mp4"], 0), (["truncated.mp4"], 1), (["empty.mp4", "cfr.mp4"], 1), (["cfr.mp4"], 0)]
)
def test_failed_media_make_an_exit_code_only_where_that_is_asked_for(names, code, tmp_path):
    fill(tmp_path / "in", *names)
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", "--fail-on-error", cwd=tmp_path)
    assert done.returncode == code, done.stderr


def test_names_that_look_like_markup_or_patterns_are_shown_as_they_are(tmp_path):
    odd = ["[red]cat[bold].mp4", ":cat:.mp4", "a b%20'\"$x.mp4", "*?.mp4", "日本.mp4"]
    fill(tmp_path / "in", *(f"{name}=empty.mp4" for name in odd))
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", cwd=tmp_path)
    for name in odd:
        assert f"failed: {tmp_path}/in/{name}: the object has no bytes: upload it again\n" in done.stderr
    shown = shotlog("sql", "SELECT parse_filename(uri) FROM failures", "--lake", "lake", cwd=tmp_path).stdout
    assert sorted(line.rstrip() for line in shown.splitlines()[1:]) == sorted(odd)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an archive `in`, its `lake`, and things that are none."""
    folder = tmp_path_factory.mktemp("place")
    fill(folder / "in", "cfr.mp4")
    tag(folder / "lake", folder / "in")
    (folder / "file").write_text("not a lake")
    fill(folder / "photos", "still.webp")
    for name, text in {
        "newer": json.dumps({"lake_id": "a1", "format": 99, "catalog": "sqlite"}),
        "postgres": json.dumps({"lake_id": "a1", "format": 1, "catalog": "postgres"}),
        "oracle": json.dumps({"lake_id": "a1", "format": 1, "catalog": "oracle"}),
        "number": "5",
        "words": json.dumps({"lake_id": 1, "format": "one", "catalog": None}),
    }.items():
        (folder / name).mkdir()
        (folder / name / "lake.json").write_text(text)
    shutil.copytree(folder / "lake", folder / "damaged")
    (folder / "damaged" / "catalog.sqlite").write_bytes(b"no database at all" * 100)
    (folder / "latin.sql").write_bytes("SELECT 'é'".encode("latin-1"))
    (folder / "empty.sql").write_text("-- nothing\n")
    return folder


# --- no permission -------------------------------------------------------------------------------------------------


def mere_mortal():
    """Take from root what lets it ignore permission bits: PR_CAPBSET_DROP of CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def test_a_file_that_may_not_be_read_is_a_row_and_tried_again(tmp_path):
    fill(tmp_path / "in", "cfr.mp4", "vfr.mp4")
    (tmp_path / "in" / "cfr.mp4").chmod(0)
    command = ["tag", "in", "--lake", "lake", "--tagger", "null", "--format", "json"]
    done = shotlog(*command, cwd=tmp_path, preexec_fn=mere_mortal)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, 1)
    ((code, error),) = ask(tmp_path / "lake", "SELECT error_code, error FROM failures")
    assert code == "access_denied"
    assert error.startswith("reading the object was refused (Permission denied): check")
    (tmp_path / "in" / "cfr.mp4").chmod(0o644)
    assert tag(tmp_path / "lake", tmp_path / "in")["retried"] == 1
    assert files(tmp_path / "lake") == ["cfr.mp4", "vfr.mp4"]


@pytest.mark.parametrize(
    ("closed", "command", "sentence"),
    [
        ("in", ["tag", "in", "--lake", "new"], "the folder '.*in/?' can't be listed (Permission denied): check its "),
        (".", ["tag", "in", "--lake", "new"], "a lake can't be written at '.*new' (Permission denied): give a --lake"),
        ("lake", ["tag", "in", "--lake", "lake"], "the catalog '.*' can't be opened (.*): check that you may write"),
        ("lake", ["sql", "archive", "--lake", "lake"], "the catalog '.*' can't be opened (.*): check that you may"),
        ("lake/lake.json", ["runs", "--lake", "lake"], "'.*lake.json' can't be read (Permission denied): check the"),
    ],
)
def test_a_place_that_may_not_be_used_is_a_sentence(closed, command, sentence, place, tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    shutil.copytree(place / "lake", tmp_path / "lake")
    path = tmp_path / closed
    path.chmod(0o555 if path.is_dir() and closed != "in" else 0)
    try:
        done = shotlog(*command, cwd=tmp_path, preexec_fn=mere_mortal)
    finally:
        path.chmod(0o755)
    check_said(done, 3, sentence.replace("(", r"\(").replace(")", r"\)"))


# --- the command ---------------------------------------------------------------------------------------------------


def check_said(done, code, sentence):
    """The command ended with this code and one sentence, and nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("shotlog: ")]
    assert len(lines) == 1, done.stderr
    assert re.match(f"shotlog: {sentence}", done.stderr[done.stderr.index(lines[0]) :]), done.stderr


WRONG = {  # exit code 2: wrong usage or settings, nothing was done
    "unknown tagger": (["tag", "in", "--tagger", "bulitin"], "unknown tagger 'bulitin': known are .*did"),
    "unknown sampling": (
        ["tag", "in", "--sampling", "unifrom"],
        "unknown sampling policy 'unifrom': known are every:5s, keyframes, shots, ",
    ),
    "unknown kind": (["tag", "in", "--metadata", "tags,colours"], "unknown metadata kind 'colours': known are actions"),
    "no kind": (["tag", "in", "--metadata", ","], "metadata is empty: give some of categories, "),
    "unknown decoder": (["tag", "in", "--decoder", "ffmpeg"], "unknown decoder 'ffmpeg': known are auto, decord, pyav"),
    "unknown scheme": (["tag", "gs://bucket/"], "unknown URI scheme 'gs': known are file, http, https, s3"),
    "nothing to tag": (["tag"], "nothing to tag: give s3://bucket/prefix, a folder, a file or an https URL"),
    "an empty URI": (["tag", ""], "a URI is empty: give s3://bucket/prefix, a folder"),
    "a blank URI": (["tag", "in", "  "], "a URI is empty: give"),
    "no bucket": (["tag", "s3://"], "'s3://' names no bucket: write s3://bucket/prefix"),
    "no host": (["tag", "https://"], "a https URL has no valid host or port: write https://host/path"),
    "a key in an S3 URI": (
        ["tag", "s3://AK:SECRET@films/x"],
        "an s3 URI holds no key: write s3://films/…, and set AWS_",
    ),
    "a limit of none": (
        ["tag", "in", "--limit", "0"],
        r"limit can't be 0: input should be greater than .* \(tag at most",
    ),
    "no frames": (
        ["tag", "in", "--max-frames", "0"],
        "max_frames can't be '0': input should be greater than or equal ",
    ),
    "frames in words": (["tag", "in", "--max-frames", "many"], r"max_frames can't be 'many': .*\(look at no more "),
    "no workers": (["tag", "in", "--workers", "0"], "workers can't be 0: input should be greater"),
    "a lake behind https": (
        ["runs", "--lake", "https://u:SECRET@x.org/?sig=SECRET"],
        "a lake can't lie at 'https://x.org/'",
    ),
    "unknown query": (["sql", "storybord"], "unknown query 'storybord': known are .* did you mean storyboard"),
    "unknown view": (
        ["sql", "FROM medai", "--lake", "lake"],
        "the query can't be run: .*medai does not exist!\nDid you ",
    ),
    "unknown column": (
        ["sql", "SELECT url FROM media", "--lake", "lake"],
        'the query can\'t be run: .*"url" not found',
    ),
    "a syntax error": (
        ["sql", "SELEC 1", "--lake", "lake"],
        'the query can\'t be run: .*syntax error at or near "SELEC"',
    ),
    "no statement": (["sql", "/* what now */", "--lake", "lake"], "the query holds no statement: give one"),
    "no statement in a file": (["sql", "empty.sql", "--lake", "lake"], "the query holds no statement: give one"),
    "no such file": (["sql", "none.sql", "--lake", "lake"], r"the query 'none.sql' can't be read \(No such file"),
    "not UTF-8": (
        ["sql", "latin.sql", "--lake", "lake"],
        r"the query 'latin.sql' can't be read \(it is not UTF-8\): give",
    ),
    "writing": (["sql", "DELETE FROM log.taggings", "--lake", "lake"], "the query can't be run: .*read-only"),
}

IMPOSSIBLE = {  # exit code 3: could not be done, finished work kept
    "no such source": (
        ["tag", "nowhere", "--lake", "other"],
        "there is no folder or file '.*/nowhere': check the path",
    ),
    "no lake to ask": (
        ["sql", "archive", "--lake", "none"],
        "there is no lake at '.*/none': `shotlog tag SOURCE --lake ",
    ),
    "no lake to list": (
        ["runs", "--lake", "none"],
        "there is no lake at '.*/none': `shotlog tag SOURCE --lake .*` makes one",
    ),
    "a file as lake": (
        ["tag", "in", "--lake", "file"],
        r"a lake can't be written at '.*/file' \(File exists\): give a --la",
    ),
    "a file to ask": (["runs", "--lake", "file"], "there is no lake at '.*/file': "),
    "other things": (
        ["tag", "in", "--lake", "photos"],
        "'.*/photos' is a folder with something else in it: give a new or",
    ),
    "no room": (["tag", "in", "--lake", "/proc/lake"], r"a lake can't be written at '/proc/lake' \(No such file or "),
    "a newer lake": (
        ["tag", "in", "--lake", "newer"],
        r"the lake at '.*/newer' has format 99, this shotlog knows \d+: upgr",
    ),
    "a newer lake to ask": (
        ["runs", "--lake", "newer"],
        r"the lake at .* has format 99, this shotlog knows \d+: upgrade sho",
    ),
    "another catalog": (
        ["runs", "--lake", "oracle"],
        "the lake at '.*' has a catalog of kind 'oracle', .*: upgrade",
    ),
    "a catalog in Postgres": (
        ["runs", "--lake", "postgres"],
        "the catalog of the lake at '.*' is in Postgres: set SHOTLOG_CATALOG to postgresql://user:pass",
    ),
    "a number as lake": (
        ["runs", "--lake", "number"],
        "'.*/number/lake.json' is not a lake's: give another --lake, or ",
    ),
    "words as lake": (
        ["tag", "in", "--lake", "words"],
        "'.*/words/lake.json' is not a lake's: give another --lake, or",
    ),
    "a damaged catalog": (["runs", "--lake", "damaged"], r"the catalog '.*' can't be opened \((.|\n)*\): check that"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_a_sentence_and_nothing_is_done(case, place):
    command, sentence = WRONG[case]
    before = sorted(place.rglob("*"))
    done = shotlog(*command, cwd=place)
    check_said(done, 2, sentence)
    assert "SECRET" not in done.stderr
    assert [path for path in sorted(place.rglob("*")) if path not in before and "sqlite-" not in path.name] == []


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_cant_be_done_is_a_sentence(case, place):
    command, sentence = IMPOSSIBLE[case]
    check_said(shotlog(*command, cwd=place), 3, sentence)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (b"tagger = [", "shotlog.toml is not valid TOML: "),
        (b"\xff\xfe\x00", "shotlog.toml is not valid TOML: "),
        (b'tager = "null"', "unknown setting 'tager': known are .* did you mean tagger"),
        (b"limit = -1", r"limit can't be -1: input should be greater .*\(tag at most"),
        (b"[tag]\nlimit = 1", "unknown setting 'tag'"),
        (b"sources = 5", "sources can't be 5: "),
    ],
)
def test_a_settings_file_that_cant_be_meant_is_a_sentence(file, sentence, tmp_path):
    (tmp_path / "shotlog.toml").write_bytes(file)
    check_said(shotlog("runs", cwd=tmp_path), 2, sentence)


def test_a_setting_nobody_knows_is_a_sentence(tmp_path):
    sentence = "unknown setting 'SHOTLOG_TAGER': known are .* did you mean SHOTLOG_TAGGER"
    check_said(shotlog("runs", cwd=tmp_path, SHOTLOG_TAGER="null"), 2, sentence)


def test_what_the_parser_refuses_is_wrong_usage_too(tmp_path):
    for command in (
        ["tga"],
        ["tag", "--tager", "null"],
        ["tag", ".", "--limit", "few"],
        ["runs", "--format", "xml"],
        ["sql"],
    ):
        done = shotlog(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "--help" in done.stderr


def test_a_lost_data_file_is_named_and_repaired_so_that_its_media_are_tagged_again(tmp_path):
    fill(tmp_path / "in", "cfr.mp4", "still.webp")
    lake = tmp_path / "lake"
    tag(lake, tmp_path / "in", max_frames=1)
    lost = {
        name: one for name in ("timestamps", "taggings") for one in (lake / "data" / "log" / name).glob("*.parquet")
    }
    tag(lake, tmp_path / "in", retag=True)
    for name, command in {
        "timestamps": [["sql", "FROM log.timestamps"], ["maintain"]],
        "taggings": [["tag", "in"], ["sql", "FROM media"]],
    }.items():
        lost[name].unlink()
        sentence = (
            f"the lake at '{lake}' has lost a data file, '{lost[name]}': restore it from a backup, or see with `sh"
        )
        for one in command:
            check_said(shotlog(*one, "--lake", "lake", cwd=tmp_path), 3, sentence)
    due = shotlog("maintain", "--lake", "lake", "--repair", "--dry-run", "--format", "json", cwd=tmp_path)
    told = json.loads(due.stdout)
    assert told == {"files": [f"{name}/{one.name}" for name, one in sorted(lost.items())], "rows": 4, "taggings": None}
    assert due.stderr.splitlines() == [f"lost: {name}" for name in told["files"]]
    done = shotlog("maintain", "--lake", "lake", "--repair", "--format", "csv", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["lost,count", "files,2", "rows,4", "taggings,0"])
    assert files(lake) == ["cfr.mp4", "still.webp"], "the later look is whole"
    (later,) = (lake / "data" / "log" / "timestamps").glob("*.parquet")
    later.unlink()
    assert shotlog("maintain", "--lake", "lake", "--repair", cwd=tmp_path).returncode == 0
    assert files(lake) == []
    assert tag(lake, tmp_path / "in")["new"] == 2
    assert files(lake) == ["cfr.mp4", "still.webp"]


# --- S3 ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(s3):
    upload(s3, "bad-input", "in", "cfr.mp4", "text.mp4")
    return "s3://bad-input/in/"


@pytest.mark.parametrize(
    ("source", "more", "sentence"),
    [
        ("s3://no-such-bucket/x/", {}, "there is no bucket 'no-such-bucket': check the name and the endpoint"),
        ("s3://Not_A_Name!/x/", {}, "'Not_A_Name!' can't be a bucket's name: write s3://bucket/prefix"),
        (
            None,
            {"AWS_SECRET_ACCESS_KEY": "WRONG"},
            r"S3 refused access to '.*' \(SignatureDoesNotMatch\): check AWS_ACC",
        ),
        (
            None,
            {"AWS_ACCESS_KEY_ID": "NOBODY"},
            r"S3 refused access to '.*' \(InvalidAccessKeyId\): check AWS_ACCESS_K",
        ),
        (
            None,
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "S3 at http://127.0.0.1:9 can't be reached .*: check AWS_",
        ),
        (None, {"AWS_ENDPOINT_URL_S3": "nonsense"}, "S3's endpoint is no URL: set AWS_ENDPOINT_URL_S3 to https://host"),
        (None, {"AWS_PROFILE": "nobody"}, "S3 can't be set up: .*nobody.*"),
    ],
)
@pytest.mark.parametrize("what", ["source", "lake"])
def test_a_store_out_of_reach_is_a_sentence(what, source, more, sentence, bucket, s3, tmp_path):
    place = source or bucket
    command = ["tag", place, "--lake", "lake"] if what == "source" else ["runs", "--lake", place]
    done = shotlog(*command, cwd=tmp_path, **{**s3.env, **more})
    check_said(done, 3, sentence)
    assert s3.secret_key not in done.stderr


def test_no_credentials_at_all_is_a_sentence(bucket, s3, tmp_path):
    endpoint = {"AWS_ENDPOINT_URL_S3": s3.endpoint}
    check_said(
        shotlog("tag", bucket, "--lake", "lake", cwd=tmp_path, **endpoint),
        3,
        "no S3 credentials were found .*: check AWS",
    )


def test_an_object_that_may_be_listed_and_not_read_is_a_row(tmp_path):
    """A server of its own: what may be read is said where a server starts."""
    keys = [{"accessKey": who, "secretKey": f"{who}-secret"} for who in ("owner", "lister")]
    rights = [["Admin", "Read", "Write", "List"], ["List"]]
    identities = [
        {"name": key["accessKey"], "credentials": [key], "actions": actions}
        for key, actions in zip(keys, rights, strict=True)
    ]
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "s3.json").write_text(json.dumps({"identities": identities}))
    with s3_server(tmp_path / "server") as server:
        server.client().create_bucket(Bucket="films")
        server.client().upload_file(str(media("cfr.mp4")), "films", "a.mp4")
        fill(tmp_path / "in", "vfr.mp4")
        command = ["tag", "s3://films/", "in", "--lake", "lake", "--tagger", "null", "--format", "json"]
        lister = {"AWS_ACCESS_KEY_ID": "lister", "AWS_SECRET_ACCESS_KEY": "lister-secret"}
        done = shotlog(*command, cwd=tmp_path, **{**server.env, **lister})
        assert done.returncode == 0, done.stderr
        assert {name: json.loads(done.stdout)[name] for name in ("ok", "failed")} == {"ok": 1, "failed": 1}
        ((uri, code, error),) = ask(tmp_path / "lake", "SELECT uri, error_code, error FROM failures")
        assert (uri, code) == ("s3://films/a.mp4", "access_denied")
        assert error == "reading the object was refused (AccessDenied): check the credentials and the policy"
        again = json.loads(shotlog(*command, cwd=tmp_path, **server.env).stdout)
        assert {name: again[name] for name in ("retried", "ok", "failed")} == {"retried": 1, "ok": 1, "failed": 0}
