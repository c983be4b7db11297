"""The decoder protocol. To add a decoder: write `decode/<name>.py` with a class like this, add one line to
`decode.DECODERS`, and one fixture line in tests/contract/test_decoders.py.

A decoder runs inside the child process of `decode/worker.py`, never in the worker that tags: it may crash,
hang and leak without harm. It reads local files only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.model import Frame, MediaInfo


class Decoder(Protocol):
    """Gives the frames of one video that are on screen at given moments."""

    name: str
    """As `--decoder` and the `decoder` column show it, for example `pyav`."""

    version: str
    """Of the library underneath: a new one makes lasting failures worth another try."""

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """Yield one Frame for each of `targets_s` (ascending, seconds on the player's clock).

        A frame is the one on screen at the target: the last whose own `timestamp_s` ≤ target (the first frame
        for targets before it). Targets that fall on the same frame give it once. Yielded as soon as decoded, so
        that what was handed over survives a crash. Raises MediaError where no further frame can be had.
        """
        ...
