"""What it takes to find the few new among millions of objects, and nothing new among thousands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from unittest.mock import patch

from demo.services import S3, s3_server
from pipeline.steps.workplace import Workplace
from tests.benchmark.command import LEAN_SHOTLOG, timed
from tests.benchmark.scale import BUCKET, make_inventory, make_lake
from tests.benchmark.table import Figure, say
from tests.media import media

COUNTS = 1_000_000, 10_000_000
NEW = 1000
OBJECTS = 10_000
ROUNDS = 5

_BARE = """
import glob, sys, time, duckdb
con, began = duckdb.connect(), time.monotonic()
con.execute(
    "SELECT count(*) FROM read_parquet(?) listed "
    "ANTI JOIN read_parquet(?) known ON known.uri = 's3://' || bucket || '/' || key AND known.etag = e_tag",
    [sys.argv[1] + "/*.parquet", sys.argv[2] + "/data/log/taggings/**/*.parquet"],
)
assert con.fetchone() == (1000,)
print(time.monotonic() - began)
"""
"""The same two files and no more: nothing is kept, nothing is said of what is gone, changed or a copy."""

_PLAN = """
import json, resource, sys, time
from pipeline.planning import compare
from pipeline.steps import forecast
took = []
def timed(*arguments, held=forecast.compare):
    began = time.monotonic()
    try:
        return held(*arguments)
    finally:
        took.append(time.monotonic() - began)
forecast.compare = timed
began = time.monotonic()
found = forecast.forecast(json.loads(sys.argv[1]))
assert (found["new"], found["gone"]) == (1000, 1000)
took.append(time.monotonic() - began)
print(json.dumps([*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def run(folder: Path) -> list[Figure]:
    figures, peaks = [], []
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody"}  # no S3 is asked
    for count in COUNTS:
        with patch.dict(os.environ, keys):
            found, peak_mb = _planned(folder / str(count), count)
        figures += found
        peaks.append(f"{peak_mb:.0f} MB at {count:,}")
    figures.append(Figure("The same: peak resident memory of the whole plan", ", ".join(peaks), "≤ 600 MB"))
    return [*figures, _rerun(folder)]


def _planned(folder: Path, count: int) -> tuple[list[Figure], float]:
    """As many objects gone as are new. Rounds in turn, in processes of their own."""
    say(f"  {count:,} media")
    lake, inventory = folder / "lake", make_inventory(folder / "inventory", NEW, count + NEW)
    request = {"sources": f"s3://{BUCKET}/", "lake": str(lake), "tagger": "null", "forecast_sample": 0}
    make_lake(Workplace.of(request), count).close()
    request["inventory"] = str(inventory)
    bare, compared, whole, peaks = [], [], [], []
    for _ in range(ROUNDS if count == COUNTS[0] else 1):
        bare.append(float(_python(_BARE, str(inventory.parent), str(lake))))
        found = json.loads(_python(_PLAN, json.dumps(request)))
        for figure, kept in zip(found, (compared, whole, peaks), strict=True):
            kept.append(figure)
    what = f"{count:,} objects of an inventory, {NEW:,} of them new, against a lake of {count:,} media"
    return [
        _ratio(
            f"Plan of {what}: holding the listing against the lake, over DuckDB's own bare anti-join", compared, bare
        ),
        _ratio("The same with reading the inventory and making the listing of it", whole, bare, ""),
    ], max(peaks)


def _python(script: str, *arguments: str) -> str:
    """The last line that a script prints: before it DuckDB shows how far it is."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def _ratio(what: str, ours: list[float], theirs: list[float], promise: str = "≤ 3") -> Figure:
    one, other = median(ours), median(theirs)
    return Figure(what, f"{one:.2f} s ÷ {other:.2f} s = {one / other:.2f}", promise)


def _rerun(folder: Path) -> Figure:
    """Whole commands: both begin with an interpreter that has nothing loaded."""
    say(f"  rerun over {OBJECTS:,} objects")
    with s3_server(folder / "s3") as s3:
        _fill(s3)
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"], **s3.env}
        tag = [str(LEAN_SHOTLOG), "tag", f"s3://{BUCKET}/", "--lake", str(folder / "lake"), "--tagger", "null"]
        timed(tag, folder, environment=environment)
        bare: list[float] = []
        ours: list[float] = []
        listing = [str(LEAN_SHOTLOG.with_name("python")), "-c", _LISTING]
        commands: list[tuple[list[str], Callable[[float], None]]] = [(listing, bare.append), (tag, ours.append)]
        for _ in range(ROUNDS):
            for command, keep in commands:
                keep(timed(command, folder, environment=environment).seconds)
    return _ratio(
        f"`shotlog tag` again over {OBJECTS:,} objects in S3, none new, over boto3's paginator alone, whole commands",
        ours,
        bare,
        "≤ 1.15",
    )


_LISTING = f"""
import boto3
pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="{BUCKET}")
assert sum(len(page["Contents"]) for page in pages) == {OBJECTS}
"""


def _fill(s3: S3) -> None:
    """Copies of one photograph: looked at once, and all in the lake after the first run."""
    client, body = s3.client(), media("coffee.png").read_bytes()
    client.create_bucket(Bucket=BUCKET)
    with ThreadPoolExecutor(8) as threads:
        keys = (f"{number // 200:03}/{number:06}.png" for number in range(OBJECTS))
        list(threads.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=body), keys))
