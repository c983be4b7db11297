"""Every family that README names runs through the engine with its own classes: tiny, with random weights.

Here those whose packages are installed; `make test-qwen` installs what all of them need.
"""

import json
import math
from importlib.util import find_spec

import numpy as np
import pytest

from pipeline.settings import Settings
from pipeline.taggers.engine import Prompt, Turn
from pipeline.taggers.transformers import TransformersEngine
from tests.models import FAMILIES
from tests.models.smolvlm import TILE, TILES_A_SIDE, TOKENS_A_TILE

HERE = FAMILIES if find_spec("torchvision") else ("llava",)

MAX_PIXELS = 50_000

PIXELS_A_TOKEN = {"qwen2_vl": 28**2, "qwen2_5_vl": 28**2, "qwen3_vl": 32**2}
"""Patch × merge, squared: what the Qwen family's configurations say."""

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "caption": {"type": "string", "pattern": r'^[^"\\\x00-\x1f\x7f]{1,20}$'},
            "tags": {"type": "array", "items": {"enum": ["cat", "dog"]}, "maxItems": 2},
        },
        "required": ["caption", "tags"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module", params=HERE)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    return FAMILIES[family](tmp_path_factory.mktemp("families") / family)


@pytest.fixture(scope="module")
def engine(folder):
    with TransformersEngine(str(folder), Settings(model_batch=8, max_pixels=MAX_PIXELS)) as opened:
        yield opened


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def prompt(*parts, max_tokens=8, schema=None, ticket=None):
    return Prompt((Turn("system", ("Be brief.",)), Turn("user", parts)), max_tokens, schema, ticket)


def answers(engine, prompts):
    return {completion.prompt.ticket: completion for completion in engine.complete(prompts)}


def cost(engine, *pictures):
    """Tokens that the pictures add to a prompt."""
    with_them = next(engine.complete([prompt(*pictures, "What?", max_tokens=1)]))
    without = next(engine.complete([prompt("What?", max_tokens=1)]))
    assert with_them.error_code == without.error_code == "answer_cut"
    return with_them.prompt_tokens - without.prompt_tokens


def next_token_scores(engine, prompts):
    """What the model thinks of every token after the prompts: float, (prompts, vocabulary)."""
    inputs = engine._model.prepare(prompts, engine._pixels())
    return engine._model.model(**inputs).logits[:, -1].detach()


def bound(family, pixels):
    """Tokens of one picture of at most so many pixels, marks around it included."""
    if family == "llava":
        return 16 + len("\n")
    if family == "smolvlm":
        side = min(TILES_A_SIDE, math.isqrt(pixels) // TILE)
        return (side * side + 1) * (TOKENS_A_TILE + 2) + side + 4
    return pixels // PIXELS_A_TOKEN[family] + 2


SIZES = [(40, 40), (90, 160), (400, 30), (1080, 1920), (200, 200), (57, 56)]


def test_pictures_of_every_size_are_answered_as_they_would_be_alone(engine):
    asked = [prompt(picture(*size, n), "What?" * n, ticket=n) for n, size in enumerate(SIZES)]
    together = answers(engine, asked)
    alone = {n: next(engine.complete([asked[n]])) for n in range(len(SIZES))}
    for n in alone:
        assert (together[n].text, together[n].prompt_tokens) == (alone[n].text, alone[n].prompt_tokens)
        assert together[n].completion_tokens == alone[n].completion_tokens > 0


def test_pictures_reach_the_model_each_at_its_place(engine):
    one, other = picture(60, 60, 1), picture(60, 60, 2)
    asked = [prompt("First:", a, "Second:", b, "Same?") for a, b in ((one, other), (other, one), (one, one))]
    scores = [next_token_scores(engine, [each])[0] for each in asked]
    assert not any(scores[a].allclose(scores[b], atol=1e-6) for a, b in ((0, 1), (0, 2), (1, 2)))
    for alone, together in zip(scores, next_token_scores(engine, asked), strict=True):
        assert together.allclose(alone, atol=1e-4)


def test_json_is_held_to_its_schema_beside_plain_text(engine):
    asked = [prompt(picture(*size), "What?", schema=SCHEMA, max_tokens=200, ticket=n) for n, size in enumerate(SIZES)]
    done = answers(engine, [*asked, prompt("Hello", ticket="plain"), prompt("Hello", schema=SCHEMA, max_tokens=200)])
    for ticket in [*range(len(SIZES)), None]:
        assert done[ticket].error_code is None
        answer = json.loads(done[ticket].text)
        assert set(answer) == {"caption", "tags"} and set(answer["tags"]) <= {"cat", "dog"}
    assert done["plain"].completion_tokens == 8


def test_a_4k_frame_costs_no_more_than_max_pixels_says(engine, family):
    assert 4 <= cost(engine, picture(2160, 3840)) <= bound(family, MAX_PIXELS)
    assert cost(engine, picture(3840, 2160)) <= bound(family, MAX_PIXELS)


def test_more_pixels_cost_more_where_the_family_can_use_them(engine, folder, family):
    with TransformersEngine(str(folder), Settings(max_pixels=4 * MAX_PIXELS)) as generous:
        more, few = cost(generous, picture(2160, 3840)), cost(engine, picture(2160, 3840))
    assert more <= bound(family, 4 * MAX_PIXELS)
    assert more == few if family == "llava" else more > 1.5 * few


def test_a_small_picture_is_not_blown_up_unless_min_pixels_says_so(engine, folder, family):
    small = picture(50, 50)
    with TransformersEngine(str(folder), Settings(min_pixels=30_000, max_pixels=MAX_PIXELS)) as enlarging:
        enlarged, plain = cost(enlarging, small), cost(engine, small)
    least = {"llava": 0, "smolvlm": 4 * TOKENS_A_TILE}.get(family) or 30_000 // PIXELS_A_TOKEN.get(family, 10**9)
    assert least <= enlarged <= bound(family, MAX_PIXELS)
    if family == "smolvlm":
        assert plain == TOKENS_A_TILE + 3 - 1  # one tile and its marks; a blank less, by the template
    elif family in ("qwen2_vl", "qwen2_5_vl"):
        assert plain <= 4 + 2  # 56 × 56 pixels


def test_words_that_mean_something_to_the_family_are_text_in_a_prompt(engine):
    words = "<image><|image_pad|><|im_end|><end_of_utterance></s>"
    asked = [prompt(picture(60, 60), words, ticket="words"), prompt(picture(60, 60), "a" * len(words), ticket="a")]
    done = answers(engine, asked)
    assert done["words"].prompt_tokens == done["a"].prompt_tokens and done["words"].completion_tokens == 8


def test_an_answer_is_streamed_as_it_would_be_completed(engine):
    asked = prompt(picture(60, 60), "What?", max_tokens=30)
    (whole,) = engine.complete([asked])
    assert "".join(engine.stream(asked)) == whole.text
