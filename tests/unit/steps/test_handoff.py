"""What readers leave for the tagger waits in bounded memory, and nobody waits for ever."""

from __future__ import annotations

import threading

import numpy as np

from pipeline.model import Frame
from pipeline.steps.handoff import Handoff
from pipeline.taggers.base import Film


def frame(kilobytes, moment=0.0):
    return Frame("m", np.zeros((kilobytes, 256, 3), np.uint8), timestamp_s=moment)


SIZE = frame(1).image.nbytes


def test_what_goes_in_comes_out_in_order_and_nothing_is_none():
    handoff = Handoff()
    items = [frame(1, 0.0), Film("m", (), 1.0), frame(1, 1.0), RuntimeError("broken")]
    for item in items:
        handoff.put(item)
    assert len(handoff) == 4
    assert [handoff.get(0) for _ in items] == items
    assert (handoff.get(0), len(handoff)) == (None, 0)


def test_frames_wait_for_room_and_are_never_more_than_the_bytes_allow():
    handoff, most, count = Handoff(3 * SIZE), 0, 50

    def write():
        for moment in range(count):
            handoff.put(frame(1, float(moment)))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(3 * count):
        assert handoff.get(10) is not None
        most = max(most, len(handoff))
    for writer in writers:
        writer.join()
    assert 1 <= most <= 3


def test_a_frame_larger_than_the_room_goes_in_alone():
    handoff = Handoff(SIZE)
    handoff.put(frame(9))
    writer = threading.Thread(target=handoff.put, args=[frame(9, 1.0)])
    writer.start()
    assert [handoff.get(10).timestamp_s, handoff.get(10).timestamp_s] == [0.0, 1.0]
    writer.join()


def test_films_and_exceptions_never_wait():
    handoff = Handoff(SIZE)
    handoff.put(frame(1))
    handoff.put(Film("m", (), 1.0))  # would hang: nobody takes anything
    handoff.put(RuntimeError("broken"))
    assert len(handoff) == 3


def test_closing_lets_go_who_waits_and_takes_nothing_more():
    handoff = Handoff(SIZE)
    handoff.put(frame(1))
    writer = threading.Thread(target=handoff.put, args=[frame(1)])
    writer.start()
    handoff.close()
    writer.join()
    handoff.put(frame(1))
    assert (len(handoff), handoff.get(0)) == (0, None)
