"""Every tagger keeps the same promises (pipeline/taggers/base.py). A new tagger joins by a line in TAGGED."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import CODES, TaggerError, UsageError
from pipeline.model import Frame, FrameTags
from pipeline.recipe import METADATA_KINDS
from pipeline.settings import load_settings
from pipeline.taggers import TAGGERS, open_tagger
from pipeline.taggers.base import Answer, Captioned, Film, Question, Summary
from tests.media import media
from tests.models.answers import short_answers


@dataclass(frozen=True)
class Candidate:
    """How a tagger is opened for these tests, and how many frames it may hold when it looks with so many threads."""

    settings: Callable[[pytest.FixtureRequest], dict[str, Any]]
    held: Callable[[int], int]
    threads: str = "workers"
    """The setting that says how many frames it looks at at the same time."""


def tiny_model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A model of random weights: what it says means nothing, that it says it in the right shape is what counts."""
    folder = request.getfixturevalue("tiny_model")
    return {
        "tagger": f"transformers:{folder}",
        **short_answers(request.getfixturevalue("tmp_path_factory").mktemp("labels")),
    }


def served_model(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue("held_server")
    return {
        "tagger": f"openai:{server.model}",
        "openai_base_url": server.url,
        **short_answers(request.getfixturevalue("tmp_path_factory").mktemp("labels")),
    }


TAGGED = {
    "builtin": Candidate(lambda _: {"tagger": "builtin"}, lambda threads: threads + 1),
    "null": Candidate(lambda _: {"tagger": "null"}, lambda _: 1),
    "transformers:NAME": Candidate(tiny_model, lambda batch: 2 * batch, "model_batch"),
    "openai:MODEL": Candidate(served_model, lambda in_flight: 2 * in_flight + 1, "openai_in_flight"),
}


def test_every_tagger_is_held_to_the_contract():
    assert set(TAGGED) == set(TAGGERS)


@pytest.fixture(scope="module", params=TAGGED)
def known(request):
    return request.param


@pytest.fixture(scope="module")
def name(known):
    return known.partition(":")[0]


@pytest.fixture(scope="module")
def opening(known, request):
    """Opens the tagger with metadata kinds and threads of the test's choice."""
    candidate = TAGGED[known]
    settings = candidate.settings(request)

    def opened(metadata=METADATA_KINDS, threads=2):
        return open_tagger(load_settings(**settings, metadata=metadata, **{candidate.threads: threads}))

    return opened


@pytest.fixture(scope="module")
def opened(opening):
    """One open tagger for all that doesn't need one of its own."""
    with opening() as tagger:
        yield tagger


@pytest.fixture(scope="module")
def frames():
    """Different small pictures of several media, in one stream."""
    photograph = np.asarray(Image.open(media("coffee.png")).convert("RGB"))
    return [
        Frame(f"media-{number % 3}", photograph[number * 20 :: 3, number * 30 :: 3], timestamp_s=number / 2)
        for number in range(8)
    ]


@pytest.fixture(scope="module")
def film():
    captions = (Captioned(0.5, "A cup of coffee."), Captioned(1.5, "The cup is empty.", 6))
    return Film("media-9", captions, duration_s=2.0)


def impossible(frame):
    """A frame that passes the model and that no network takes: it has no pixel."""
    return Frame(frame.media_id, np.zeros((0, 0, 3), np.uint8))


class Stream:
    """A stream of frames that knows how many were taken, and that stays open until every one is answered."""

    def __init__(self, items):
        self.items, self.taken, self.answered = iter(items), 0, 0

    def __iter__(self):
        for item in self.items:
            self.taken += 1
            yield item
        while self.answered < self.taken:
            yield None


# ---- what it is


def test_its_identity_is_readable_before_it_is_entered_and_says_its_name(name, opening):
    assert opening().identity.tagger == name


def test_neither_threads_nor_metadata_change_its_identity(opening):
    assert opening().identity == opening(metadata=("tags",), threads=7).identity


def test_it_loads_no_network_before_it_is_entered(known, request):
    code = (
        "import json, sys; from pipeline.settings import load_settings; from pipeline.taggers import open_tagger;"
        "open_tagger(load_settings(**json.loads(sys.argv[1]))).identity;"
        "print({'cv2', 'ai_edge_litert', 'torch', 'transformers', 'duckdb', 'pyarrow', 'av'} & set(sys.modules))"
    )
    settings = json.dumps(TAGGED[known].settings(request), default=str)
    done = subprocess.run([sys.executable, "-c", code, settings], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_tagger_or_a_missing_model_is_refused():
    known = "builtin, null, openai:MODEL, transformers:NAME"
    with pytest.raises(UsageError, match=rf"unknown tagger 'bulitin': known are {known} — did you mean builtin\?"):
        open_tagger(load_settings(tagger="bulitin"))
    for wrong, right in (("openai", "openai:MODEL"), ("transformers:", "transformers:NAME"), ("null:x", "null")):
        with pytest.raises(UsageError, match=f"tagger '{wrong}' .*: write {right}$"):
            open_tagger(load_settings(tagger=wrong))


# ---- what it answers


def test_it_answers_every_frame_once(opened, frames):
    answers = list(opened.look(iter(frames)))
    assert Counter(id(answer.frame) for answer in answers) == Counter(map(id, frames))
    assert all(isinstance(answer.tags, FrameTags) and answer.model_s >= 0 for answer in answers)


def test_it_may_look_again_when_a_look_has_ended(opened, frames):
    for part in (frames[:2], [], frames[2:4]):
        assert {id(answer.frame) for answer in opened.look(part)} == set(map(id, part))


def test_the_same_frame_gets_the_same_tags_whatever_is_looked_at_beside_it(opening, opened, frames):
    together = {id(answer.frame): answer.tags for answer in opened.look(frames[:4])}
    with opening(threads=1) as alone:
        assert {id(frame): next(iter(alone.look([frame]))).tags for frame in frames[:4]} == together


@pytest.mark.parametrize("kind", METADATA_KINDS)
def test_only_kinds_that_were_asked_for_are_filled(opening, frames, kind):
    with opening(metadata=(kind,), threads=1) as tagger:
        (answer,) = tagger.look(frames[:1])
    assert [other for other in METADATA_KINDS if getattr(answer.tags, other) is not None] in ([kind], [])


def test_a_frame_it_cannot_look_at_is_an_answer_with_a_code_and_the_rest_is_answered(opened, frames):
    answers = list(opened.look([frames[0], impossible(frames[0]), frames[1]]))
    assert len(answers) == 3
    refused = [answer for answer in answers if answer.tags is None]
    assert len(refused) == (1 if opened.looks else 0)  # who doesn't look finds nothing wrong
    assert all(answer.error_code in CODES and answer.detail for answer in refused)


def test_who_writes_captions_sums_films_up_and_counts_its_tokens(opened, frames, film):
    found = list(opened.look([frames[0], film] if opened.summarises else frames[:1]))
    (answer,) = (each for each in found if isinstance(each, Answer))
    assert (answer.tags.caption_source == "vlm") is opened.summarises
    assert (opened.budget() is not None) is opened.summarises
    if opened.summarises:
        (summary,) = (each for each in found if isinstance(each, Summary))
        assert summary.film is film and summary.text
        assert min(answer.tags.prompt_tokens, answer.tags.completion_tokens) > 0
        assert min(summary.prompt_tokens, summary.completion_tokens) > 0


def test_who_writes_answers_questions_and_the_others_say_who_does(opening, frames):
    tagger = opening()
    question = Question(
        "What is in the cup?", [("coffee.png", None, frames[0]), ("clip.mp4", "00:00:01.000", frames[1])]
    )
    if tagger.summarises:
        with tagger:
            pieces = list(tagger.answer(question))
        assert "".join(pieces)
    else:
        with pytest.raises(UsageError, match=r"can't answer questions: use --tagger transformers:NAME or openai:MODEL"):
            tagger.answer(question)


# ---- how it takes the stream


@pytest.mark.parametrize("threads", [1, 3])
def test_it_holds_a_bounded_number_of_frames_of_an_endless_stream(known, opening, frames, threads):
    stream = Stream(itertools.cycle(frames))
    with opening(metadata=("tags",), threads=threads) as tagger:
        held = [stream.taken - number for number, _ in enumerate(itertools.islice(tagger.look(stream), 12))]
    assert max(held) <= TAGGED[known].held(threads)


def test_it_answers_all_of_a_stream_that_ends_only_after_its_answers(opened, frames):
    stream = Stream(frames[:3])
    for _ in opened.look(stream):
        stream.answered += 1
    assert stream.answered == 3


def test_it_takes_no_frame_before_it_is_asked(opened, frames):
    stream = Stream(frames)
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
def test_a_look_that_is_left_halfway_leaves_no_thread(opening, frames, how):
    before = set(threading.enumerate())
    with opening(metadata=("tags",)) as tagger:
        answers = tagger.look(itertools.cycle(frames))
        next(answers)
        if how == "closed":
            answers.close()
    assert set(threading.enumerate()) == before
    answers.close()


@pytest.mark.parametrize(
    ("tagger", "package"),
    [("builtin", "ai_edge_litert"), ("transformers:/models/x", "torch"), ("openai:x", "openai")],
)
def test_a_missing_extra_names_its_pip_command(tagger, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as where it isn't installed
    name = tagger.partition(":")[0]
    sentence = rf"tagger '{name}' needs the package {package}, .*: pip install 'shotlog\[{name}\]'"
    with pytest.raises(TaggerError, match=sentence):
        open_tagger(load_settings(tagger=tagger))
