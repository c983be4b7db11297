"""What jobs were asked for, word for word, until they have ended: a URL's signature isn't for the lake."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job was asked for.

    owner: the name of the key that asked. urls: media, or one s3:// prefix; as given, with any signature. sampling:
    None, as the server's settings say. store: whether the lake keeps what is found.
    """

    owner: str
    urls: tuple[str, ...]
    kinds: tuple[str, ...]
    created_at: float
    sampling: str | None = None
    custom_payload: dict[str, Any] | None = None
    webhook: str | None = None
    store: bool = True
    batch: bool = False


class Spool:
    """A folder of such requests that only its user can look into: one of its own for each job, by the job's id."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder

    def put(self, job_id: str, asked: Asked) -> None:
        """Returns once it is on disk."""
        folder = self.folder(job_id)
        folder.mkdir(mode=0o700)
        part = folder / "request.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(asked), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / "request.json")

    def all(self) -> Iterator[tuple[str, Asked]]:
        """(job id, what it was asked for), oldest first."""
        found = []
        for path in self._folder.glob("*/request.json"):
            told = json.loads(path.read_text("utf-8"))
            found.append(
                (path.parent.name, Asked(**{**told, "urls": tuple(told["urls"]), "kinds": tuple(told["kinds"])}))
            )
        yield from sorted(found, key=lambda each: each[1].created_at)

    def folder(self, job_id: str) -> Path:
        return self._folder / job_id

    def drop(self, job_id: str) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
