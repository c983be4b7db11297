"""From a media object's bytes to the frames that are chosen of it: one way for every step that looks at media."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from pipeline import pick, sampling
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo, MediaObject, Shot, Subtitle
from pipeline.settings import Settings
from pipeline.store.base import LocalCopy, Store, Watch, unwatched
from pipeline.store.sparse import SparseCopy

MOST_PIECES = 0.5
"""Share of a film's bytes beyond which all of them come faster at once than in pieces."""

_ROUNDS = 12
"""How often more may be asked for until the structure of a film is known: a file with more boxes is fetched whole."""


class Footage:
    """One media object on this disk: all its bytes, or of a large film those that its chosen frames are made of.

    Entering the block fetches what takes no decoder; what else there is to ask wants one first: `open`. `copy` says
    what is there by now. Leaving the block removes what was fetched. Its methods raise MediaError.
    """

    _child: DecodeChild

    def __init__(
        self, settings: Settings, store: Store, media: MediaObject, folder: Path, watch: Watch = unwatched
    ) -> None:
        self._settings, self._store, self._media = settings, store, media
        self._folder, self._watch = folder, watch
        self._whole: LocalCopy | None = None
        self._sparse: SparseCopy | None = None

    def __enter__(self) -> Self:
        """Fetch all there is, unless pieces of it may do."""
        try:
            if not self._may_come_in_pieces():
                self._fetch()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for fetched in self._folder.glob(f"{self._media.media_id}*"):
            fetched.unlink()

    def open(self, child: DecodeChild) -> None:
        """Let this process decode it. Of a film that may come in pieces those are fetched that say how it is built."""
        self._child = child
        if not self._whole and not self._lay_out():
            self._fetch()

    @property
    def copy(self) -> LocalCopy:
        if self._whole:
            return self._whole
        assert self._sparse
        return self._sparse.copy()

    def probe(self) -> MediaInfo:
        return self._child.probe(self.copy.path)

    def shots(self, info: MediaInfo) -> tuple[Shot, ...] | None:
        """All shots of a film, None where the sampling policy doesn't ask for them."""
        if info.kind != "video" or not sampling.needs_shots(self._settings.sampling):
            return None
        chosen = self._settings
        return tuple(self._child.shots(self.copy.path, info, detector=chosen.shot_detector, device=chosen.device))

    def subtitles(self, info: MediaInfo) -> tuple[Subtitle, ...]:
        """What its text tracks say. Of a film in pieces nothing: they lie all over it. Broken ones cost no frame."""
        if not info.text_subtitles or not self._whole:
            return ()
        with suppress(MediaError):
            return self._child.subtitles(self._whole.path, info)
        return ()

    def targets(self, info: MediaInfo, shots: Sequence[Shot] | None, most: int | None) -> list[float]:
        """The moments to be looked at, at most `most` (None: no limit)."""
        policy, keyframes_s = self._settings.sampling, list[float]()
        if sampling.needs_keyframes(policy) and info.kind == "video":
            near_s = sampling.choose("uniform", info, (), most)
            keyframes_s = self._child.keyframes(self.copy.path, info, near_s)
        return sampling.choose(policy, info, shots or (), most, keyframes_s)

    def frames(self, info: MediaInfo, shots: Sequence[Shot] | None, targets_s: Sequence[float]) -> Iterator[Frame]:
        """The frame on screen at each of the ascending targets, each frame once.

        With `better_frames`, one that shows nothing or nothing new is left for a neighbour in its shot that does:
        these come last.
        """
        if info.kind == "image" or not self._settings.picks_better:
            yield from self._on_screen(info, targets_s)
            return
        previous: Frame | None = None
        poor: list[tuple[float, Frame | None]] = []
        for frame in self._on_screen(info, targets_s):
            if pick.is_poor(frame, previous):
                poor.append((frame.target_s, previous))
            else:
                yield frame
                previous = pick.reminder(frame)
        choices = dict(zip(targets_s, sampling.candidates(targets_s, shots or (), info), strict=True))
        for target_s, before in poor:
            around = list(self._on_screen(info, sorted(choices[target_s])))
            if around:
                yield pick.best(sorted(around, key=lambda frame: frame.target_s != target_s), before)

    def _on_screen(self, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        media_id, left = self._media.media_id, list(targets_s)
        if self._bring(left):
            left = yield from self._child.frames_of_pieces(self.copy.path, info, left, media_id=media_id)
            if not left:
                return
            self._fetch()
        yield from self._child.frames(self.copy.path, info, left, media_id=media_id, decoder=self._settings.decoder)

    def _may_come_in_pieces(self) -> bool:
        """Whether the film is so large, and lies so, that pieces of it may do."""
        settings, media = self._settings, self._media
        if media.size_bytes <= settings.pieces_from_mb << 20 or sampling.needs_shots(settings.sampling):
            return False
        if settings.decoder == "decord" or not (ranges := self._store.ranges(media, self._watch)):
            return False
        self._sparse = SparseCopy(ranges, self._folder / f"{media.media_id}{media.suffix}.pieces")
        return True

    def _lay_out(self) -> bool:
        """Whether the film is so built that pieces of it may do; then those that say how are there."""
        assert self._sparse
        for _ in range(_ROUNDS):
            try:
                missing = self._child.structure(self._sparse.path, self._sparse.pieces)
            except MediaError:  # all bytes may mend it, or say better what is wrong
                return False
            if not missing:
                return missing is not None
            self._sparse.bring(missing)
        return False

    def _bring(self, targets_s: Sequence[float]) -> bool:
        """Fetch the pieces that these frames are made of; False where all bytes are there, or come instead."""
        if self._whole or not self._sparse:
            return False
        pieces = self._child.needed(self._sparse.path, targets_s)
        if pieces is None or sum(stop - start for start, stop in pieces) > MOST_PIECES * self._media.size_bytes:
            self._fetch()
            return False
        self._sparse.bring(pieces)
        return True

    def _fetch(self) -> None:
        fetched = self._store.fetch(self._media, self._folder, self._watch)
        before = self._sparse.bytes_read if self._sparse else 0
        self._whole = LocalCopy(fetched.path, fetched.content_id, fetched.bytes_read + before, fetched.metadata)
