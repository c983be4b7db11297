"""Readers: threads that fetch media, let a child process decode them, and hand the chosen frames over."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator
from pathlib import Path

from pipeline import sampling
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from pipeline.lake.reader import answered_frames
from pipeline.model import Batch, Frame, MediaObject, TaggedFrame
from pipeline.steps.desk import Desk, OpenMedia
from pipeline.steps.scratch import scratch_folder
from pipeline.steps.workplace import Workplace
from pipeline.thumbnails import thumbnail

FRAMES_AHEAD = 2
"""Decoded frames that may wait for the tagger, for each reader: bounds memory."""


class Readers:
    """Reads a batch with `settings.workers` threads, each with a decoder process of its own.

    `frames()` yields every frame that isn't answered yet, of several media at a time. What happens to each
    media object is reported to the desk; what breaks the batch as a whole is raised from `frames()`.
    """

    def __init__(self, work: Workplace, batch: Batch, desk: Desk, *, evidence: bool) -> None:
        self._work, self._desk = work, desk
        self._thumbnail_px = work.settings.thumbnail_px if evidence and work.settings.thumbnails else 0
        self._todo: queue.SimpleQueue[tuple[MediaObject, tuple[TaggedFrame, ...]]] = queue.SimpleQueue()
        lake = work.lake() if batch.unfinished else None
        for media in batch.objects:
            earlier = batch.unfinished.get(media.media_id)
            self._todo.put((media, answered_frames(lake, earlier) if lake and earlier else ()))
        count = min(work.settings.workers, len(batch.objects))
        self._ready: queue.Queue[Frame | BaseException | None] = queue.Queue(FRAMES_AHEAD * max(1, count))
        self._stop = threading.Event()
        self._children: list[DecodeChild] = []
        self._threads = [threading.Thread(target=self._run, name=f"reader-{n}", daemon=True) for n in range(count)]

    def frames(self) -> Generator[Frame]:
        """Yield frames until every media object is read; closing it early stops the readers."""
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        try:
            while running:
                item = self._ready.get()
                if item is None:
                    running -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
        finally:
            self._stop.set()
            for child in self._children:
                child.stop()
            for thread in self._threads:
                while thread.is_alive():
                    with contextlib.suppress(queue.Empty):  # a reader may be waiting for room
                        self._ready.get(timeout=0.05)

    def _run(self) -> None:
        settings = self._work.settings
        try:
            with (
                DecodeChild(
                    deadline_s=settings.decode_deadline_s,
                    memory_mb=settings.decode_memory_mb,
                    max_megapixels=settings.max_megapixels,
                ) as child,
                scratch_folder() as folder,
            ):
                self._children.append(child)
                while not self._stop.is_set():
                    try:
                        media, answered = self._todo.get_nowait()
                    except queue.Empty:
                        break
                    opened = self._desk.open(media, answered)
                    if opened:
                        self._read(opened, child, folder)
            self._ready.put(None)
        except BaseException as error:
            self._ready.put(error)

    def _read(self, opened: OpenMedia, child: DecodeChild, folder: Path) -> None:
        """One media object from its bytes to its last frame. Its own troubles end here."""
        media, trouble = opened.object, None
        store = self._work.store(media.uri)
        try:
            self._check_size(media.size_bytes)
            opened.copy = store.fetch(media, folder, self._watch)
            self._decode(opened, child, opened.copy.path)
        except MediaError as error:
            trouble = error
        finally:
            if opened.copy and opened.copy.path.parent == folder:
                opened.copy.path.unlink(missing_ok=True)
        if opened.copy and store.changed(media):
            trouble = MediaError("object_changed")
        if not self._stop.is_set():
            self._desk.read_to_end(opened, trouble)

    def _check_size(self, size_bytes: int) -> None:
        limit = self._work.settings.max_object_mb << 20
        if size_bytes > limit:
            raise MediaError("too_large", f"{size_bytes:,} bytes or more, limit {limit:,}")

    def _watch(self, got_bytes: int) -> None:
        """Called while an object is fetched: Ctrl-C ends that too, and a server may say no size, or a wrong one."""
        if self._stop.is_set():
            raise MediaError("unreadable", "interrupted")
        self._check_size(got_bytes)

    def _decode(self, opened: OpenMedia, child: DecodeChild, path: Path) -> None:
        settings, started = self._work.settings, time.monotonic()
        try:
            info = opened.info = child.probe(path)
            if settings.sampling in sampling.NEED_SHOTS and info.kind == "video":
                opened.shots = tuple(child.shots(path, info))
            targets = sampling.choose(settings.sampling, info, opened.shots or (), settings.max_frames)
            media_id = opened.object.media_id
            for frame in child.frames(path, info, targets, media_id=media_id, decoder=settings.decoder):
                opened.decode_s += time.monotonic() - started
                self._hand_over(opened, frame)
                if self._stop.is_set():
                    return
                started = time.monotonic()
        finally:
            opened.decode_s += time.monotonic() - started
            opened.decoder = child.decoder

    def _hand_over(self, opened: OpenMedia, frame: Frame) -> None:
        picture = thumbnail(frame.image, width_px=self._thumbnail_px) if self._thumbnail_px else None
        if self._desk.wants(opened, frame, picture):
            self._ready.put(frame)
