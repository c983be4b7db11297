"""What one task looks at and one transaction commits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from pipeline.model import MediaObject


@dataclass(frozen=True, slots=True)
class Batch:
    """Media objects that one task looks at and one transaction commits.

    unfinished: media_id → the partial tagging (same object, same recipe) whose answered frames are taken over.
    looked_at: media_ids that were looked at before. others: batches of other runs in the lake when this was planned: as
    long as there are no more, nobody has looked at the rest meanwhile. copies: objects with the bytes of one of
    `objects`, and the media_id of that one, whose answers they inherit. alike: media_id → content_id → tagging of other
    objects of the same size, which it inherits if it turns out to have these bytes. video_s: what its videos are
    expected to last together.
    """

    batch_id: str
    run_id: str
    objects: tuple[MediaObject, ...]
    unfinished: dict[str, str] = field(default_factory=dict)
    looked_at: tuple[str, ...] = ()
    others: int = 0
    copies: tuple[tuple[MediaObject, str], ...] = ()
    alike: dict[str, dict[str, str]] = field(default_factory=dict)
    video_s: float = 0.0

    @property
    def media(self) -> int:
        """How many media objects."""
        return len(self.objects) + len(self.copies)

    def without(self, media_ids: Collection[str]) -> Batch:
        """The same but for these media, and for copies of them."""
        return replace(
            self,
            objects=tuple(one for one in self.objects if one.media_id not in media_ids),
            copies=tuple((one, of) for one, of in self.copies if not {one.media_id, of} & set(media_ids)),
            unfinished={one: tagging for one, tagging in self.unfinished.items() if one not in media_ids},
            looked_at=tuple(one for one in self.looked_at if one not in media_ids),
            alike={one: tagging for one, tagging in self.alike.items() if one not in media_ids},
        )

    @property
    def label(self) -> str:
        """As a scheduler shows it: 'batch 12: 340 media, 5.1 h'."""
        hours = f", {self.video_s / 3600:.1f} h" if self.video_s else ""
        return f"batch {int(self.batch_id)}: {self.media} media{hours}"
