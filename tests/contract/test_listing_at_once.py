"""A bucket is listed by several requests at a time, and gives what one after the other gives."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.store import open_store

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
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.bucket, Prefix=source.removeprefix(bucket.root.rstrip("/")).lstrip("/")
        )
        plain = [item for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
        assert sorted((one.uri, one.etag, one.size_bytes, one.last_modified) for one in found) == sorted(
            (bucket.uri(item["Key"]), item["ETag"].strip('"'), item["Size"], item["LastModified"]) for item in plain
        )
    assert len(keys) == len({one.uri for one in open_store(bucket.root).list(bucket.uri("in/"))})
