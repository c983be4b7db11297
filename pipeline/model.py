"""The data that flows between the stages: frozen dataclasses that check themselves.

Positions are float seconds on the clock a player shows (presentation time less the container's start),
sizes are bytes, pictures are RGB uint8 arrays of shape (height, width, 3).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.uris import media_id

if TYPE_CHECKING:
    import numpy as np

MediaKind = Literal["image", "video"]
Status = Literal["ok", "partial", "failed", "skipped"]

METADATA_KINDS = ("categories", "participants", "actions", "scene", "tags", "rating")
"""What a tagger can be asked for, by the names of the tables."""

DEFAULT_KINDS = METADATA_KINDS[:-1]
"""What it is asked for unless told otherwise: a rating is wanted by few, and costs tokens."""

RATINGS = ("safe", "suggestive", "explicit", "violent")

ANSWER_SCHEMA = 1
"""Version of the answer's schema: part of every recipe, so a change makes older taggings stale."""


def timecode(timestamp_s: float) -> str:
    """Seconds as HH:MM:SS.mmm.

    >>> timecode(3661.5)
    '01:01:01.500'
    """
    ms = round(timestamp_s * 1000)
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    return f"{sign}{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


@dataclass(frozen=True, slots=True)
class MediaObject:
    """One object of a store as a listing shows it.

    uri: as stored, never with a query. etag: the store's own version mark, quotes removed.
    """

    uri: str
    etag: str
    size_bytes: int
    last_modified: datetime | None = None
    media_id: str = ""

    def __post_init__(self) -> None:
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes must be 0 or more, got {self.size_bytes}")
        if not self.media_id:
            object.__setattr__(self, "media_id", media_id(self.uri))

    @property
    def suffix(self) -> str:
        """File ending in lower case, with its dot ('' where there is none)."""
        return PurePosixPath(self.uri).suffix.lower()


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What headers and packets tell of one file, before any picture is chosen.

    duration_s: up to the end of the last frame that can be shown, 0 for a still image.
    container_start_s, stream_start_s: raw start times; `timestamp_s` is measured from the former.
    fault: a code of errors.CODES that the scan found although frames can be read (truncated, corrupt), with
        fault_detail saying what was seen. An object with a fault is at most `partial`.
    """

    kind: MediaKind
    container: str
    codec: str
    width: int
    height: int
    duration_s: float = 0.0
    frame_rate: float | None = None
    container_start_s: float = 0.0
    stream_start_s: float = 0.0
    start_timecode: str | None = None
    fault: str | None = None
    fault_detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("image", "video"):
            raise ValueError(f"kind must be image or video, got {self.kind!r}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"width and height must be positive, got {self.width}×{self.height}")
        if not 0 <= self.duration_s < float("inf"):
            raise ValueError(f"duration_s must be finite and 0 or more, got {self.duration_s}")


@dataclass(frozen=True, slots=True)
class Shot:
    """What lies between two cuts: [start_s, end_s). score is the cut's strength at its start, if known."""

    start_s: float
    end_s: float
    score: float | None = None

    def __post_init__(self) -> None:
        if self.end_s < self.start_s:
            raise ValueError(f"a shot can't end ({self.end_s}) before it starts ({self.start_s})")

    @property
    def representative_s(self) -> float:
        """The moment that stands for the shot: its middle."""
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture and when it is on screen.

    image: RGB uint8 (height, width, 3), upright, square pixels. timestamp_s: this frame's own presentation
    time less the container's start. target_s: the moment that was asked for (timestamp_s ≤ target_s to the microsecond,
    except before the first frame). frame_index: position in presentation order, from 0. context: what the archive
    knows of the media object.
    """

    media_id: str
    image: np.ndarray
    timestamp_s: float = 0.0
    target_s: float = 0.0
    frame_index: int = 0
    context: str = ""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or str(self.image.dtype) != "uint8":
            raise ValueError(f"image must be uint8 (height, width, 3), got {self.image.dtype} {self.image.shape}")


@dataclass(frozen=True, slots=True)
class Label:
    """One label with the tagger's confidence 0–1, or None where the tagger gives none."""

    label: str
    score: float | None = None

    def __post_init__(self) -> None:
        _check_label(self.label, self.score)


@dataclass(frozen=True, slots=True)
class Participant:
    """One kind of participant: how many of them are seen (None: seen, not counted)."""

    label: str
    kind: Literal["person", "animal", "object"]
    count: int | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        _check_label(self.label, self.score)
        if self.kind not in ("person", "animal", "object"):
            raise ValueError(f"kind must be person, animal or object, got {self.kind!r}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be 1 or more, got {self.count}")


def _check_label(label: str, score: float | None) -> None:
    if not label or label != label.strip():
        raise ValueError(f"a label can't be empty or padded, got {label!r}")
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"score must be between 0 and 1, got {score}")


@dataclass(frozen=True, slots=True)
class FrameTags:
    """What a tagger says of one frame. None: it wasn't asked or can't see that; (): it looked and saw none."""

    caption: str | None = None
    caption_source: Literal["vlm", "template"] | None = None
    categories: tuple[Label, ...] | None = None
    participants: tuple[Participant, ...] | None = None
    actions: tuple[Label, ...] | None = None
    scene: tuple[Label, ...] | None = None
    tags: tuple[Label, ...] | None = None
    rating: tuple[Label, ...] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __post_init__(self) -> None:
        if (self.caption is None) != (self.caption_source is None):
            raise ValueError("caption and caption_source go together")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Evidence for one frame: WebP bytes and their size in pixels."""

    __pydantic_config__: ClassVar = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}

    image: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class TaggedFrame:
    """One frame that was answered, as it goes into the lake."""

    timestamp_s: float
    frame_index: int
    tags: FrameTags
    shot_index: int | None = None
    thumbnail: Thumbnail | None = None
    reused_from_s: float | None = None


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Media objects that one task looks at and one transaction commits.

    unfinished: media_id → the partial tagging (same object, same recipe) whose answered frames are taken over.
    """

    batch_id: str
    run_id: str
    objects: tuple[MediaObject, ...]
    unfinished: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaTags:
    """One tagging: one look at one media object under one recipe, complete enough to be committed.

    decoder: name and version of each decoder that touched it, separated by ', '. frame_budget: frames whose captions
    the model can hold when it sums them up; None where no context limits it. summary: of the whole, by the tagger.
    """

    tagging_id: str
    run_id: str
    batch_id: str
    recipe_id: str
    object: MediaObject
    status: Status
    tagged_at: datetime
    info: MediaInfo | None = None
    content_id: str | None = None
    decoder: str | None = None
    error_code: str | None = None
    error: str | None = None
    shots: tuple[Shot, ...] | None = None
    frames: tuple[TaggedFrame, ...] = field(default=())
    bytes_read: int = 0
    decode_s: float = 0.0
    model_s: float = 0.0
    frame_budget: int | None = None
    summary: str | None = None
    further_prompt_tokens: int = 0  # of the summary and of frames without an answer
    further_completion_tokens: int = 0

    def __post_init__(self) -> None:
        if (self.status == "ok") == (self.error_code is not None):
            raise ValueError(f"status {self.status} and error_code {self.error_code} contradict each other")
        if self.status in ("failed", "skipped") and self.frames:
            raise ValueError(f"a {self.status} tagging has no frames")
