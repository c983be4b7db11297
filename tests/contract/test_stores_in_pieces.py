"""Objects read by ranges: the same bytes as a whole copy has, of one version, or an error; never a mix of two."""

from __future__ import annotations

import hashlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from pipeline.errors import MediaError
from pipeline.model import MediaObject
from pipeline.store import open_store
from pipeline.store.parts import PART_BYTES
from pipeline.store.sparse import SparseCopy
from tests.contract.shelves import Proxy, RangedFiles, RangesShelf, one, said, serving, store_of

DATA = bytes(number % 251 for number in range(1_000_003))


@pytest.fixture
def ranged_web(tmp_path):
    shelves = []
    (tmp_path / "pieces").mkdir()
    with serving(lambda *args: RangedFiles(shelves[0], *args)) as url:
        shelves.append(RangesShelf(tmp_path / "pieces", url))
        yield shelves[0]


@pytest.fixture(params=["bucket", "ranged_web"])
def pieces(request):
    """A shelf of every store that can give pieces."""
    return request.getfixturevalue(request.param)


def code_of(use):
    with pytest.raises(MediaError) as caught:
        use()
    return caught.value.code


# ---- what both stores promise


def test_ranges_give_the_bytes_of_a_copy(pieces, tmp_path):
    store, media = one(pieces, "clip 1.mp4", DATA)
    ranges = store.ranges(media)
    copied = store.fetch(media, tmp_path).path.read_bytes()
    assert ranges.size_bytes == len(DATA)
    for start, stop in ((0, 1), (0, len(DATA)), (len(DATA) - 1, len(DATA)), (262_144, 524_288), (7, 999_999)):
        assert ranges.read(start, stop) == copied[start:stop]


def test_a_sparse_copy_holds_what_was_brought_and_zeros(pieces, tmp_path):
    store, media = one(pieces, "clip 1.mp4", DATA)
    sparse = SparseCopy(store.ranges(media), tmp_path / "sparse")
    sparse.bring([(10, 20), (500_000, 600_000)])
    sparse.bring([(15, 30), (len(DATA) - 5, len(DATA) + 5)])
    there = [(10, 30), (500_000, 600_000), (len(DATA) - 5, len(DATA))]
    assert sparse.pieces == there
    assert (sparse.bytes_read, sparse.requests) == (100_025, 4)
    expected = bytearray(len(DATA))
    for start, stop in there:
        expected[start:stop] = DATA[start:stop]
    assert sparse.path.read_bytes() == expected


def test_a_range_past_the_end_is_a_mistake_of_who_asks(pieces):
    store, media = one(pieces, "a.mp4", b"0123456789")
    ranges = store.ranges(media)
    for start, stop in ((0, 11), (10, 11), (10, 10), (5, 4), (-1, 3)):
        with pytest.raises(ValueError, match=f"a range must lie within 0 and 10, got {start} to {stop}"):
            ranges.read(start, stop)


@pytest.mark.parametrize("after", [b"another" * 200_000, b"short", b""])
def test_an_object_that_changes_between_two_ranges_is_said_so_and_never_mixed(pieces, after):
    store, media = one(pieces, "a.mp4", DATA)
    ranges = store.ranges(media)
    assert ranges.read(0, 1000) == DATA[:1000]
    pieces.put("a.mp4", after)
    for start in (0, 1000, len(DATA) - 1000):
        assert code_of(lambda at=start: ranges.read(at, at + 1000)) == "object_changed"
    pieces.put("a.mp4", DATA)  # as it was: the ETag is that of the bytes
    assert ranges.read(1000, 2000) == DATA[1000:2000]


def test_an_object_that_changed_after_the_listing_gives_no_range(pieces):
    store, media = one(pieces, "a.mp4", DATA)
    pieces.put("a.mp4", DATA[::-1])
    assert code_of(lambda: store.ranges(media).read(0, 10)) == "object_changed"


def test_an_object_deleted_between_two_ranges_is_not_found(pieces):
    store, media = one(pieces, "a.mp4", DATA)
    ranges = store.ranges(media)
    ranges.read(0, 1000)
    pieces.remove("a.mp4")
    assert code_of(lambda: ranges.read(1000, 2000)) == "not_found"
    assert code_of(lambda: store.ranges(media).read(0, 10)) == "not_found"


