"""The two ways these tests go in: a whole run in this process, and the command as a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pipeline
from demo.services import S3, plain_environment
from pipeline.lake.tables import TABLES
from pipeline.steps import reading, run
from tests.integration.quiet import Quiet
from tests.media import media

SHOTLOG = str(Path(sys.executable).with_name("shotlog"))
BOOKKEEPING = {"runs", "run_events", "identity"}
"""Tables that a run writes in though it finds nothing to do."""


def tag(lake: Any, *sources: Any, **settings: Any) -> dict[str, Any]:
    """A whole run in this process, with one reader and the tagger null unless `settings` say otherwise.

    Nothing is fetched ahead: with one reader, media come in their order, and meet the answers that are scripted for it.
    """
    request = {"sources": ",".join(map(str, sources)), "lake": str(lake), "tagger": "null", "workers": 1, **settings}
    with patch.object(reading, "AHEAD", 1):
        return run.tag(request, Quiet())


def ask(lake: Any, query: str) -> list[tuple[Any, ...]]:
    with pipeline.connect(str(lake)) as con:
        return con.execute(query).fetchall()


def rows(lake: Any) -> dict[str, int]:
    """How many rows each table of the history has."""
    with pipeline.connect(str(lake)) as con:
        count = "SELECT count(*) FROM log."
        return {name: con.execute(count + name).fetchall()[0][0] for name in TABLES.keys() - BOOKKEEPING}


def files(lake: Any, view: str = "media") -> list[str]:
    """Names without their folders, one for each row of a view, in order."""
    return [name for (name,) in ask(lake, f"SELECT parse_filename(uri) FROM {view} ORDER BY uri")]


def fill(folder: Path, *names: str) -> Path:
    """Copies of the test media of these names, in folders as they say; 'new=old' gives a copy another name."""
    for name in names:
        new, _, old = name.partition("=")
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(media(old or Path(name).name), folder / new)
    return folder


def upload(s3: S3, bucket: str, folder: str, *names: str) -> None:
    """A new bucket with the test media of these names in a folder."""
    s3.client().create_bucket(Bucket=bucket)
    for name in names:
        s3.client().upload_file(str(media(name)), bucket, f"{folder}/{name}")


def put(s3: S3, bucket: str, *names: str, gone: Sequence[str] = ()) -> str:
    """Test media (`new=old`: under another name) below in/ of a bucket, without those that are gone. Its URI."""
    for name in names:
        new, _, old = name.partition("=")
        s3.client().upload_file(str(media(old or new)), bucket, f"in/{new}")
    for name in gone:
        s3.client().delete_object(Bucket=bucket, Key=f"in/{name}")
    return f"s3://{bucket}/in/"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user whose home is this folder and who has set nothing else."""
    return {**plain_environment(), "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", **more}


def shotlog(*arguments: Any, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, in a folder that is also the user's home. options: more environment."""
    preexec = options.pop("preexec_fn", None)
    done = subprocess.run(
        [SHOTLOG, *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd, **options),
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=preexec,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done
