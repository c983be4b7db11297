"""What stores say when a place isn't there, refuses, or breaks off: a code or a sentence, and never a secret."""

from __future__ import annotations

import hashlib
import logging

import boto3
import pytest
from botocore.config import Config

from pipeline.errors import MediaError, ShotlogError, StoreError
from pipeline.model import MediaObject
from pipeline.store import open_store
from tests.contract.shelves import Proxy, one, said, store_of

# ---- what breaks on the way


def test_a_listing_goes_on_when_the_server_was_busy(bucket, monkeypatch):
    bucket.put("a.mp4", b"x")
    proxy = Proxy(bucket.client.meta.endpoint_url, "busy", "lost", "ok")
    with proxy.url() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        assert len(list(store_of(bucket).list(bucket.root))) == 1
    assert len(proxy.asked) == 3


def test_a_url_is_listed_when_its_server_was_busy(web):
    web.put("a.mp4", b"x")
    proxy = Proxy(web.root, "busy", "lost", "ok")
    with proxy.url() as url:
        assert len(list(open_store(url).list(f"{url}/a.mp4"))) == 1
    assert len(proxy.asked) == 3


@pytest.mark.parametrize("name", ["bucket", "web"])
class TestABodyThatBreaksOff:
    @pytest.fixture
    def broken(self, name, request, monkeypatch):
        """A store and a media object of it, behind a proxy that spoils answers once the object is listed."""
        shelf = request.getfixturevalue(name)
        shelf.put("a.mp4", b"0123456789" * 1000)
        proxy = Proxy(shelf.client.meta.endpoint_url if name == "bucket" else shelf.root, "ok")
        with proxy.url() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            source = shelf.uri("a.mp4") if name == "bucket" else f"{url}/a.mp4"
            store = open_store(source, (source,))
            yield store, next(iter(store.list(source))), proxy

    def test_is_asked_for_again(self, broken, tmp_path):
        store, media, proxy = broken
        proxy.faults = ["cut", "lost", "ok"]
        copy = store.fetch(media, tmp_path)
        assert copy.path.read_bytes() == b"0123456789" * 1000
        assert copy.content_id == hashlib.sha256(b"0123456789" * 1000).hexdigest()

    def test_again_and_again_is_unreadable_and_never_passes_for_the_whole(self, broken, tmp_path):
        store, media, proxy = broken
        proxy.faults, proxy.asked = ["cut"], []
        with pytest.raises(MediaError) as caught:
            store.fetch(media, tmp_path)
        assert (caught.value.code, len(proxy.asked)) == ("unreadable", 4)


def test_one_whose_answer_was_lost_still_hears_that_it_won(bucket, monkeypatch):
    proxy = Proxy(bucket.client.meta.endpoint_url, "lost", "ok")
    with proxy.url() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        assert store_of(bucket).write(bucket.uri("lake.json"), b"mine", if_absent=True)
        proxy.faults = ["busy", "ok"]
        assert not store_of(bucket).write(bucket.uri("lake.json"), b"another's", if_absent=True)


# ---- what is out of reach


