"""From frames to prompts and from completions to answers, over an engine whose answers are written here."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.model import Frame, Label
from pipeline.settings import load_settings
from pipeline.taggers.base import Answer, Captioned, Film, Summary
from pipeline.taggers.engine import Completion
from pipeline.taggers.vlm import VisionTagger

GOOD = json.dumps({"caption": "A cup.", "tags": ["Cups", "coffee"]})
SUMMED_UP = json.dumps({"summary": "A cup is emptied."})


class Scripted:
    """An engine that answers each prompt with what the script says, in the order of asking."""

    model, revision = "scripted", "1"

    def __init__(self, *script: str | Completion | Callable, context_tokens: int = 32_768) -> None:
        self.script, self.asked, self.distrusted = list(script), [], 0
        self._context_tokens = context_tokens

    def context_tokens(self):
        return self._context_tokens

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def complete(self, prompts):
        for prompt in prompts:
            if prompt is None:
                continue
            self.asked.append(prompt)
            said = self.script.pop(0)
            fields = {"text": said} if isinstance(said, str) else said
            yield Completion(prompt, **{"prompt_tokens": 100, "completion_tokens": 10, "model_s": 0.5, **fields})

    def distrust(self, _completion):
        self.distrusted += 1


def tagger_of(engine, **settings):
    return VisionTagger("scripted", engine, load_settings(**{"metadata": "tags", **settings}))


def frame(moment=0.0, context=""):
    return Frame("media-1", np.zeros((4, 4, 3), np.uint8), timestamp_s=moment, context=context)


def texts(prompt):
    return [part for turn in prompt.turns for part in turn.parts if isinstance(part, str)]


def test_a_frame_becomes_a_picture_and_a_text_and_its_answer_tags():
    engine, shown = Scripted(GOOD), frame()
    (answer,) = tagger_of(engine).look([shown])
    (prompt,) = engine.asked
    assert prompt.turns[0].parts[0] is shown.image
    assert "tags" in prompt.turns[0].parts[1] and "participants" not in prompt.turns[0].parts[1]
    assert answer.tags.tags == (Label("cup"), Label("coffee"))
    assert (answer.tags.caption, answer.tags.caption_source) == ("A cup.", "vlm")
    assert (answer.tags.prompt_tokens, answer.tags.completion_tokens, answer.model_s) == (100, 10, 0.5)
    assert engine.distrusted == 0


def test_what_the_archive_knows_is_told_as_data():
    engine = Scripted(GOOD, GOOD)
    list(tagger_of(engine).look([frame(context="Harbour of Hamburg, 1962"), frame()]))
    told, untold = ("".join(texts(prompt)) for prompt in engine.asked)
    assert "Harbour of Hamburg, 1962" in told
    assert "Hamburg" not in untold and len(untold) < len(told)


def test_an_answer_that_does_not_fit_gets_one_repair_turn():
    engine = Scripted("a cup, I think", GOOD)
    (answer,) = tagger_of(engine).look([frame()])
    first, second = engine.asked
    assert [turn.role for turn in second.turns] == ["user", "assistant", "user"]
    assert second.turns[:1] == first.turns and second.turns[1].parts == ("a cup, I think",)
    assert answer.tags.caption == "A cup."
    assert (answer.tags.prompt_tokens, answer.tags.completion_tokens, answer.model_s) == (200, 20, 1.0)
    assert engine.distrusted == 1


@pytest.mark.parametrize(
    "bad", ["", "{}", '{"caption": 7, "tags": []}', '{"caption": "A cup.", "tags": "cup"}', "[" * 9000]
)
def test_an_answer_that_fits_neither_time_is_the_failure_of_that_frame_alone(bad):
    engine, frames = Scripted(bad, bad, GOOD), [frame(0.0), frame(1.0)]
    failed, answered = sorted(tagger_of(engine).look(frames), key=lambda answer: answer.frame is frames[1])
    assert (failed.error_code, answered.tags.caption) == ("answer_invalid", "A cup.")
    assert failed.detail and len(failed.detail) <= 300
    assert engine.distrusted == 2


@pytest.mark.parametrize("code", ["answer_cut", "answer_refused", "model_timeout", "out_of_memory"])
def test_what_the_engine_could_not_do_is_not_asked_again(code):
    engine = Scripted({"text": GOOD[:9], "error_code": code, "detail": "so it was"})
    (answer,) = tagger_of(engine).look([frame()])
    assert (answer.error_code, answer.detail, len(engine.asked)) == (code, "so it was", 1)


def test_repairs_go_before_new_frames_and_the_stream_stays_open_for_them():
    engine = Scripted("bad", GOOD, GOOD, "bad", GOOD)
    list(tagger_of(engine).look([frame(0.0), frame(1.0), frame(2.0)]))
    assert [len(prompt.turns) for prompt in engine.asked] == [1, 3, 1, 1, 3]


def test_a_film_is_summed_up_from_its_captions_and_timecodes():
    engine = Scripted(SUMMED_UP)
    film = Film("m", (Captioned(0.5, "A full cup."), Captioned(61.25, "An empty cup.")), 62.0, context="Kitchen tapes")
    (summary,) = tagger_of(engine).look([film])
    (text,) = texts(engine.asked[0])
    assert (
        text.index("00:00:00.500")
        < text.index("A full cup.")
        < text.index("00:01:01.250")
        < text.index("An empty cup.")
    )
    assert "Kitchen tapes" in text
    assert summary == Summary(film, "A cup is emptied.", prompt_tokens=100, completion_tokens=10, model_s=0.5)


@pytest.mark.parametrize(
    ("script", "code"), [(["no", "no"], "answer_invalid"), ([{"error_code": "model_busy"}], "model_busy")]
)
def test_a_film_that_is_not_summed_up_says_so(script, code):
    (summary,) = tagger_of(Scripted(*script)).look([Film("m", (Captioned(0.5, "A cup."),), 1.0)])
    assert (summary.text, summary.error_code) == (None, code)
    assert summary.detail.startswith("summary: ")


@pytest.mark.parametrize("tokens", [0, 900])
def test_captions_that_broke_their_bounds_are_shortened_until_the_film_fits(tokens):
    engine = Scripted(SUMMED_UP, context_tokens=4096)
    captions = tuple(Captioned(float(moment), f"{moment:04} " * 200, tokens) for moment in range(40))
    list(tagger_of(engine, answer_tokens=512).look([Film("m", captions, 40.0)]))
    (text,) = texts(engine.asked[0])
    assert all(f"00:00:{moment:02}.000" in text for moment in range(40))
    assert len(text) / (5 / 4.5 if tokens else 1) < 4096 - 512 + 1000


def test_more_moments_than_fit_are_thinned_evenly():
    engine = Scripted(SUMMED_UP, context_tokens=2048)
    captions = tuple(Captioned(float(moment), "A cup.", 3) for moment in range(600))
    list(tagger_of(engine, answer_tokens=512).look([Film("m", captions, 600.0)]))
    kept = texts(engine.asked[0])[0].count("A cup.")
    assert 20 < kept < 100


def test_the_identity_says_all_that_decides_an_answer(tmp_path):
    (tmp_path / "summary.txt").write_text("version: mine\nSum up in one word:\n{captions}\n")
    identities = {
        tagger_of(Scripted(), **settings).identity
        for settings in (
            {},
            {"caption_tokens": 100},
            {"answer_tokens": 100},
            {"max_pixels": 100_000},
            {"min_pixels": 1000},
            {"context_tokens": 4096},
            {"prompts": tmp_path},
        )
    }
    assert len(identities) == 7
    assert tagger_of(Scripted(), workers=7).identity == tagger_of(Scripted()).identity


def test_a_look_that_is_left_halfway_closes_the_engines():
    closed = []

    class Endless(Scripted):
        def complete(self, prompts):
            try:
                for prompt in prompts:
                    yield Completion(prompt, GOOD)
            finally:
                closed.append(True)

    answers = tagger_of(Endless()).look(frame(float(moment)) for moment in range(10**9))
    assert isinstance(next(answers), Answer)
    answers.close()
    assert closed == [True]
