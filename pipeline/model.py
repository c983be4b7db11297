"""The data that flows between the stages: frozen dataclasses that check themselves.

Positions are float seconds on the clock a player shows (presentation time less the container's start),
sizes are bytes, pictures are RGB uint8 arrays of shape (height, width, 3).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.uris import media_id

if TYPE_CHECKING:
    import numpy as np

MediaKind = Literal["image", "video"]
Status = Literal["ok", "partial", "failed", "skipped"]

RATINGS = ("safe", "suggestive", "explicit", "violent")


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
    rotation: degrees counter-clockwise that set the picture upright (width and height are upright already), None
        where that isn't known (pictures). hdr: transfer function of HDR, None for SDR.
    audio_languages, subtitle_languages: one entry a track, as the file writes it, `und` where it says nothing;
        empty: no such track; None: not known (stills). text_subtitles: whether a subtitle track is text, not pictures.
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
    rotation: int | None = None
    hdr: Literal["pq", "hlg"] | None = None
    audio_languages: tuple[str, ...] | None = None
    subtitle_languages: tuple[str, ...] | None = None
    text_subtitles: bool = False

    def __post_init__(self) -> None:
        for name in ("audio_languages", "subtitle_languages"):
            if (languages := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(languages))  # JSON, on its way between processes, has lists
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


@dataclass(frozen=True, slots=True)
class Subtitle:
    """One line of a subtitle track, as plain text on one line.

    end_s: None where the file doesn't say. language: as the file writes it, `und` where it says nothing.
    track: position of the track in MediaInfo.subtitle_languages, from 0.
    """

    start_s: float
    end_s: float | None
    text: str
    language: str
    track: int

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("a subtitle without text is none")
        if self.end_s is not None and self.end_s < self.start_s:
            raise ValueError(f"a subtitle can't end ({self.end_s}) before it starts ({self.start_s})")


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
class MediaTags:
    """One tagging: one look at one media object under one recipe, complete enough to be committed.

    decoder: name and version of each decoder that touched it, separated by ', '. frame_budget: frames whose captions
    the model can hold when it sums them up; None where no context limits it. summary: of the whole, by the tagger.
    inherited_from: the tagging whose rows are written again for this object; nothing of them is in here.
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
    subtitles: tuple[Subtitle, ...] = ()
    inherited_from: str | None = None

    def __post_init__(self) -> None:
        if (self.status == "ok") == (self.error_code is not None):
            raise ValueError(f"status {self.status} and error_code {self.error_code} contradict each other")
        if self.status in ("failed", "skipped") and self.frames:
            raise ValueError(f"a {self.status} tagging has no frames")

    def for_copy(self, media: MediaObject) -> MediaTags:
        """The tagging of another object with the same bytes: it inherits what was found, or the failure."""
        return MediaTags(
            tagging_id=uuid.uuid4().hex,
            run_id=self.run_id,
            batch_id=self.batch_id,
            recipe_id=self.recipe_id,
            object=media,
            status=self.status,
            tagged_at=self.tagged_at,
            error_code=self.error_code,
            error=self.error,
            inherited_from=(self.inherited_from or self.tagging_id) if self.status in ("ok", "partial") else None,
        )
