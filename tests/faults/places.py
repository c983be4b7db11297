"""Archives of media that are all different, in a folder or a bucket of a test's own, and a lake beside it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from demo.services import S3
from tests.faults.invariants import check_frozen, check_whole
from tests.integration.doors import tag
from tests.media import media

_numbers = itertools.count()


def made(name: str) -> bytes:
    """A picture or a film of two frames after a name's ending, or a text; of each name other bytes."""
    told = name.encode()
    if name.endswith(".png"):
        picture = io.BytesIO()
        Image.frombytes("RGB", (64, 64), (told * 12288)[:12288]).save(picture, "PNG")
        return picture.getvalue()
    if name.endswith(".mp4"):  # a box that players skip
        return media("hevc.mp4").read_bytes() + (8 + len(told)).to_bytes(4, "big") + b"free" + told
    return told


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(made(name))
    return folder


@dataclass
class Place:
    """A bucket whose prefix `in/` is the archive and `lake/` the lake. catalog: its SQLite file. freeze: whether runs
    freeze it, too."""

    s3: S3
    folder: Path
    freeze: str = "off"
    bucket: str = field(default_factory=lambda: f"faults-{next(_numbers)}")

    def __post_init__(self) -> None:
        self.s3.client().create_bucket(Bucket=self.bucket)
        self.source, self.lake = f"s3://{self.bucket}/in/", f"s3://{self.bucket}/lake"
        self.catalog = str(self.folder / "catalog.sqlite")

    @property
    def env(self) -> dict[str, str]:
        """What leads a process there."""
        return {**self.s3.env, "SHOTLOG_CATALOG": self.catalog}

    def put(self, *names: str) -> None:
        for name in names:
            self.s3.client().put_object(Bucket=self.bucket, Key=f"in/{name}", Body=made(name))

    def tag(self, **settings: Any) -> dict[str, Any]:
        """A whole run in this process."""
        return tag(self.lake, self.source, catalog=self.catalog, freeze=self.freeze, **settings)

    def check_whole(self, good: Iterable[str], failed: Iterable[str] = ()) -> None:
        uris = [{self.source + name for name in names} for names in (good, failed)]
        check_whole(self.lake, *uris, catalog=self.catalog)

    def check_frozen(self) -> None:
        check_frozen(self.lake, self.catalog, elsewhere=str(self.folder / "elsewhere.sqlite"))
