"""What a listing is: one Parquet folder, a row an object, whatever the count; and what an object is by its name."""

from __future__ import annotations

import re
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


def kind_sql(include: Sequence[str], exclude: Sequence[str], named: Sequence[str] = ()) -> str:
    """`kind_of` as an expression of DuckDB's over a column `uri`. named: URIs that are sources themselves."""
    included = f"regexp_full_match(uri, {literal(_regex(include))}, 's')" if include else "true"
    excluded = f"regexp_full_match(uri, {literal(_regex(exclude))}, 's')" if exclude else "false"
    # as PurePath has it: `.mp4` alone is none, `a.mp4/.` has one; few names need the slower way
    suffix = r"""CASE
        WHEN contains(uri, '/.') THEN regexp_extract(lower(uri), '[^/](\.[^./]+)(/+\.)*$', 1)
        ELSE '.' || lower(string_split(uri, '.')[-1])
    END"""
    images, videos = (", ".join(map(literal, sorted(suffixes))) for suffixes in (IMAGE_SUFFIXES, VIDEO_SUFFIXES))
    as_video = f"OR uri IN ({', '.join(map(literal, named))})" if named else ""
    return f"""CASE
        WHEN NOT {included} OR {excluded} THEN 'excluded'
        WHEN {suffix} IN ({images}) THEN 'image'
        WHEN {suffix} IN ({videos}) {as_video} THEN 'video'
        ELSE 'unknown'
    END"""


def literal(text: str) -> str:
    """A string as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def _regex(patterns: Sequence[str]) -> str:
    """What `_matches` matches, as a regular expression of RE2: it hasn't all that fnmatch.translate writes.

    >>> print(_regex(["*.mp[!3]", "a?"]))
    (?:.*/)?(?:.*\\.mp[^\\x{33}]|a.)
    """
    return f"(?:.*/)?(?:{'|'.join(map(_one_regex, patterns))})"


def _one_regex(pattern: str) -> str:
    pieces = re.findall(r"\*|\?|\[!?+(?:\][^\]]*|[^\]]+)\]|.", pattern, re.DOTALL)
    return "".join({"*": ".*", "?": "."}.get(piece) or _piece_regex(piece) for piece in pieces)


def _piece_regex(piece: str) -> str:
    """Of `[…]`, or of one character that stands for itself."""
    if len(piece) == 1:
        return re.escape(piece)
    members = piece[2:-1] if piece[1] == "!" else piece[1:-1]
    spans = re.findall(r"(.)-(.)|(.)", members, re.DOTALL)
    pairs = [(first or one, last or one) for first, last, one in spans]
    inside = "".join(
        rf"\x{{{ord(first):x}}}" + (rf"-\x{{{ord(last):x}}}" if first != last else "")
        for first, last in pairs
        if first <= last
    )
    if piece[1] == "!":
        return f"[^{inside}]" if inside else "."
    return f"[{inside}]" if inside else r"[^\x{0}-\x{10FFFF}]"  # nothing at all
