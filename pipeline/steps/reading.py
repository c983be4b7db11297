"""Readers: threads that fetch media, let a child process decode them, and hand the chosen frames over."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline import context
from pipeline.batch import Batch
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError, UsageError
from pipeline.lake.reader import answered_frames
from pipeline.model import Frame, MediaInfo, MediaObject, TaggedFrame
from pipeline.pictures import fingerprint, shrunk, thumbnail
from pipeline.planning.budget import Purse
from pipeline.scratch import scratch_folder
from pipeline.steps.decoders import Decoders
from pipeline.steps.desk import Desk
from pipeline.steps.footage import Footage
from pipeline.steps.handoff import Handoff
from pipeline.steps.media_in_hand import MediaInHand
from pipeline.steps.workplace import Workplace
from pipeline.store.base import Store
from pipeline.taggers.base import Look, Tagger
from pipeline.taggers.budget import CHARACTERS_A_TOKEN, frame_budget

WAIT_S = 0.05
"""After so long without a frame, the tagger hears that there is nothing just now."""


AHEAD = 2
"""Threads a decoder process: while one lets it decode, the other fetches what comes next."""


class _TooDear(Exception):
    """A media object takes more than the purse has left."""


@dataclass(frozen=True, slots=True)
class Todo:
    """One media object to be read, what was answered of it before, and what it may be a copy of (batch.Batch.alike)."""

    batch_id: str
    media: MediaObject
    answered: tuple[TaggedFrame, ...]
    alike: dict[str, str]


class Readers:
    """Reads batches, one after the other without a pause, with these decoder processes, while the purse has enough.

    `stream()` yields every frame that isn't answered yet, of several media at a time, and the films to be summed up.
    What happens to each media object is reported to the desk; what breaks a batch as a whole is raised from there.
    """

    def __init__(
        self,
        work: Workplace,
        batches: Iterable[Batch],
        desk: Desk,
        tagger: Tagger,
        decoders: Decoders,
        purse: Purse | None = None,
    ) -> None:
        self._work, self._desk, self._decoders, self._purse = work, desk, decoders, purse
        self._evidence_px = work.settings.thumbnail_px if tagger.looks and work.settings.thumbnails else 0
        self._max_pixels = tagger.identity.max_pixels
        self._asks_model, self._budget = tagger.summarises, tagger.budget()
        self._handoff = Handoff()
        if tagger.summarises:
            desk.sum_up = self._handoff.put
        self._todo, self._taking = self._objects(batches), threading.Lock()
        self._stop = threading.Event()
        count = AHEAD * len(decoders)
        self._threads = [threading.Thread(target=self._run, name=f"reader-{n}", daemon=True) for n in range(count)]
        self._reading, self._over = count, threading.Event()

    def stream(self) -> Generator[Look]:
        """Yield until every media object has ended; closing it early stops the readers, and so the decoders."""
        for thread in self._threads:
            thread.start()
        try:
            while self._reading or self._handoff or not self._desk.is_clear():
                item = self._handoff.get(WAIT_S)
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._stop.set()
            self._handoff.close()
            self._decoders.stop()
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _objects(self, batches: Iterable[Batch]) -> Iterator[Todo]:
        """Every media object with what an earlier look at it has answered."""
        lake = None
        for batch in batches:
            self._desk.begin(batch)
            for media in batch.objects:
                earlier = batch.unfinished.get(media.media_id)
                lake = lake or (self._work.lake() if earlier else None)
                answered = answered_frames(lake, earlier) if lake and earlier else ()
                yield Todo(batch.batch_id, media, answered, batch.alike.get(media.media_id, {}))

    def _next(self) -> Todo | None:
        with self._taking:
            over = self._stop.is_set() or (self._purse and self._purse.is_empty)
            return None if over else next(self._todo, None)

    def _run(self) -> None:
        try:
            if todo := self._next():
                self._read_on(todo)
        except BaseException as error:
            self._handoff.put(error)
        with self._taking:
            self._reading -= 1
        self._over.wait()  # decoder processes end with the thread that started them, while others may borrow them

    def _read_on(self, todo: Todo | None) -> None:
        """Read this media object and all that no other thread takes."""
        with scratch_folder() as folder:
            while todo:
                if opened := self._desk.open(todo.batch_id, todo.media, todo.answered):
                    opened.alike = todo.alike
                    self._read(opened, folder)
                todo = self._next()

    def _read(self, opened: MediaInHand, folder: Path) -> None:
        """One media object from its bytes to its last frame. Its own troubles end here."""
        media, trouble = opened.object, None
        store = self._work.store(media.uri)
        try:
            self._check_size(media.size_bytes)
            with Footage(self._work.settings, store, media, folder, self._watch) as footage:
                with self._decoders.lend() as child:
                    self._look(opened, footage, child, store)
        except MediaError as error:
            trouble = error
        except _TooDear:
            return self._desk.put_back(opened)
        if opened.copy and store.changed(media):
            trouble = MediaError("object_changed")
        if not self._stop.is_set():
            self._desk.read_to_end(opened, trouble)
        return None

    def _look(self, opened: MediaInHand, footage: Footage, child: DecodeChild, store: Store) -> None:
        footage.open(child)
        opened.copy = footage.copy
        if opened.inherits:
            return
        opened.context = self._context(opened, store)
        try:
            self._decode(opened, child, footage)
        finally:
            opened.copy = footage.copy

    def _check_size(self, size_bytes: int) -> None:
        limit = self._work.settings.max_object_mb << 20
        if size_bytes > limit:
            raise MediaError("too_large", f"{size_bytes:,} bytes or more, limit {limit:,}")

    def _watch(self, got_bytes: int) -> None:
        """Called while an object is fetched: Ctrl-C ends that too, and a server may say no size, or a wrong one."""
        if self._stop.is_set():
            raise MediaError("unreadable", "interrupted")
        self._check_size(got_bytes)

    def _context(self, opened: MediaInHand, store: Store) -> str:
        """What the archive knows of it already, where a model is asked."""
        settings, copy = self._work.settings, opened.copy
        if copy is None or not self._asks_model:
            return ""
        sidecar = store.beside(opened.object, settings.context_sidecar) if settings.context_sidecar else None
        return context.describe(settings.context, copy.metadata, settings.context_metadata, sidecar)

    def _decode(self, opened: MediaInHand, child: DecodeChild, footage: Footage) -> None:
        started = time.monotonic()
        try:
            info = opened.info = footage.probe()
            shots = opened.shots = footage.shots(info)
            opened.subtitles = footage.subtitles(info)
            targets = self._targets(opened, footage)
            # of a frame that was answered before nobody is asked
            if self._purse and not self._purse.reserve(opened.object, max(1, len(targets) - len(opened.answered))):
                raise _TooDear
            for frame in footage.frames(info, shots, targets):
                opened.decode_s += time.monotonic() - started
                self._hand_over(opened, frame)
                if self._stop.is_set():
                    return
                started = time.monotonic()
        finally:
            opened.decode_s += time.monotonic() - started
            opened.decoder = child.decoder

    def _targets(self, opened: MediaInHand, footage: Footage) -> list[float]:
        """As many as are wanted, allowed, and fit into a summary."""
        assert opened.info
        targets = footage.targets(opened.info, opened.shots, self._work.settings.max_frames)
        opened.frame_budget = self._frame_budget(opened.info, len(targets), opened.context)
        if opened.frame_budget is not None and opened.frame_budget < len(targets):
            targets = footage.targets(opened.info, opened.shots, opened.frame_budget)
        opened.expected = len(targets)
        return targets

    def _frame_budget(self, info: MediaInfo, wanted: int, known: str) -> int | None:
        if self._budget is None or info.kind == "image":
            return None
        budget = asdict(self._budget)
        budget["prompt_tokens"] += len(known) // CHARACTERS_A_TOKEN
        try:
            return frame_budget(info.duration_s, wanted, self._work.settings.max_frames, **budget)
        except UsageError as error:
            raise MediaError("context_too_small", str(error)) from error

    def _hand_over(self, opened: MediaInHand, frame: Frame) -> None:
        image = shrunk(frame.image, self._max_pixels) if self._max_pixels else frame.image
        if distance := self._work.settings.reuse_distance:
            twin = opened.twin_of(frame, fingerprint(image), distance)
            if twin:
                self._desk.take_over(opened, frame, twin)
                return
        picture = thumbnail(image, width_px=self._evidence_px) if self._evidence_px else None
        if self._desk.wants(opened, frame, picture):
            self._handoff.put(replace(frame, image=image, context=opened.context))
