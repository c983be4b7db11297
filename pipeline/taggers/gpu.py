"""One process a GPU: whoever loads a model holds a lock of that GPU as long as it does.

The lock is an flock on a file in the machine's temporary folder, so a killed holder frees it. Processes that share a
GPU but no temporary folder (two containers) don't see each other: give each its own GPU there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import TaggerError

LOOK_EVERY_S = 0.5
"""How often a process that waits looks whether a GPU has become free: flock can't wait for several."""

_log = logging.getLogger(__name__)
_mine: set[Path] = set()


@dataclass(frozen=True, slots=True)
class Claim:
    """A GPU that is held. index: its place in the ids that were offered."""

    index: int
    _path: Path
    _descriptor: int

    def release(self) -> None:
        if self._path in _mine:
            _mine.discard(self._path)
            os.close(self._descriptor)  # the file stays: removing it would let two hold one GPU

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(ids: Sequence[str], *, folder: Path | None = None) -> Claim:
    """Hold the first GPU that no other process holds; wait while there is none.

    ids: what tells a GPU from every other on this machine (its UUID), one or several to choose from. folder: where
    the locks lie (default: the temporary folder). Raises TaggerError where this process itself holds all of them.
    """
    paths = [_lock_file(folder or Path(tempfile.gettempdir()), name) for name in ids]
    if all(path in _mine for path in paths):
        raise TaggerError(
            f"this process already runs a model on {'its GPU' if len(paths) == 1 else 'all its GPUs'}: "
            "close that first, or set SHOTLOG_DEVICE=cpu"
        )
    told = False
    while True:
        for index, path in enumerate(paths):
            if path not in _mine and (descriptor := _lock(path)) is not None:
                _mine.add(path)
                return Claim(index, path, descriptor)
        if not told:
            _log.warning("every GPU is taken by another process of shotlog: waiting for one")
            told = True
        time.sleep(LOOK_EVERY_S)


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f"shotlog-gpu-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None where another does. Children don't inherit it."""
    import fcntl

    with suppress(FileExistsError):  # another user's file is only ever opened to read: /tmp lets no one else write it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def choose(wanted: str) -> tuple[str, Claim | None]:
    """The torch device of a setting (auto, cpu, cuda, cuda:N), and the claim that keeps others off it.

    Waits for a free GPU. Raises TaggerError where the machine hasn't the GPU that was asked for.
    """
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu", None
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbers = [int(wanted.partition(":")[2])] if ":" in wanted else list(range(found))
    if not numbers or max(numbers) >= found:
        raise TaggerError(
            f"device is {wanted!r}, but torch finds {found or 'no'} GPU{'' if found == 1 else 's'} here: "
            "set SHOTLOG_DEVICE=auto or cpu, or install the build of torch for this GPU"
        )
    # by UUID: the number of one GPU differs between processes with another CUDA_VISIBLE_DEVICES
    held = claim([str(torch.cuda.get_device_properties(number).uuid) for number in numbers])
    return f"cuda:{numbers[held.index]}", held
