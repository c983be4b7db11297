"""A URI has one form, and what can't be one is refused with what can."""

import pytest

from pipeline.errors import UsageError
from pipeline.store import STORES, open_store, resolve_uri, scheme_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("home/tapes", "tapes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "what?.mp4").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("uri", "resolved"),
    [
        ("tapes", "{here}/tapes/"),
        ("tapes/", "{here}/tapes/"),
        ("./home/../tapes", "{here}/tapes/"),
        ("~/tapes", "{here}/home/tapes/"),
        ("what?.mp4", "{here}/what?.mp4"),
        ("not there", "{here}/not there"),
        ("file://{here}/what%3F.mp4", "{here}/what?.mp4"),
        ("/", "/"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a b/?#%20", "s3://bucket/a b/?#%20"),
        ("https://u:p@host:8080/a.mp4?X-Amz-Signature=s", "https://u:p@host:8080/a.mp4?X-Amz-Signature=s"),
    ],
)
def test_a_uri_has_one_form(here, uri, resolved):
    assert resolve_uri(uri.format(here=here)) == resolved.format(here=here)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (" ", "a URI is empty: give s3://bucket/prefix, a folder"),
        ("s3:///key", "'s3:///key' names no bucket: write s3://bucket/prefix"),
        ("htps://host", "unknown URI scheme 'htps': known are file, http, https, s3 — did you mean https"),
        ("https://", "a https URL has no valid host or port: write https://host/path"),
        ("http:///a.mp4?X-Amz-Signature=geheim", "a http URL has no valid host or port"),
        ("https://me:geheim@host:99999/a.mp4", "a https URL has no valid host or port"),
        ("https://me:geheim@[::1/a.mp4", "a https URL has no valid host or port"),
    ],
)
def test_what_is_no_uri_is_refused_with_what_is_and_without_its_secrets(uri, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        resolve_uri(uri)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("scheme", STORES)
def test_every_scheme_opens_its_store(scheme):
    uri = f"{scheme}://host/a" if scheme else "/a"
    assert scheme_of(uri) == scheme
    assert f"{type(open_store(uri)).__module__}:{type(open_store(uri)).__name__}" == STORES[scheme]
