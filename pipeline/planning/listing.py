"""What a listing is: one Parquet folder, a row an object, whatever the count; and what an object is by its name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pyarrow as pa

from pipeline.model import MediaObject

LISTING = pa.schema(
    [
        ("media_id", pa.string()),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),  # image, video; unknown: not media by its name; excluded: by a pattern
    ]
)

_IMAGES = "jpg jpeg jpe jfif png gif webp tif tiff bmp heic heif avif"
_VIDEOS = "mp4 m4v mov qt mkv webm avi mpg mpeg mpe m2v vob ts m2ts mts mxf wmv asf rm rmvb flv f4v 3gp 3g2 ogv dv y4m"
IMAGE_SUFFIXES = frozenset(f".{ending}" for ending in _IMAGES.split(" "))
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _VIDEOS.split(" "))


def kind_of(media: MediaObject, include: Sequence[str], exclude: Sequence[str], *, named: bool = False) -> str:
    """image, video, unknown or excluded, by the object's name. Patterns match the whole URI, `*` also slashes.

    named: the object is a source itself, so it is looked at whatever its ending.
    """
    if (include and not _matches(media.uri, include)) or _matches(media.uri, exclude):
        return "excluded"
    if media.suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if media.suffix in VIDEO_SUFFIXES or named else "unknown"


def _matches(uri: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(uri, pattern) or fnmatchcase(uri, f"*/{pattern}") for pattern in patterns)
