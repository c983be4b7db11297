"""A shelf of each kind of store."""

from __future__ import annotations

import uuid

import pytest

from tests.contract.shelves import BucketShelf, Files, FolderShelf, WebShelf, serving


@pytest.fixture
def bucket(s3, monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**s3.env, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return BucketShelf(s3.client(), f"t-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "archive").mkdir()
    return FolderShelf(tmp_path / "archive")


@pytest.fixture
def web(tmp_path):
    (tmp_path / "www").mkdir()
    with serving(lambda *args: Files(*args, directory=tmp_path / "www")) as url:
        yield WebShelf(tmp_path / "www", url)
