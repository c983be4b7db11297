"""One load a process: engines that enter the same model share it, and the last to leave frees it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from pipeline.taggers import gpu

if TYPE_CHECKING:
    from pipeline.taggers.loaded import Loaded

Key = tuple[str, ...]
"""What tells one loaded model from another: checkpoint, revision, device, numbers."""

_NO_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(slots=True)
class Shared:
    """A model in memory, the GPU it holds, and how many use it."""

    loaded: Loaded
    claim: gpu.Claim | None
    users: int = 0


_open: dict[Key, Shared] = {}
_lock = Lock()


def enter(key: Key, device: str, load: Callable[[str], Loaded]) -> Loaded:
    """The model of that key: the one that is in memory, or else what `load(torch device)` gives.

    device: auto, cpu, cuda or cuda:N. Waits for a GPU that no other process holds. Raises what `load` raises.
    """
    with _lock:
        if key not in _open:
            chosen, claim = gpu.choose(device)
            try:
                _open[key] = Shared(load(chosen), claim)
            except BaseException:
                if claim:
                    claim.release()
                raise
        _open[key].users += 1
        return _open[key].loaded


def leave(key: Key) -> None:
    """Give up one use. With the last one the model goes, then its GPU is free for others."""
    with _lock:
        _open[key].users -= 1
        if _open[key].users:
            return
        claim = _open.pop(key).claim
        give_memory_back()
        if claim:
            claim.release()


def give_memory_back() -> None:
    """Free what nothing holds any more, and what torch keeps of it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    # where it isn't the GPU's own allocator, only the message says so
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(said in str(error) for said in _NO_MEMORY)
