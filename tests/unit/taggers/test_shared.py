"""Many streams, one tagger: each gets its own answers, each once, and what breaks the tagger ends them all."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.errors import TaggerError
from pipeline.model import Frame, FrameTags
from pipeline.settings import Settings
from pipeline.taggers.base import Answer, TaggerIdentity
from pipeline.taggers.null import Null
from pipeline.taggers.shared import SharedTagger

PATIENCE_S = 30.0


def frame(number=0, media_id="media"):
    return Frame(media_id, np.zeros((2, 2, 3), np.uint8), timestamp_s=float(number))


class Batching:
    """Answers in batches of `size`, or of what there is when it hears that there is nothing more; notes their sizes.

    gate: waited for before each batch.
    """

    identity = TaggerIdentity(tagger="batching")
    looks = summarises = False

    def __init__(self, size, gate=None, broken_after=None):
        self.size, self.gate, self.broken_after = size, gate, broken_after
        self.batches, self.entered = [], 0

    def budget(self):
        return None

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, *exc):
        self.entered -= 1

    def look(self, stream):
        held = []
        for item in stream:
            if item is not None:
                held.append(item)
            if held and (item is None or len(held) == self.size):
                if self.gate:
                    assert self.gate.wait(PATIENCE_S)
                self.batches.append(len(held))
                if self.broken_after is not None and sum(self.batches) > self.broken_after:
                    raise TaggerError("the server has died: start it again")
                yield from (Answer(one, FrameTags()) for one in held)
                held = []


def moments(answers):
    return sorted((answer.frame.media_id, answer.frame.timestamp_s) for answer in answers)


def test_each_stream_gets_its_own_answers_each_once():
    def one(name):
        return moments(shared.look(frame(number, name) for number in range(50)))

    with SharedTagger(Batching(4)) as shared, ThreadPoolExecutor(8) as pool:
        names = [f"media-{number}" for number in range(8)]
        assert list(pool.map(one, names)) == [[(name, float(n)) for n in range(50)] for name in names]


def test_streams_share_batches():
    gate = threading.Event()
    tagger = Batching(8, gate)
    with SharedTagger(tagger) as shared, ThreadPoolExecutor(9) as pool:
        begun = [threading.Event() for _ in range(9)]

        def one(number):
            begun[number].set()
            return len(list(shared.look([frame(number)])))

        looks = [pool.submit(one, number) for number in range(9)]
        assert all(each.wait(PATIENCE_S) for each in begun)
        gate.set()
        assert [look.result(PATIENCE_S) for look in looks] == [1] * 9
    assert sum(tagger.batches) == 9
    assert len(tagger.batches) < 9


def test_a_frame_alone_is_answered_though_the_batch_is_not_full():
    with SharedTagger(Batching(1000)) as shared:
        assert moments(shared.look([frame(7)])) == [("media", 7.0)]


def test_what_one_leaves_disturbs_nobody():
    gate = threading.Event()
    with SharedTagger(Batching(1, gate)) as shared:
        leaving = shared.look(frame(number) for number in range(100))
        threading.Timer(0, gate.set).start()
        next(leaving)
        leaving.close()
        assert moments(shared.look([frame(1, "other")])) == [("other", 1.0)]


def test_what_breaks_the_tagger_ends_every_look_with_its_sentence():
    def one(_):
        with pytest.raises(TaggerError, match="the server has died: start it again"):
            list(shared.look(frame(number) for number in range(100)))
        return True

    with SharedTagger(Batching(2, broken_after=20)) as shared, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(4)))
        with pytest.raises(TaggerError, match="has died"):
            list(shared.look([frame()]))


def test_it_is_entered_once_and_left():
    tagger = Batching(2)
    with SharedTagger(tagger) as shared:
        assert tagger.entered == 1
        assert len(list(shared.look([frame(), frame(1)]))) == 2
    assert tagger.entered == 0
    with pytest.raises(TaggerError, match="has been ended"):
        list(shared.look([frame()]))


def test_it_is_the_tagger_it_stands_for():
    null = Null(None, Settings())
    shared = SharedTagger(null)
    assert (shared.identity, shared.looks, shared.summarises) == (null.identity, False, False)
    assert shared.budget() is None
