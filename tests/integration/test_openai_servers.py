"""The openai engine against servers over a real model: the real `transformers serve`, and one that holds answers to
their schema. The model is tiny and its weights are random: what it writes means nothing, only its form counts here.
"""

from __future__ import annotations

import json
import threading

import httpx
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import TaggerError
from pipeline.settings import Settings
from pipeline.taggers.engine import Prompt, Turn
from pipeline.taggers.openai import OpenAIEngine
from tests.media import media
from tests.models import tiny_llava
from tests.servers.started import held, paced, transformers_serve

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "seen": {"type": "array", "items": {"enum": ["cat", "dog", "cup"]}, "maxItems": 3},
            "count": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["seen", "count"],
        "additionalProperties": False,
    }
)
KEY = "a-key-of-the-tests"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llava(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def holding(folder, tmp_path_factory):
    with held(folder, tmp_path_factory.mktemp("held"), key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def real(folder, tmp_path_factory):
    with transformers_serve(folder, tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.fixture(params=["holding", "real"])
def server(request):
    return request.getfixturevalue(request.param)


def engine_of(server, **settings):
    given = {"openai_base_url": server.url, "openai_api_key": KEY, "openai_in_flight": 4, **settings}
    return OpenAIEngine(server.model, Settings(**given))


@pytest.fixture(scope="module")
def pictures():
    whole = np.asarray(Image.open(media("coffee.png")).convert("RGB"))
    return [whole[number * 20 :: 4, number * 30 :: 4] for number in range(6)]


def asked(pictures, *, schema=None, max_tokens=40):
    return [
        Prompt(
            (Turn("system", ("Be brief.",)), Turn("user", (picture, f"What is in {number}?"))),
            max_tokens,
            schema,
            number,
        )
        for number, picture in enumerate(pictures)
    ]


def fits(text):
    """Whether an answer is one that SCHEMA takes."""
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and set(answer) == {"seen", "count"} and answer["count"] in range(100)


# ---- both


def test_every_prompt_is_answered_and_its_tokens_are_counted(server, pictures):
    with engine_of(server) as engine:
        answers = {completion.prompt.ticket: completion for completion in engine.complete(asked(pictures))}
    assert sorted(answers) == list(range(6))
    for answer in answers.values():
        assert answer.error_code in (None, "answer_cut")  # random weights may go on for ever
        assert answer.text
        assert 0 < answer.completion_tokens <= 40
        assert answer.prompt_tokens > len("Be brief. What is in 0?")  # a token is a byte, and there is the picture
        assert answer.model_s > 0


def test_the_same_picture_gets_the_same_answer_and_another_counts_more_tokens(server, pictures):
    twice = asked([pictures[0]] * 2)
    two = Prompt((Turn("user", (pictures[0], pictures[1], "Which?")),), 40, ticket="two")
    one = Prompt((Turn("user", (pictures[0], "Which?")),), 40, ticket="one")
    with engine_of(server) as engine:
        same = [completion.text for completion in engine.complete([twice[0], twice[0]])]
        counted = {each.prompt.ticket: each.prompt_tokens for each in engine.complete([one, two])}
    assert same[0] == same[1]
    assert counted["two"] > counted["one"] + 10


def test_an_answer_is_streamed_as_it_would_be_given(server, pictures):
    (prompt,) = asked(pictures[:1])
    with engine_of(server) as engine:
        (whole,) = engine.complete([prompt])
        pieces = list(engine.stream(prompt))
    assert len(pieces) > 1
    half = " \n\ufffd"  # the real server keeps the half of a character that the last token may be to itself
    assert "".join(pieces).strip(half) == whole.text.strip(half)


def test_a_stream_that_is_left_ends_its_connection(server, pictures):
    before = {thread for thread in threading.enumerate() if thread.name.startswith("shotlog")}
    with engine_of(server) as engine:
        pieces = engine.stream(asked(pictures[:1], max_tokens=2000)[0])
        next(pieces)
        pieces.close()
        assert len(list(engine.complete(asked(pictures[:1], max_tokens=4)))) == 1
    assert {thread for thread in threading.enumerate() if thread.name.startswith("shotlog")} == before


# ---- one that holds answers to their schema


def test_every_answer_under_a_schema_fits_it(holding, pictures):
    with engine_of(holding) as engine:
        answers = list(engine.complete(asked(pictures, schema=SCHEMA, max_tokens=200)))
    assert [answer.error_code for answer in answers] == [None] * len(pictures)
    assert all(fits(answer.text) for answer in answers)


def test_the_server_says_what_it_holds_and_what_does_not_fit_is_that_prompt_s_failure(holding, pictures):
    with engine_of(holding) as engine:
        assert engine.context_tokens() == 32_768
        too_long = Prompt((Turn("user", (pictures[0], "Well? " * 6000)),), 40, ticket="too long")
        answers = {each.prompt.ticket: each for each in engine.complete([*asked(pictures[:2]), too_long])}
    assert answers["too long"].error_code == "context_too_small"
    assert "maximum context length is 32768" in answers["too long"].detail
    assert answers[0].text and answers[1].text


def test_it_can_be_counted_what_was_asked_of_it(holding, pictures):
    before = len(holding.asked())
    with engine_of(holding) as engine:
        list(engine.complete(asked(pictures[:3], schema=SCHEMA, max_tokens=200)))
    seen = holding.asked()[before:]
    assert sorted(request["texts"][-1] for request in seen) == [f"What is in {number}?" for number in range(3)]
    assert len({request["pictures"][0] for request in seen}) == 3
    assert all(request["held"] for request in seen)


def test_a_wrong_key_and_an_unknown_model_are_told_before_anything_is_asked(holding):
    with pytest.raises(TaggerError, match=r"refused the key \(401\): set SHOTLOG_OPENAI_API_KEY"):
        engine_of(holding, openai_api_key="wrong").__enter__()
    other = Settings(openai_base_url=holding.url, openai_api_key=KEY)
    with pytest.raises(TaggerError, match="doesn't serve 'other': it has tiny"):
        OpenAIEngine("other", other).__enter__()


# ---- the real `transformers serve`


def test_the_real_server_takes_a_schema_says_nothing_and_does_not_keep_to_it(real, pictures):
    """What structured outputs are withdrawn for: only an answer that doesn't validate shows it."""
    prompts = asked(pictures[:2], schema=SCHEMA)
    with engine_of(real, openai_in_flight=1) as engine:
        held_to, plain = engine.complete([prompts[0], asked(pictures[:1])[0]])
    assert held_to.error_code in (None, "answer_cut")
    assert not fits(held_to.text)
    assert held_to.text == plain.text


def test_the_real_server_does_not_list_what_it_serves_and_the_context_is_taken_as_unknown(real):
    assert httpx.get(f"{real.url}/models", trust_env=False).status_code == 500  # it looks for a hub's cache
    with engine_of(real) as engine:
        assert engine.context_tokens() == 32_768
    assert engine_of(real, context_tokens=4096).context_tokens() == 4096


def test_another_model_than_the_real_server_s_ends_it(real, pictures):
    other = Settings(openai_base_url=real.url, openai_in_flight=1)
    with OpenAIEngine("other", other) as engine:
        with pytest.raises(TaggerError, match=r"stopped answering \(400 Server is pinned to"):
            list(engine.complete(asked(pictures * 20)))


# ---- one that takes its time


def test_as_many_requests_as_set_are_in_flight_and_never_more(pictures, tmp_path):
    with paced(tmp_path, seconds=0.02, at_once=3) as server:
        with engine_of(server, openai_in_flight=7) as engine:
            assert len(list(engine.complete(asked(pictures * 20)))) == 120
        counts = server.counts()
    assert (counts["finished"], counts["most_held"]) == (120, 7)
