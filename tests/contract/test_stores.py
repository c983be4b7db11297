"""Every store keeps the same promises (pipeline/store/base.py). S3 is a real SeaweedFS server, http a real web server.

A new store joins by a line in SHELVES and a fixture in conftest.py. What goes wrong: test_stores_out_of_reach.py.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest
from botocore.handlers import validate_ascii_metadata

from pipeline.errors import MediaError, StoreError
from pipeline.lake.connection import open_duckdb
from pipeline.store import open_store
from pipeline.store.base import SIDECAR_BYTES
from tests.contract.shelves import BucketShelf, FolderShelf, Proxy, WebShelf, one, store_of

SHELVES = {"folder": FolderShelf, "bucket": BucketShelf, "web": WebShelf}

ODD_NAMES = (
    "a b.mp4",
    "c#d.mp4",
    "e?f=g&h.mp4",
    "100%20%.mp4",
    "i+j.mp4",
    "ünï/日本語 😀.mp4",
    "cafe\u0301.mp4",
    "q'uo\"te.mp4",
    "[0-9]*.mp4",
    "new\nline.mp4",
    "~user.mp4",
    ".hidden.mp4",
    "no_ending",
    "UPPER.MP4",
    "x" * 200 + ".mp4",
    "deep/" * 50 + "a.mp4",
)


@pytest.fixture(params=SHELVES)
def shelf(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[name for name, kind in SHELVES.items() if kind.lists_folders])
def lists(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[name for name, kind in SHELVES.items() if kind.writes])
def writes(request):
    return request.getfixturevalue(request.param)


# ---- listing


def test_any_name_is_listed_as_it_is_and_fetched(shelf, tmp_path):
    for key in ODD_NAMES:
        shelf.put(key, key.encode())
    store = store_of(shelf, *ODD_NAMES)
    sources = [shelf.root] if shelf.lists_folders else [shelf.uri(key) for key in ODD_NAMES]
    found = {media.uri: media for source in sources for media in store.list(source)}
    assert sorted(found) == sorted(shelf.uri(key) for key in ODD_NAMES)
    assert len({media.media_id for media in found.values()}) == len(ODD_NAMES)
    for key in ODD_NAMES:
        assert store.fetch(found[shelf.uri(key)], tmp_path).path.read_bytes() == key.encode()


def test_a_source_reaches_all_that_lies_under_it_and_no_sibling(lists):
    for key in ("tapes/a.mp4", "tapes/1999/12/b.mp4", "tapes-2/c.mp4", "tapes.mp4", "d.mp4"):
        lists.put(key, b"x")
    found = {media.uri for media in store_of(lists).list(lists.uri("tapes/"))}
    assert found == {lists.uri("tapes/a.mp4"), lists.uri("tapes/1999/12/b.mp4")}


def test_a_source_may_be_a_single_object(shelf):
    shelf.put("b.mp4", b"y")
    _, media = one(shelf, "a.mp4", b"12345")
    assert (media.uri, media.size_bytes, media.last_modified.tzinfo is not None) == (shelf.uri("a.mp4"), 5, True)


def test_folders_are_no_objects(bucket, folder):
    bucket.put("empty/", b"")
    (folder.folder / "empty").mkdir()
    for shelf in (bucket, folder):
        shelf.put("full/a.mp4", b"x")
        assert [media.uri for media in store_of(shelf).list(shelf.root)] == [shelf.uri("full/a.mp4")]


def test_more_keys_than_one_page_holds_are_listed_once_each(bucket):
    keys = [f"many/{number:05}.jpg" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put(key, b"x"), keys))
    assert sorted(media.uri for media in store_of(bucket).list(bucket.uri("many/"))) == [bucket.uri(k) for k in keys]


# ---- fetching


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_copy_has_the_bytes_and_their_sha256(shelf, tmp_path, size):
    data = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    store, media = one(shelf, "a.mp4", data)
    copy = store.fetch(media, tmp_path)
    assert (media.size_bytes, copy.bytes_read) == (size, size)
    assert copy.path.read_bytes() == data
    assert copy.content_id == hashlib.sha256(data).hexdigest()
    assert copy.path.suffix == ".mp4"
    assert not store.changed(media)


def test_an_object_uploaded_in_parts_is_fetched_whole(bucket, tmp_path):
    part = bytes(5 << 20)
    key, client = {"Bucket": bucket.bucket, "Key": "big.mp4"}, bucket.client
    upload = client.create_multipart_upload(**key)["UploadId"]
    done = [
        {"PartNumber": n, "ETag": client.upload_part(**key, UploadId=upload, PartNumber=n, Body=part)["ETag"]}
        for n in (1, 2)
    ]
    client.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": done})
    store = store_of(bucket)
    (media,) = store.list(bucket.root)
    assert store.fetch(media, tmp_path).content_id == hashlib.sha256(part * 2).hexdigest()


def test_threads_share_a_store(shelf, tmp_path):
    keys = [f"{number}.mp4" for number in range(24)]
    for key in keys:
        shelf.put(key, key.encode())
    store = store_of(shelf, *keys)
    media = [next(iter(store.list(shelf.uri(key)))) for key in keys]
    with ThreadPoolExecutor(8) as pool:
        copies = list(pool.map(lambda one: store.fetch(one, tmp_path), media))
    assert [copy.path.read_bytes() for copy in copies] == [key.encode() for key in keys]


def test_the_etag_changes_with_the_content_and_only_then(shelf):
    store, before = one(shelf, "a.mp4", b"one")
    (again,) = store.list(shelf.uri("a.mp4"))
    _, after = one(shelf, "a.mp4", b"three")
    assert again.etag == before.etag != after.etag
    assert before.media_id == after.media_id


def test_an_object_that_changed_after_the_listing_is_said_so(shelf, tmp_path):
    store, media = one(shelf, "a.mp4", b"one")
    shelf.put("a.mp4", b"three")
    with pytest.raises(MediaError) as caught:
        store.fetch(media, tmp_path)
    assert caught.value.code == "object_changed"


def test_who_watches_a_fetch_hears_of_every_chunk_and_may_end_it(shelf, tmp_path):
    """How Ctrl-C ends a download, and a limit one whose server said no size."""
    store, listed = one(shelf, "big.mp4", bytes(5_000_000))
    heard = []

    def watch(got_bytes):
        heard.append(got_bytes)
        if got_bytes > 2_000_000:
            raise MediaError("too_large")

    with pytest.raises(MediaError, match="larger than the limit"):
        store.fetch(listed, tmp_path, watch)
    assert 2_000_000 < heard[-1] < 4_000_000
    assert store.fetch(listed, tmp_path).bytes_read == 5_000_000


def test_an_object_that_is_gone_is_said_so(shelf, tmp_path):
    store, media = one(shelf, "a.mp4")
    shelf.remove("a.mp4")
    with pytest.raises(MediaError) as caught:
        store.fetch(media, tmp_path)
    assert caught.value.code == "not_found"


# ---- what an archive says of its media: metadata of the object, a text beside it


def put_described(bucket, key, **metadata):
    """An object whose metadata may also be what boto3 refuses to send, as other clients do."""
    bucket.client.meta.events.unregister("before-parameter-build.s3.PutObject", validate_ascii_metadata)
    bucket.client.put_object(Bucket=bucket.bucket, Key=key, Body=b"bytes", Metadata=metadata)


def test_metadata_comes_with_the_copy_keys_in_lower_case(bucket, tmp_path, monkeypatch):
    put_described(bucket, "a.mp4", Title="Harbour", Camera_ID="7", note="")
    proxy = Proxy(bucket.client.meta.endpoint_url, "ok")
    with proxy.url() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        store = store_of(bucket)
        (media,) = store.list(bucket.root)
        copy = store.fetch(media, tmp_path)
    assert copy.metadata in ({"title": "Harbour", "camera_id": "7"}, {"title": "Harbour", "camera_id": "7", "note": ""})
    assert len(proxy.asked) == 2  # the listing and the object: metadata cost no request


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("Über 日本", "Über 日本"),  # UTF-8 in the header, which SeaweedFS gives back as it came
        ("=?UTF-8?B?w5xiZXI=?=", "Über"),  # how AWS gives it back (RFC 2047)
        ("=?UTF-8?Q?=C3=9C?= =?UTF-8?Q?ber?=", "Über"),
        ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="),  # no UTF-8
        ("=?nobody?Q?x?=", "=?nobody?Q?x?="),
        ("a =? b", "a =? b"),
        ("%C3%9Cber 100%", "%C3%9Cber 100%"),  # S3 encodes nothing so: who did must know why
    ],
)
def test_metadata_reads_as_it_was_written_whatever_a_header_holds(bucket, tmp_path, sent, read):
    put_described(bucket, "a.mp4", title=sent)
    store = store_of(bucket)
    (media,) = store.list(bucket.root)
    assert store.fetch(media, tmp_path).metadata == {"title": read}


@pytest.mark.parametrize("name", ["folder", "web"])
def test_where_a_store_keeps_no_metadata_there_are_none(name, request, tmp_path):
    store, media = one(request.getfixturevalue(name), "a.mp4")
    assert store.fetch(media, tmp_path).metadata == {}


def test_a_text_beside_an_object_is_read_whatever_the_name(writes):
    for key in ODD_NAMES:
        writes.put(key, b"x")
        writes.put(f"{key}.txt", key.encode())
    store = store_of(writes)
    found = [media for media in store.list(writes.root) if not media.uri.endswith(".txt")]
    assert len(found) == len(ODD_NAMES)
    for media in found:
        assert store.beside(media, ".txt") == media.uri.removeprefix(writes.root).encode()


def test_where_no_text_lies_beside_an_object_there_is_none(writes):
    for key in ("a.txt", "b.mp4.txt", "a.mp4.txt2", "a.mp4.json/b"):
        writes.put(key, b"x")
    store, media = one(writes, "a.mp4")
    assert [store.beside(media, ending) for ending in (".txt", ".json", "." + "x" * 2000)] == [None, None, None]


@pytest.mark.parametrize("size", [0, SIDECAR_BYTES, SIDECAR_BYTES + 1, 3_000_000])
def test_of_a_text_beside_an_object_no_more_is_read_than_its_beginning(writes, size):
    data = bytes(number % 251 for number in range(size))
    writes.put("a.mp4.txt", data)
    store, media = one(writes, "a.mp4")
    assert store.beside(media, ".txt") == data[:SIDECAR_BYTES]


def test_a_url_has_nothing_beside_it(web):
    web.put("a.mp4.txt", b"x")
    store, media = one(web, "a.mp4")
    assert store.beside(media, ".txt") is None


class TestATextBesideThatS3Denies:
    """AWS says so of a missing key, too, to whom no policy lets list the whole bucket; here a proxy says it for it."""

    @pytest.fixture
    def denied(self, bucket, monkeypatch):
        """A store and a media object of it, behind a proxy that denies the next request and those that `faults` say."""
        _, media = one(bucket, "a.mp4")
        proxy = Proxy(bucket.client.meta.endpoint_url, "denied", "ok")
        with proxy.url() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            yield open_store(bucket.root), media, proxy

    def test_is_not_there_where_the_listing_has_none(self, denied, bucket):
        bucket.put("a.mp4.txt2", b"x")
        store, media, proxy = denied
        assert store.beside(media, ".txt") is None
        assert len(proxy.asked) == 2

    def test_is_denied_where_the_listing_has_it(self, denied, bucket):
        bucket.put("a.mp4.txt", b"x")
        store, media, _ = denied
        with pytest.raises(MediaError) as caught:
            store.beside(media, ".txt")
        assert caught.value.code == "access_denied"

    def test_is_denied_where_the_listing_is_denied_too(self, denied):
        store, media, proxy = denied
        proxy.faults = ["denied"]
        with pytest.raises(MediaError) as caught:
            store.beside(media, ".txt")
        assert caught.value.code == "access_denied"


def test_a_text_beside_is_asked_for_again_and_never_taken_for_missing_where_the_server_fails(bucket, monkeypatch):
    bucket.put("a.mp4.txt", b"0123456789")
    _, media = one(bucket, "a.mp4")
    proxy = Proxy(bucket.client.meta.endpoint_url, "cut", "lost", "busy", "ok")
    with proxy.url() as url, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", url)
        store = open_store(bucket.root)
        assert store.beside(media, ".txt") == b"0123456789"
        proxy.faults = ["cut"]
        with pytest.raises(MediaError) as caught:
            store.beside(media, ".txt")
    assert caught.value.code == "unreadable"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(MediaError) as caught:
        open_store(bucket.root).beside(media, ".txt")
    assert caught.value.code == "access_denied"


# ---- the small objects of a lake


def test_what_is_written_is_read_named_and_deleted(writes):
    store, uri = store_of(writes), writes.uri("lake/work/run 1/ä.json")
    assert store.read(uri) is None
    assert store.write(uri, b"one")
    assert store.write(uri, b"two")
    assert (store.read(uri), list(store.names(writes.uri("lake")))) == (b"two", [uri])
    store.delete(uri)
    store.delete(uri)
    assert (store.read(uri), list(store.names(writes.uri("lake")))) == (None, [])


def test_names_reach_all_below_a_folder_and_no_sibling(writes):
    store = store_of(writes)
    for key in ("work/a", "work/b/c/d", "work-2/e", "worked"):
        store.write(writes.uri(key), b"")
    for prefix in ("work", "work/"):
        assert sorted(store.names(writes.uri(prefix))) == [writes.uri("work/a"), writes.uri("work/b/c/d")]


def test_clearing_a_folder_leaves_nothing_below_it_and_every_sibling(writes):
    store = store_of(writes)
    for key in ("work/a/b", "work/a/c/d", "work/ab"):
        store.write(writes.uri(key), b"")
    writes.put("work/a/c/.part-0", b"")  # how a folder's writer calls what isn't whole yet
    store.clear(writes.uri("work/a"))
    store.clear(writes.uri("work/a"))
    assert [media.uri for media in store.list(writes.uri("work/"))] == [writes.uri("work/ab")]


def test_if_absent_writes_only_where_nothing_is(writes):
    store, uri = store_of(writes), writes.uri("lake.json")
    assert store.write(uri, b"first", if_absent=True)
    assert not store.write(uri, b"second", if_absent=True)
    assert store.read(uri) == b"first"


def test_of_many_that_write_if_absent_exactly_one_wins(writes):
    store, uri, start = store_of(writes), writes.uri("lake.json"), threading.Barrier(16)
    writes.put("first", b"")  # SeaweedFS takes seconds over a race for a bucket's very first object

    def write(number):
        start.wait()
        return store.write(uri, str(number).encode(), if_absent=True)

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))
    assert won.count(True) == 1
    assert store.read(uri) == str(won.index(True)).encode()


def test_writers_and_deleters_in_one_folder_do_not_disturb_each_other(writes):
    store, rounds = store_of(writes), 20 if "://" in writes.root else 300

    def keep_and_drop(number):
        uri = writes.uri(f"journal/{number}.json")
        for _ in range(rounds):
            store.write(uri, b"x")
            assert store.read(uri) == b"x"
            store.delete(uri)

    with ThreadPoolExecutor(2) as pool:  # two empty the folder most often
        list(pool.map(keep_and_drop, range(2)))
    assert list(store.names(writes.uri("journal"))) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda store, uri: store.read(uri),
        lambda store, uri: store.write(uri, b""),
        lambda store, uri: store.names(uri),
        lambda store, uri: store.delete(uri),
        lambda store, uri: store.clear(uri),
        lambda store, _: store.prepare(duckdb.connect()),
    ],
)
def test_a_read_only_store_says_where_a_lake_can_lie(web, use):
    with pytest.raises(StoreError, match=r"a lake can't lie behind an http\(s\) URL: give a folder or s3://"):
        use(store_of(web), web.uri("lake.json"))


# ---- DuckDB


@pytest.fixture
def con():
    with open_duckdb() as con:
        yield con


def test_duckdb_reads_and_writes_what_the_store_does(writes, con):
    store = store_of(writes)
    store.prepare(con)
    con.execute(f"COPY (SELECT 42 AS answer) TO '{writes.uri('data.parquet')}'")
    assert con.execute(f"FROM '{writes.uri('data.parquet')}'").fetchall() == [(42,)]
    store.write(writes.uri("a.csv"), b"x\n1\n")
    assert con.execute(f"FROM '{writes.uri('a.csv')}'").fetchall() == [(1,)]


def test_only_signed_extensions_are_loaded_later(con):
    with pytest.raises(duckdb.Error):
        con.execute("SET allow_unsigned_extensions = true")


def test_nobody_reads_the_credentials_out_of_duckdb(bucket, s3, con):
    store_of(bucket).prepare(con)
    shown = con.execute("FROM duckdb_secrets()").fetchall()
    assert len(shown) == 1
    assert s3.secret_key not in str(shown)
    with pytest.raises(duckdb.Error):
        con.execute("SET allow_unredacted_secrets = true")
    with open_duckdb() as other:
        assert other.execute("FROM duckdb_secrets()").fetchall() == []


def test_duckdb_without_credentials_is_a_sentence(bucket, con, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StoreError, match="no S3 credentials were found"):
        store_of(bucket).prepare(con)


def test_a_quote_in_the_credentials_is_no_sql(bucket, con, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "it's'; DROP TABLE x; --")
    store_of(bucket).prepare(con)
    assert len(con.execute("FROM duckdb_secrets()").fetchall()) == 1