def test_who_watches_hears_how_much_of_a_range_has_come_and_may_end_it(pieces):
    """How Ctrl-C ends a range of a slow server."""
    store, media = one(pieces, "a.mp4", bytes(3_000_000))
    heard, limit = [], 10_000_000

    def watch(got_bytes):
        heard.append(got_bytes)
        if got_bytes > limit:
            raise MediaError("unreadable", "interrupted")

    ranges = store.ranges(media, watch)
    ranges.read(100, 2_500_100)
    assert (heard[-1], heard == sorted(heard)) == (2_500_000, True)
    limit, heard[:] = 0, []
    with pytest.raises(MediaError, match="interrupted"):
        ranges.read(0, 3_000_000)
    assert heard[-1] < 3_000_000


def test_threads_read_ranges_of_one_store_at_once(pieces):
    keys = [f"{number}.mp4" for number in range(8)]
    for key in keys:
        pieces.put(key, key.encode() * 100_000)
    store = store_of(pieces, *keys)
    media = [next(iter(store.list(pieces.uri(key)))) for key in keys]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda one: store.ranges(one).read(5, 400_000), media))
    assert read == [(key.encode() * 100_000)[5:400_000] for key in keys]


def test_an_empty_object_has_no_pieces(pieces):
    store, media = one(pieces, "a.mp4", b"")
    assert store.ranges(media) is None


@pytest.mark.parametrize("name", ["folder", "web"])
def test_where_pieces_gain_nothing_or_cannot_be_had_there_are_none(name, request, tmp_path):
    store, media = one(request.getfixturevalue(name), "a.mp4", DATA)
    assert store.ranges(media) is None
    assert store.fetch(media, tmp_path).path.read_bytes() == DATA


@pytest.fixture(params=["bucket", "ranged_web"])
def spoilt(request, monkeypatch):
    """Ranges of an object behind a proxy, and the proxy, which has passed everything on so far."""
    shelf = request.getfixturevalue(request.param)
    shelf.put("a.mp4", DATA)
    proxy = Proxy(shelf.client.meta.endpoint_url if request.param == "bucket" else shelf.root, "ok")
    with proxy.url() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        source = shelf.uri("a.mp4") if request.param == "bucket" else f"{url}/a.mp4"
        store = open_store(source, (source,))
        ranges = store.ranges(next(iter(store.list(source))))
        proxy.asked = []
        yield ranges, proxy


def test_a_range_that_breaks_off_is_asked_for_again(spoilt):
    ranges, proxy = spoilt
    proxy.faults = ["cut", "lost", "busy", "ok"]
    assert ranges.read(1000, 500_000) == DATA[1000:500_000]
    assert len(proxy.asked) == 4


def test_a_range_that_breaks_off_again_and_again_is_unreadable(spoilt):
    ranges, proxy = spoilt
    proxy.faults = ["cut"]
    assert code_of(lambda: ranges.read(0, 500_000)) == "unreadable"
    assert len(proxy.asked) == 4


def test_what_no_server_should_answer_is_refused_at_once(spoilt):
    ranges, proxy = spoilt
    for fault, code in (("whole", "unreadable"), ("unmatched", "object_changed"), ("denied", "access_denied")):
        proxy.faults, proxy.asked = [fault], []
        assert code_of(lambda: ranges.read(0, 1000)) == code
        assert len(proxy.asked) == 1


# ---- web servers that can't be trusted with ranges


@pytest.mark.parametrize("manner", ["ignores_ranges", "weak", "no_etag", "packed", "shrunk"])
def test_a_server_that_gives_no_exact_ranges_is_asked_for_all(ranged_web, tmp_path, manner):
    store, media = one(ranged_web, "a.mp4", DATA)
    ranged_web.manner = manner
    assert store.ranges(media) is None
    assert store.fetch(media, tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("manner", "code", "seen"),
    [
        ("ignores_ranges", "unreadable", "HTTP 200 in answer to a range"),  # and there is no end to what it sends
        ("shifted", "unreadable", "the range bytes 101-200/1000003 in place of 100-199/1000003"),
        ("resized", "unreadable", "the range bytes 100-199/1000004 in place of 100-199/1000003"),
        ("short", "unreadable", "99 of 100 bytes"),
        ("long", "unreadable", "more than 100 bytes"),
        ("packed", "unreadable", "the server packs ranges"),
        ("no_etag", "object_changed", ""),
        ("weak", "object_changed", ""),
        ("shrunk", "object_changed", ""),
    ],
)
def test_an_answer_that_is_not_the_range_asked_for_is_refused(ranged_web, manner, code, seen):
    store, media = one(ranged_web, "a.mp4", DATA)
    ranges = store.ranges(media)
    ranged_web.manner = manner
    with pytest.raises(MediaError) as caught:
        ranges.read(100, 200)
    assert (caught.value.code, seen in str(caught.value)) == (code, True)
    ranged_web.manner = "unsized"
    assert ranges.read(100, 200) == DATA[100:200]


