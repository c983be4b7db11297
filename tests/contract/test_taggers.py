"""Every tagger keeps the same promises (pipeline/taggers/base.py). A new tagger joins by a line in TAGGED."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import CODES, TaggerError, UsageError
from pipeline.model import METADATA_KINDS, Frame, FrameTags
from pipeline.taggers import TAGGERS, open_tagger
from tests.media import media

TAGGED = {
    "builtin": lambda threads: threads + 1,
    "null": lambda _: 1,
}
"""Tagger → how many frames it may hold when it looks with so many threads."""


def test_every_tagger_is_held_to_the_contract():
    assert set(TAGGED) == set(TAGGERS)


@pytest.fixture(scope="module", params=TAGGED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def opened(name):
    """One open tagger for all that doesn't need one of its own."""
    with open_tagger(name, metadata=METADATA_KINDS, threads=2) as tagger:
        yield tagger


@pytest.fixture(scope="module")
def frames():
    """Different small pictures of several media, in one stream."""
    photograph = np.asarray(Image.open(media("coffee.png")).convert("RGB"))
    return [
        Frame(f"media-{number % 3}", photograph[number * 20 :: 3, number * 30 :: 3], timestamp_s=number / 2)
        for number in range(8)
    ]


def impossible(frame):
    """A frame that passes the model and that no network takes: it has no pixel."""
    return Frame(frame.media_id, np.zeros((0, 0, 3), np.uint8))


class Counted:
    """A stream of frames that knows how many were taken."""

    def __init__(self, frames):
        self.frames, self.taken = iter(frames), 0

    def __iter__(self):
        for frame in self.frames:
            self.taken += 1
            yield frame


# ---- what it is


def test_its_identity_is_readable_before_it_is_entered_and_says_its_name(name):
    assert open_tagger(name, metadata=METADATA_KINDS).identity.tagger == name


def test_neither_threads_nor_metadata_change_its_identity(name):
    one, other = open_tagger(name, metadata=METADATA_KINDS), open_tagger(name, metadata=("tags",), threads=7)
    assert one.identity == other.identity


def test_it_loads_no_network_before_it_is_entered(name):
    code = (
        "import sys; from pipeline.taggers import open_tagger; open_tagger(sys.argv[1], metadata=('tags',)).identity;"
        "print({'cv2', 'ai_edge_litert', 'torch', 'duckdb', 'pyarrow', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_tagger_kind_or_number_of_threads_is_refused():
    with pytest.raises(UsageError, match=r"unknown tagger 'bulitin': known are builtin, null — did you mean builtin\?"):
        open_tagger("bulitin", metadata=METADATA_KINDS)
    with pytest.raises(UsageError, match="unknown metadata kind 'colours': known are actions, categories"):
        open_tagger("null", metadata=("colours",))
    with pytest.raises(UsageError, match="threads must be 1 or more, got 0"):
        open_tagger("null", metadata=METADATA_KINDS, threads=0)


# ---- what it answers


def test_it_answers_every_frame_once(opened, frames):
    answers = list(opened.look(iter(frames)))
    assert Counter(id(answer.frame) for answer in answers) == Counter(map(id, frames))
    assert all(isinstance(answer.tags, FrameTags) and answer.model_s >= 0 for answer in answers)


def test_it_may_look_again_when_a_look_has_ended(opened, frames):
    for part in (frames[:2], [], frames[2:4]):
        assert {id(answer.frame) for answer in opened.look(part)} == set(map(id, part))


def test_the_same_frame_gets_the_same_tags_whatever_is_looked_at_beside_it(name, opened, frames):
    together = {id(answer.frame): answer.tags for answer in opened.look(frames[:4])}
    with open_tagger(name, metadata=METADATA_KINDS, threads=1) as alone:
        assert {id(frame): next(iter(alone.look([frame]))).tags for frame in frames[:4]} == together


@pytest.mark.parametrize("kind", METADATA_KINDS)
def test_only_kinds_that_were_asked_for_are_filled(name, frames, kind):
    with open_tagger(name, metadata=(kind,)) as tagger:
        (answer,) = tagger.look(frames[:1])
    assert [other for other in METADATA_KINDS if getattr(answer.tags, other) is not None] in ([kind], [])


def test_a_frame_it_cannot_look_at_is_an_answer_with_a_code_and_the_rest_is_answered(opened, frames):
    answers = list(opened.look([frames[0], impossible(frames[0]), frames[1]]))
    assert len(answers) == 3
    refused = [answer for answer in answers if answer.tags is None]
    assert len(refused) == (1 if opened.looks else 0)  # who doesn't look finds nothing wrong
    assert all(answer.error_code in CODES and answer.detail for answer in refused)


# ---- how it takes the stream


@pytest.mark.parametrize("threads", [1, 3])
def test_it_holds_a_bounded_number_of_frames_of_an_endless_stream(name, frames, threads):
    stream = Counted(itertools.cycle(frames))
    with open_tagger(name, metadata=("tags",), threads=threads) as tagger:
        held = [stream.taken - number for number, _ in enumerate(itertools.islice(tagger.look(stream), 12))]
    assert max(held) <= TAGGED[name](threads)


def test_it_takes_no_frame_before_it_is_asked(opened, frames):
    stream = Counted(frames)
    answers = opened.look(stream)
    assert stream.taken == 0
    next(iter(answers))
    answers.close()


def test_what_breaks_the_stream_reaches_the_caller(opened, frames):
    def broken():
        yield frames[0]
        raise RuntimeError("the store is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        list(opened.look(broken()))
    assert len(list(opened.look(frames[:1]))) == 1


@pytest.mark.parametrize("how", ["closed", "left open"])
def test_a_look_that_is_left_halfway_leaves_no_thread(name, frames, how):
    before = set(threading.enumerate())
    with open_tagger(name, metadata=("tags",), threads=2) as tagger:
        answers = tagger.look(itertools.cycle(frames))
        next(answers)
        if how == "closed":
            answers.close()
            assert set(threading.enumerate()) == before
    assert set(threading.enumerate()) == before
    answers.close()


def test_a_missing_extra_names_its_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)  # as where it isn't installed
    sentence = r"tagger 'builtin' needs the package ai_edge_litert, .*: pip install 'shotlog\[builtin\]'"
    with pytest.raises(TaggerError, match=sentence):
        open_tagger("builtin", metadata=METADATA_KINDS)
