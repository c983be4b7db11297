"""Several frames at once, without collecting the stream and without leaving a thread."""

import threading

import numpy as np
import pytest

from pipeline.model import Frame, FrameTags
from pipeline.taggers.base import Answer
from pipeline.taggers.pool import answer_each

FRAMES = [Frame(str(number), np.zeros((1, 1, 3), np.uint8)) for number in range(9)]


def answer(frame):
    return Answer(frame, FrameTags())


def names(answers):
    return [answer.frame.media_id for answer in answers]


def test_so_many_threads_work_at_the_same_time():
    together = threading.Barrier(3, timeout=60)

    def meet(frame):
        together.wait()
        return answer(frame)

    assert sorted(names(answer_each(FRAMES, meet, threads=3))) == [str(number) for number in range(9)]


def test_who_is_ready_first_is_answered_first():
    seen = threading.Event()

    def first_waits(frame):
        if frame is FRAMES[0]:
            seen.wait()
        return answer(frame)

    answers = answer_each(FRAMES[:2], first_waits, threads=2)
    assert next(answers).frame is FRAMES[1]
    seen.set()
    assert names(answers) == ["0"]


def test_what_breaks_in_a_thread_reaches_the_caller_and_ends_the_others():
    def broken(frame):
        if frame is FRAMES[2]:
            raise RuntimeError("out of memory")
        return answer(frame)

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="out of memory"):
        list(answer_each(FRAMES, broken, threads=2))
    assert set(threading.enumerate()) == before


def test_closing_drops_what_waits_and_lets_finish_what_is_looked_at():
    looked_at, go_on = [], threading.Event()

    def slow(frame):
        looked_at.append(frame.media_id)
        if frame is not FRAMES[0]:
            go_on.wait()
        return answer(frame)

    answers = answer_each(FRAMES, slow, threads=1)
    assert next(answers).frame is FRAMES[0]
    threading.Timer(0.05, go_on.set).start()
    answers.close()
    assert len(looked_at) <= 2
    assert list(answers) == []