@pytest.mark.usefixtures("bucket")
def test_a_place_that_is_not_there_is_said_so(folder, web):
    for place, sentence in (
        (folder.uri("none"), r"there is no folder or file '.*none': check the path"),
        ("s3://t-no-such-bucket/", r"there is no bucket 't-no-such-bucket': check the name and the endpoint"),
        ("s3://No_Bucket!/", r"'No_Bucket!' can't be a bucket's name: write s3://bucket/prefix"),
        (web.uri("none.mp4"), r"'.*none.mp4' answered 404: check the URL and its expiry"),
    ):
        with pytest.raises(StoreError, match=sentence):
            list(open_store(place).list(place))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "geheim"}, "S3 refused access to '.*' (SignatureDoesNotMatch): check AWS_ACCESS"),
        ({"AWS_ACCESS_KEY_ID": "geheim"}, "S3 refused access to '.*' (InvalidAccessKeyId): check AWS_ACCESS"),
        ({"AWS_ACCESS_KEY_ID": ""}, "no S3 credentials were found (.*): check AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobody"}, "S3 can't be set up: .*(nobody) could not be found (check AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL_S3": "me:geheim@host"}, "S3's endpoint is no URL: set AWS_ENDPOINT_URL_S3 to https://"),
        (
            {"AWS_ENDPOINT_URL_S3": "http://me:geheim@127.0.0.1:9"},
            "S3 at http://127.0.0.1:9 can't be reached (EndpointConnectionError): check AWS_ENDPOINT_URL_S3",
        ),
    ],
)
def test_s3_out_of_reach_is_a_sentence_without_a_secret(bucket, s3, monkeypatch, caplog, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    sentence = sentence.replace("(", r"\(").replace(")", r"\)")
    for use in (lambda store: list(store.list(bucket.root)), lambda store: store.read(bucket.uri("lake.json"))):
        with pytest.raises(StoreError, match=sentence) as caught:
            use(open_store(bucket.root))
        assert "geheim" not in str(caught.value)
        assert s3.secret_key not in said(caught.value) + caplog.text


def test_media_that_credentials_do_not_reach_is_access_denied(bucket, monkeypatch, tmp_path):
    _, media = one(bucket, "a.mp4")
    for name, value in (("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", None)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
        with pytest.raises(MediaError) as caught:
            open_store(bucket.root).fetch(media, tmp_path)
        assert caught.value.code == "access_denied"


def test_a_server_that_never_answers_right_is_asked_a_few_times_and_no_more(bucket, web, monkeypatch):
    for fault, status in (("lost", "can't be reached"), ("busy", "answered 503")):
        proxy = Proxy(web.root, fault)
        with proxy.url() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            for place, tries in ((bucket.root, 6), (f"{url}/a.mp4", 4)):
                proxy.asked.clear()
                with pytest.raises(StoreError, match=status):
                    list(open_store(place).list(place))
                assert len(proxy.asked) == tries


def test_a_wrong_url_is_asked_for_once(web):
    proxy = Proxy(web.root, "ok")
    with proxy.url() as url, pytest.raises(StoreError, match="answered 404"):
        list(open_store(url).list(f"{url}/none.mp4"))
    assert len(proxy.asked) == 1


def test_a_web_server_that_is_not_there_is_a_sentence(tmp_path):
    url = "http://me:geheim@127.0.0.1:9/a.mp4?X-Amz-Signature=geheim"
    store = open_store(url, (url,))
    with pytest.raises(
        StoreError, match=r"'http://127.0.0.1:9/a.mp4' can't be reached \(ConnectError\): check"
    ) as caught:
        list(store.list(url))
    assert "geheim" not in said(caught.value)
    with pytest.raises(MediaError) as broken:
        store.fetch(MediaObject("http://127.0.0.1:9/a.mp4", "1", 1), tmp_path)
    assert (broken.value.code, "geheim" in said(broken.value)) == ("unreadable", False)


# ---- presigned URLs, signed by the real server's rules


class TestAPresignedUrl:
    @pytest.fixture
    def url(self, bucket, s3):
        bucket.put("clip 1.mp4", b"bytes")
        signer = boto3.client("s3", endpoint_url=s3.endpoint, config=Config(signature_version="s3v4"))
        return signer.generate_presigned_url("get_object", {"Bucket": bucket.bucket, "Key": "clip 1.mp4"})

    def test_is_listed_without_its_signature_and_fetched_with_it(self, url, tmp_path, caplog):
        caplog.set_level(logging.DEBUG)
        store = open_store(url, (url,))
        (media,) = store.list(url)
        assert store.fetch(media, tmp_path).path.read_bytes() == b"bytes"
        assert media.uri == url.partition("?")[0]
        assert url[-32:] not in repr(media) + caplog.text  # a presigned URL ends with its signature

    @pytest.mark.parametrize("broken", ["refused", "gone", "unreachable"])
    def test_never_shows_its_signature_in_an_error(self, url, bucket, tmp_path, caplog, broken):
        caplog.set_level(logging.DEBUG)
        (media,) = open_store(url).list(url)
        refused, unreachable = url.replace("Signature=", "Signature=0"), url.replace(url.split("/")[2], "127.0.0.1:9")
        bad = {"refused": refused, "gone": url, "unreachable": unreachable}[broken]
        media = MediaObject(bad.partition("?")[0], media.etag, 5)
        if broken == "gone":
            bucket.remove("clip 1.mp4")
        store, texts = open_store(bad, (bad,)), []
        for use in (lambda: list(store.list(bad)), lambda: store.fetch(media, tmp_path)):
            with pytest.raises((ShotlogError, MediaError)) as caught:
                use()
            texts.append(said(caught.value))
        assert url[-32:] not in "".join(texts) + caplog.text
