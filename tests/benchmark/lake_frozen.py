"""A first question to a lake on S3 from a cold process: by the frozen catalog beside the data, and the local one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from unittest.mock import patch

from demo.services import plain_environment, s3_server
from pipeline.lake import freeze, writer
from pipeline.lake.catalog import open_lake
from pipeline.store import open_store
from tests.benchmark.command import SHOTLOG, timed
from tests.benchmark.lake_films import film, planned
from tests.benchmark.table import Figure, say

COMMITS, MEDIA, ROUNDS = 100, 10, 5


def run(folder: Path) -> list[Figure]:
    with s3_server(folder / "s3") as s3, patch.dict(os.environ, s3.env):
        s3.client().create_bucket(Bucket="bench")
        catalog = folder / "catalog.sqlite"
        say(f"  {COMMITS} commits to a lake on S3")
        _fill("s3://bench/lake", catalog)
        command = [str(SHOTLOG), "sql", "archive", "--lake", "s3://bench/lake", "--format", "json"]
        (folder / "home").mkdir()
        by_frozen = {**plain_environment(), **s3.env, "HOME": str(folder / "home")}
        local, frozen = _times(command, folder, {**by_frozen, "SHOTLOG_CATALOG": str(catalog)}, by_frozen)
    return [
        Figure(
            f"A first question (`shotlog sql archive`, whole command) to a lake of {COMMITS} commits on S3: by the "
            f"frozen catalog there, over the catalog on this machine, medians of {ROUNDS} in turn",
            f"{frozen:.2f} s ÷ {local:.2f} s = {frozen / local:.2f}",
            "≤ 3",
        )
    ]


def _fill(uri: str, catalog: Path) -> None:
    with closing(open_lake(uri, open_store(uri), catalog=str(catalog), create=True, read_only=False)) as lake:
        for number in range(COMMITS):
            batch = f"{number:06}"
            films = [film(f"{batch}/{n}.mp4", n, run_id="run", batch_id=batch) for n in range(MEDIA)]
            writer.commit_batch(lake, "run", batch, films, planned=planned(films))
        freeze.publish(lake)


def _times(command: list[str], folder: Path, *environments: Mapping[str, str]) -> list[float]:
    """Median seconds under each environment, in turn."""
    rounds = [[timed(command, folder, environment=one).seconds for one in environments] for _ in range(ROUNDS)]
    return [median(times) for times in zip(*rounds, strict=True)]
