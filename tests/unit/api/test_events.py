"""An answer is written no further than somebody listens."""

import asyncio
import threading

import pytest

from pipeline.api.events import Closing, written


class Writer:
    """Writes a piece when it may, for ever, and knows when it was closed."""

    def __init__(self):
        self.may, self.closed, self.count = threading.Semaphore(1), threading.Event(), 0

    def pieces(self):
        try:
            while True:
                self.may.acquire()
                self.count += 1
                yield "piece"
        finally:
            self.closed.set()


async def until(event):
    await asyncio.to_thread(event.wait, 30)
    assert event.is_set()


def test_pieces_come_and_then_what_is_returned():
    def pieces():
        yield "a"
        yield "b"
        return 3

    async def all_of_it():
        return [item async for item in written(pieces())]

    assert asyncio.run(all_of_it()) == ["a", "b", 3]


def test_what_is_left_is_closed_though_a_thread_is_still_in_it():
    writer = Writer()

    async def leave():
        stream = written(writer.pieces())
        assert await anext(stream) == "piece"
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await stream.aclose()
        writer.may.release()  # the thread comes out
        await until(writer.closed)

    asyncio.run(leave())
    assert writer.count == 2


@pytest.mark.parametrize("begun", [True, False])
def test_a_stream_whose_listener_goes_away_is_closed(begun):
    writer = Writer()

    async def listen():
        async def receive():
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(_message):
            writer.may.release()
            if not begun:
                await asyncio.Event().wait()  # its connection takes nothing

        pieces = written(writer.pieces())
        assert await anext(pieces) == "piece"

        async def events():
            async for piece in pieces:
                yield piece

        response = Closing(events(), pieces.aclose, media_type="text/event-stream")
        await response({"type": "http", "asgi": {"spec_version": "2.0"}}, receive, send)
        await until(writer.closed)

    asyncio.run(listen())
