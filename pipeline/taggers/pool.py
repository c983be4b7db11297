"""Looking at several frames at the same time without collecting the stream they come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.model import Frame
from pipeline.taggers.base import Answer, Look


def answer_each(stream: Iterable[Look], answer: Callable[[Frame], Answer], *, threads: int) -> Generator[Answer]:
    """Call `answer` on every frame in up to `threads` threads and yield what comes of each as it finishes.

    Frames are taken by the caller's own thread; at None it yields what is finished. At most threads + 1 are held:
    the extra one keeps the threads busy while the caller is with an answer. Closing the generator waits for frames
    being looked at, drops those that wait, and leaves no thread behind.
    """
    flying: set[Future[Answer]] = set()
    with ThreadPoolExecutor(threads, thread_name_prefix="shotlog-tagger") as pool:
        try:
            for frame in stream:
                if isinstance(frame, Frame):
                    flying.add(pool.submit(answer, frame))
                if len(flying) > threads:
                    wait(flying, return_when=FIRST_COMPLETED)
                done = {future for future in flying if future.done()}
                flying -= done
                for future in done:
                    yield future.result()
            while flying:
                done, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in flying:
                future.cancel()
