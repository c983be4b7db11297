"""Everything that decides what a tagger answers, and its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

METADATA_KINDS = ("categories", "participants", "actions", "scene", "tags", "rating")
"""What a tagger can be asked for, by the names of the tables."""

DEFAULT_KINDS = METADATA_KINDS[:-1]
"""What it is asked for unless told otherwise: a rating is wanted by few, and costs tokens."""

ANSWER_SCHEMA = 1
"""Version of the answer's schema: part of every recipe, so a change makes older taggings stale."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the answer; `recipe_id` is its hash. "What is stale?" compares these.

    max_frames: None means no limit. Workers, thumbnails, deadlines don't decide an answer and aren't here.
    """

    tagger: str
    model: str | None = None
    revision: str | None = None
    prompt_version: str | None = None
    metadata: tuple[str, ...] = DEFAULT_KINDS
    sampling: str = "uniform"
    max_frames: int | None = 60
    shot_detector: str | None = None
    thresholds: tuple[tuple[str, float], ...] = ()
    vocabulary: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    reuse_distance: int = 0
    generation: tuple[tuple[str, float], ...] = ()
    context: str | None = None
    better_frames: bool | None = None
    answer_schema: int = ANSWER_SCHEMA

    def __post_init__(self) -> None:
        if not self.metadata or set(self.metadata) - set(METADATA_KINDS):
            raise ValueError(f"metadata must name some of {', '.join(METADATA_KINDS)}, got {self.metadata}")
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames must be 1 or more, got {self.max_frames}")

    @property
    def recipe_id(self) -> str:
        """16 hex digits of the SHA-256 of the recipe as sorted JSON.

        A field that came later than the first lakes is left out while it is None, so that older recipes keep their ids.
        """
        told = {name: value for name, value in asdict(self).items() if value is not None or name in _ALWAYS_TOLD}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


_ALWAYS_TOLD = frozenset(
    ("model", "revision", "prompt_version", "max_frames", "shot_detector", "vocabulary", "min_pixels", "max_pixels")
)
