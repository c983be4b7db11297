"""Decoding in a process that may die: deadline, memory limit, and the other decoder when one is killed.

Why a process: native decoders deadlock while they hold the interpreter's lock, crash, and grow without bound;
a thread can't be ended, a process can.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pipeline import decode, shots
from pipeline.decode.process import Process
from pipeline.decode.wire import Message
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo, Shot, Subtitle

Piece = tuple[int, int]
"""Bytes [start, stop) of a media object."""

KILLED = ("decoder_crashed", "decoder_memory", "decode_timeout")
"""Ends after which the other decoder is asked for the frames still missing."""

_LEAST_BYTES_PER_S = 500
"""Half of what a film of standing slides has."""


class DecodeChild:
    """One decoder process, started when first needed and anew after each death. For one thread at a time.

    deadline_s: what one request may take beyond the media's own seconds; the time the caller takes between two
    frames doesn't count. memory_mb: resident memory at which the process is killed.
    """

    def __init__(self, *, deadline_s: float, memory_mb: int, max_megapixels: float) -> None:
        self._deadline_s, self._memory_mb, self._max_megapixels = deadline_s, memory_mb, max_megapixels
        self._process: Process | None = None
        self._used: list[str] = []
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process, which loads its libraries while the caller goes on; without this the first request does.

        The system ends it with the thread that calls this.
        """
        self._process = self._process or Process(self._memory_mb, round(self._max_megapixels * 1_000_000) * 3)

    def close(self) -> None:
        """End the process and let go of all that led to it."""
        self._kill()

    def stop(self) -> None:
        """End whatever is going on, from another thread: what is asked then ends with a MediaError."""
        self._stopped = True
        if process := self._process:
            process.end()

    @property
    def decoder(self) -> str | None:
        """Name and version of every decoder that has touched the last probed file, in turn."""
        return ", ".join(self._used) or None

    def probe(self, path: Path) -> MediaInfo:
        """What the file is. Raises MediaError: as decode.probe, and decoder_crashed, _memory, decode_timeout."""
        self._used = [decode.label(name) for name in (decode.IMAGES, decode.PROBER)]
        answers = self._ask(self._deadline_s, do="probe", path=str(path), max_megapixels=self._max_megapixels)
        infos = [MediaInfo(**answer["info"]) for answer in answers]
        self._used = []
        return infos[0]

    def glance(self, path: Path) -> float:
        """As decode.probe.glance. Raises MediaError as `probe`."""
        self._used = []
        (answer,) = self._ask(self._deadline_s, do="glance", path=str(path))
        return float(answer["duration_s"])

    def structure(self, path: Path, there: Sequence[Piece]) -> list[Piece] | None:
        """As decode.pieces.structure, of a copy of which only these pieces are there. Raises MediaError as `probe`."""
        self._used = []
        return self._pieces(do="structure", path=str(path), there=list(there))

    def needed(self, path: Path, targets_s: Sequence[float]) -> list[Piece] | None:
        """As decode.pieces.needed. Raises MediaError as `probe`."""
        return self._pieces(do="needed", path=str(path), targets_s=list(targets_s))

    def _pieces(self, **request: Any) -> list[Piece] | None:
        (answer,) = self._ask(self._deadline_s, **request)
        return None if answer["pieces"] is None else [(start, stop) for start, stop in answer["pieces"]]

    def keyframes(self, path: Path, info: MediaInfo, near_s: Sequence[float]) -> list[float]:
        """As decode.keyframes. Raises MediaError as `probe`."""
        request = {"path": str(path), "info": asdict(info), "near_s": list(near_s)}
        (answer,) = self._ask(self._deadline_s, do="keyframes", **request)
        return [float(second) for second in answer["keyframes_s"]]

    def shots(self, path: Path, info: MediaInfo, *, detector: str = shots.DETECTOR, device: str = "auto") -> list[Shot]:
        """All shots of a video. Raises MediaError as `probe`, and gpu_failed."""
        self._use(decode.IMAGES if decode.is_picture(info) else decode.PROBER)
        seconds = self._deadline_s + shots.patience(detector) * _believed_s(path, info)
        request = {"path": str(path), "info": asdict(info), "detector": detector, "device": device}
        answers = self._ask(seconds, do="shots", **request)
        return [Shot(**answer["shot"]) for answer in answers]

    def subtitles(self, path: Path, info: MediaInfo) -> tuple[Subtitle, ...]:
        """Lines of all text tracks of a video. Raises MediaError as `probe`."""
        answers = self._ask(self._deadline_s + _believed_s(path, info), do="subtitles", path=str(path))
        return tuple(Subtitle(**answer["subtitle"]) for answer in answers)

    def frames(
        self, path: Path, info: MediaInfo, targets_s: Sequence[float], *, media_id: str, decoder: str
    ) -> Iterator[Frame]:
        """Yield the frame on screen at each of the ascending targets, each frame once; see decode.base.

        decoder: as `--decoder` takes it. With `auto`, what is missing when one decoder had to be killed is asked
        of the next. Raises MediaError where some can't be had.
        """
        missing, given = list(targets_s), set[int]()
        trouble: MediaError | None = None
        for name in decode.order(decoder, info):
            self._use(name)
            try:
                for frame in self._frames(path, info, missing, media_id, name):
                    missing = [target_s for target_s in missing if target_s > frame.target_s]
                    if frame.frame_index not in given:
                        given.add(frame.frame_index)
                        yield frame
                return
            except MediaError as error:
                trouble = trouble or error
                if self._stopped or error.code not in KILLED:
                    break
        if trouble:
            raise trouble

    def frames_of_pieces(
        self, path: Path, info: MediaInfo, targets_s: Sequence[float], *, media_id: str
    ) -> Generator[Frame, None, list[float]]:
        """As `frames`, of a copy of which only what is `needed` is there; returns the targets that had to be left.

        Whatever goes wrong, all bytes may mend it: those targets are then asked of `frames`.
        """
        self._use(decode.PROBER)
        request = {"path": str(path), "info": asdict(info), "targets_s": list(targets_s)}
        left = list(targets_s)
        try:
            for answer in self._ask(self._deadline_s + _believed_s(path, info), do="frames_of_pieces", **request):
                if "left_s" in answer:
                    return list(answer["left_s"])
                frame = self._frame(answer, media_id)
                left = [target_s for target_s in left if target_s > frame.target_s]
                yield frame
        except MediaError:
            if self._stopped:
                raise
        return left

    def _frames(
        self, path: Path, info: MediaInfo, targets_s: list[float], media_id: str, decoder: str
    ) -> Iterator[Frame]:
        request = {"do": "frames", "path": str(path), "info": asdict(info), "targets_s": targets_s, "decoder": decoder}
        for answer in self._ask(self._deadline_s + _believed_s(path, info), **request):
            yield self._frame(answer, media_id)

    def _frame(self, answer: Message, media_id: str) -> Frame:
        assert self._process
        return Frame(media_id, self._process.picture(answer), **answer["frame"])

    def _use(self, name: str) -> None:
        if (label := decode.label(name)) not in self._used:
            self._used.append(label)

    def _ask(self, seconds: float, **request: Any) -> Iterator[Message]:
        """Send one request and yield its answers. A request that isn't answered to its end ends the process."""
        if self._stopped:
            raise MediaError("decoder_crashed", "it was told to stop")
        self.start()
        process, ended = self._process, False
        assert process
        if self._stopped:  # while it started
            process.end()
        try:
            process.ready()
            process.ask(request, seconds)
            while "end" not in (message := process.answer()):
                if "error" in message:
                    ended = True
                    raise MediaError(message["error"], message["detail"])
                yield message
            ended = True
        finally:
            if not ended:
                self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
        self._process = None


def _believed_s(path: Path, info: MediaInfo) -> float:
    """The media's own seconds, as far as its bytes can hold them: a GIF of 7 kB may say that it lasts for a week."""
    return min(info.duration_s, path.stat().st_size / _LEAST_BYTES_PER_S)