def test_every_range_names_its_version_and_one_that_the_server_ignores_is_still_noticed(ranged_web):
    store, media = one(ranged_web, "a.mp4", DATA)
    ranges = store.ranges(media)
    ranged_web.asked.clear()
    ranges.read(0, 10)
    ranges.read(10, 20)
    assert [asked["if-match"] for asked in ranged_web.asked] == [f'"{media.etag}"'] * 2
    assert [asked["range"] for asked in ranged_web.asked] == ["bytes=0-9", "bytes=10-19"]
    ranged_web.manner = "no_if_match"
    ranged_web.put("a.mp4", DATA[::-1])
    assert code_of(lambda: ranges.read(0, 10)) == "object_changed"


def test_a_url_that_was_not_among_the_sources_is_never_asked(ranged_web):
    ranged_web.put("a.mp4", DATA)
    store = open_store(ranged_web.root)
    assert code_of(lambda: store.ranges(MediaObject(ranged_web.uri("a.mp4"), "1", 5))) == "unreadable"
    assert ranged_web.asked == []


class Redirecting(BaseHTTPRequestHandler):
    """Sends everybody to `target`."""

    target = ""

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing on stderr."""


def test_a_redirect_is_followed_anew_for_each_range_and_to_another_version_is_a_change(ranged_web):
    for key in ("a.mp4", "same.mp4"):
        ranged_web.put(key, DATA)
    ranged_web.put("other.mp4", DATA[::-1])
    Redirecting.target = ranged_web.uri("a.mp4")
    with serving(Redirecting) as url:
        store = open_store(url, (f"{url}/a.mp4",))
        (media,) = store.list(f"{url}/a.mp4")
        ranges = store.ranges(media)
        assert ranges.read(0, 100) == DATA[:100]
        Redirecting.target = ranged_web.uri("same.mp4")  # the same version elsewhere
        assert ranges.read(100, 200) == DATA[100:200]
        Redirecting.target = ranged_web.uri("other.mp4")
        assert code_of(lambda: ranges.read(200, 300)) == "object_changed"


def test_an_error_of_a_range_never_shows_a_signature(ranged_web):
    ranged_web.put("a.mp4", DATA)
    url = f"{ranged_web.uri('a.mp4')}?X-Amz-Signature=geheim"
    store = open_store(url, (url,))
    (media,) = store.list(url)
    ranges = store.ranges(media)
    ranged_web.remove("a.mp4")
    for use in (lambda: store.ranges(media), lambda: ranges.read(0, 1)):
        with pytest.raises(MediaError) as caught:
            use()
        assert (caught.value.code, "geheim" in said(caught.value)) == ("not_found", False)


def test_a_server_that_is_asked_once_more_for_a_first_byte_sends_no_more(ranged_web):
    store, media = one(ranged_web, "a.mp4", DATA)
    ranged_web.asked.clear()
    store.ranges(media)
    assert [asked["range"] for asked in ranged_web.asked] == ["bytes=0-0"]


# ---- S3


def test_metadata_comes_with_the_first_range(bucket):
    bucket.client.put_object(Bucket=bucket.bucket, Key="a.mp4", Body=DATA, Metadata={"Title": "Harbour"})
    store = store_of(bucket)
    ranges = store.ranges(next(iter(store.list(bucket.root))))
    assert ranges.metadata == {}
    ranges.read(0, 10)
    assert ranges.metadata == {"title": "Harbour"}


def test_s3_is_asked_for_nothing_before_the_first_range(bucket, monkeypatch):
    _, media = one(bucket, "b.mp4", DATA)
    proxy = Proxy(bucket.client.meta.endpoint_url, "ok")
    with proxy.url() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        ranges = store_of(bucket).ranges(media)
        assert proxy.asked == []
        ranges.read(0, 10)
        assert len(proxy.asked) == 1


LARGE = (DATA * 27)[: 3 * PART_BYTES + 12_345]


class TestALargeObjectComesInParts:
    @pytest.fixture
    def large(self, bucket, monkeypatch):
        """A store, a media object of it, and the proxy between, which has passed everything on so far."""
        bucket.client.put_object(Bucket=bucket.bucket, Key="a.mp4", Body=LARGE, Metadata={"title": "Harbour"})
        proxy = Proxy(bucket.client.meta.endpoint_url, "ok")
        with proxy.url() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            store = store_of(bucket)
            (media,) = store.list(bucket.root)
            proxy.asked = []
            yield store, media, proxy
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("part")]

    def test_and_the_copy_has_all_bytes_their_sha256_and_the_metadata(self, large, tmp_path):
        store, media, proxy = large
        heard = []
        copy = store.fetch(media, tmp_path, heard.append)
        assert copy.path.read_bytes() == LARGE
        assert copy.content_id == hashlib.sha256(LARGE).hexdigest()
        assert (copy.bytes_read, copy.metadata) == (len(LARGE), {"title": "Harbour"})
        assert (len(proxy.asked), heard[-1], heard == sorted(heard)) == (4, len(LARGE), True)

    def test_one_of_as_many_bytes_as_a_part_comes_whole(self, large, bucket, tmp_path):
        store, _, proxy = large
        bucket.put("b.mp4", LARGE[:PART_BYTES])
        media = next(media for media in store.list(bucket.root) if media.uri.endswith("b.mp4"))
        proxy.asked = []
        assert store.fetch(media, tmp_path).path.read_bytes() == LARGE[:PART_BYTES]
        assert len(proxy.asked) == 1

    def test_a_part_that_breaks_off_is_asked_for_again(self, large, tmp_path):
        store, media, proxy = large
        proxy.faults = ["cut", "lost", "ok"]
        copy = store.fetch(media, tmp_path)
        assert copy.content_id == hashlib.sha256(LARGE).hexdigest()
        assert (len(proxy.asked), copy.bytes_read) == (6, len(LARGE))

    @pytest.mark.parametrize(
        ("fault", "code"), [("cut", "unreadable"), ("whole", "unreadable"), ("unmatched", "object_changed")]
    )
    def test_parts_that_cannot_be_had_never_pass_for_the_whole(self, large, tmp_path, fault, code):
        store, media, proxy = large
        proxy.faults = ["ok", fault]
        assert code_of(lambda: store.fetch(media, tmp_path)) == code

    def test_one_that_changes_on_the_way_is_said_so(self, large, bucket, tmp_path, monkeypatch):
        store, media, proxy = large
        turns, pass_on = itertools.count(1), proxy.fault

        def change_before_the_third(request):
            if next(turns) == 3:
                bucket.put("a.mp4", LARGE[::-1])
            return pass_on(request)

        monkeypatch.setattr(proxy, "fault", change_before_the_third)
        assert code_of(lambda: store.fetch(media, tmp_path)) == "object_changed"

    def test_who_watches_may_end_it(self, large, tmp_path):
        store, media, _ = large

        def watch(got_bytes):
            if got_bytes > 2_000_000:
                raise MediaError("too_large")

        assert code_of(lambda: store.fetch(media, tmp_path, watch)) == "too_large"


def test_the_answers_that_a_web_server_gives_are_as_the_tests_take_them(ranged_web):
    """What the server under these tests does is checked by itself: If-Match, 206, 412, 416."""
    ranged_web.put("a.mp4", b"0123456789")

    def ask(**headers):
        return httpx.get(ranged_web.uri("a.mp4"), headers={k.replace("_", "-"): v for k, v in headers.items()})

    etag = ask().headers["etag"]
    part = ask(range="bytes=2-4", if_match=etag)
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert [ask(if_match='"x"').status_code, ask(range="bytes=5-10").status_code] == [412, 416]
