"""How little of a large film in S3 is fetched, counted at a door in front of a real S3 server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from demo.services import s3_server
from pipeline.decode.worker import DecodeChild
from pipeline.settings import Settings
from pipeline.steps.footage import Footage
from pipeline.store import open_store
from tests.benchmark import footage
from tests.benchmark.command import tag
from tests.benchmark.counted import Counts, counted
from tests.benchmark.table import Figure, say

BUCKET = "bench"
KINDS = {
    "an MP4, `moov` at the end": ("moov-last.mp4", {}),
    "an MP4, `moov` at the front": ("moov-first.mp4", {"movflags": "faststart"}),
    "an MKV": ("film.mkv", {}),
}


def run(folder: Path) -> list[Figure]:
    figures = []
    for what, (name, options) in KINDS.items():
        film = footage.large_film(name, **options)
        with _in_s3(folder / name, film) as (uri, counts):
            say(f"  {what}")
            if not figures:
                figures.append(_keyframes(folder, uri, film.stat().st_size, counts))
            figures.append(_probe(folder, uri, what, counts))
    return figures


@contextmanager
def _in_s3(folder: Path, film: Path) -> Iterator[tuple[str, Counts]]:
    """An S3 server with the film, reached through the door alone."""
    with s3_server(folder) as s3:
        s3.client().create_bucket(Bucket=BUCKET)
        s3.client().upload_file(str(film), BUCKET, film.name)
        with counted(s3.endpoint) as (endpoint, counts), patch.dict(os.environ, replace(s3, endpoint=endpoint).env):
            yield f"s3://{BUCKET}/{film.name}", counts


def _keyframes(folder: Path, uri: str, size_bytes: int, counts: Counts) -> Figure:
    counts.reset()
    tag(folder, uri, "null", environment=dict(os.environ), sampling="keyframes")
    return Figure(
        f"Bytes that `--sampling keyframes` fetches of a film of {size_bytes / 1e6:.0f} MB in S3, whole command",
        f"{counts.bytes / 1e6:.1f} MB = {counts.bytes / size_bytes:.1%}, {counts.requests} requests",
        "≤ 8 %",
    )


def _probe(folder: Path, uri: str, what: str, counts: Counts) -> Figure:
    store = open_store(uri)
    (media,) = store.list(uri)
    counts.reset()
    with DecodeChild(deadline_s=120, memory_mb=4096, max_megapixels=200) as child:
        with Footage(Settings(), store, media, folder) as opened:
            opened.open(child)
            info = opened.probe()
    return Figure(
        f"To probe {what}, of {media.size_bytes / 1e6:.0f} MB and {info.duration_s / 60:.0f} minutes in S3",
        f"{counts.bytes / (1 << 20):.2f} MiB, {counts.requests} requests",
        "≤ 1 MiB, ≤ 6 requests",
    )
