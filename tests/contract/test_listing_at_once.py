"""A bucket is listed by several requests at a time, and gives what one after the other gives."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.store import open_store
from pipeline.store.pages import pages

ODD = ("ü ü/日本+.mp4", "b%2Fc/x.mp4", "b\\s/.mp4", "quote'\"&<>/a.mp4", "a//empty name.mp4", "a-/before the slash.mp4")
SHAPES = {
    "one flat folder": {"in/": 2300},
    "folders": {f"in/{number:02}/": 800 for number in range(4)},
    "folders of folders, all in one": {f"in/2026/{number:02}/deep/": 700 for number in range(4)},
    "folders and objects beside them": {"in/": 700, "in/a/": 900, "in/a-b/": 900, "in/b/c/": 500, "in/z": 300},
    "a folder for each object": {f"in/{number:04}/": 1 for number in range(1300)},
    "one folder larger than all others": {"in/a/": 1900, **{f"in/{letter}/": 3 for letter in "bcdefg"}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_object_is_listed_once_whatever_the_folders(shape, bucket):
    keys = [f"{folder}{number:05}.jpg" for folder, count in SHAPES[shape].items() for number in range(count)]
    keys += [f"in/{name}" for name in ODD]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: bucket.put(key, key.encode()), [*keys, "other/a.mp4", "in/00/"]))
    for source in (bucket.uri("in/"), bucket.root.rstrip("/"), bucket.uri("in/a")):
        found = list(open_store(source).list(source))
        one_by_one = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.bucket, Prefix=source.removeprefix(bucket.root.rstrip("/")).lstrip("/")
        )
        plain = [item for page in one_by_one for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
        assert sorted((one.uri, one.etag, one.size_bytes, one.last_modified) for one in found) == sorted(
            (bucket.uri(item["Key"]), item["ETag"].strip('"'), item["Size"], item["LastModified"]) for item in plain
        )
    assert len(keys) == len({one.uri for one in open_store(bucket.root).list(bucket.uri("in/"))})


class OnlyTogether:
    """A client that answers what it is asked about a folder when another is asked about at the same time."""

    def __init__(self, client, folders):
        self._client, self._folders = client, folders
        self._both = threading.Barrier(2)

    def list_objects_v2(self, **asked):
        if asked["Prefix"] in self._folders and "ContinuationToken" not in asked:
            self._both.wait(30)
        return self._client.list_objects_v2(**asked)


def test_folders_are_asked_about_at_the_same_time(bucket):
    folders = ["in/a/", "in/b/"]
    keys = [f"{folder}{number:05}.jpg" for folder in folders for number in range(700)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: bucket.put(key, b""), keys))
    found = [one["Key"] for page in pages(OnlyTogether(bucket.client, folders), bucket.bucket, "in/") for one in page]
    assert sorted(found) == keys
