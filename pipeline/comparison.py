"""What two recipes have in common, and what they don't: made by the lake, shown by the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One label that only one of them gave. image: WebP, or None where no thumbnail was kept."""

    uri: str
    timecode: str
    kind: str
    label: str
    gained: bool
    image: bytes | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """From the first recipe to the second, at the moments that both looked at.

    kinds: kind, both (labels that both gave), only_first, only_second, agreement (both ÷ all three). gained, lost:
    kind, label and at how many moments, most first. left_out: kinds that only one of them asks for.
    """

    media: int
    moments: int
    kinds: list[dict[str, Any]]
    gained: list[dict[str, Any]]
    lost: list[dict[str, Any]]
    examples: list[Example]
    left_out: list[str]
