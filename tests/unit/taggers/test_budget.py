"""A video is looked at in as many frames as its summary can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.taggers.budget import TIMECODE_TOKENS, frame_budget

TOKENS = {"prompt_tokens": 400, "caption_tokens": 300, "answer_tokens": 1024}
"""A context of C tokens then holds (C − 400 − 1,024) ÷ (300 + 16) captions."""

HOLDS = {2048: 1, 8192: 21, 32_768: 99, 131_072: 410}

TABLE = """
duration_s  shots  maximum |  2048   8192  32768  131072
       0.5      -       60 |     1      1      1       1
       0.5      -     none |     1      1      1       1
       0.5      5       60 |     1      5      5       5
       0.5    500       60 |     1     21     60      60
       0.5    500     none |     1     21     99     410
         4      -       60 |     1      4      4       4
         4      5     none |     1      5      5       5
        60      -       60 |     1     21     60      60
        60      -     none |     1     21     60      60
        60      5       60 |     1      5      5       5
        60    500     none |     1     21     99     410
       600      -       60 |     1     21     60      60
       600      -     none |     1     21     99     410
       600      5     none |     1      5      5       5
       600    500       60 |     1     21     60      60
     10800      -       60 |     1     21     60      60
     10800      -     none |     1     21     99     410
     10800      5       60 |     1      5      5       5
     10800    500       60 |     1     21     60      60
     10800    500     none |     1     21     99     410
"""


def rows():
    header, *lines = TABLE.strip().splitlines()
    contexts = [int(context) for context in header.partition("|")[2].split()]
    for line in lines:
        asked, _, expected = line.partition("|")
        duration_s, shots, maximum = asked.split()
        for context, count in zip(contexts, expected.split(), strict=True):
            yield (
                float(duration_s),
                None if shots == "-" else int(shots),
                None if maximum == "none" else int(maximum),
                context,
                int(count),
            )


@pytest.mark.parametrize(("duration_s", "shots", "maximum", "context_tokens", "expected"), list(rows()))
def test_the_table(duration_s, shots, maximum, context_tokens, expected):
    assert frame_budget(duration_s, shots, maximum, context_tokens=context_tokens, **TOKENS) == expected


@pytest.mark.parametrize(("context_tokens", "captions"), HOLDS.items())
def test_what_a_context_holds_is_the_formula(context_tokens, captions):
    assert (context_tokens - 400 - 1024) // (300 + TIMECODE_TOKENS) == captions


def test_a_film_without_a_shot_still_gets_a_frame():
    assert frame_budget(0, 0, 60, context_tokens=8192, **TOKENS) == 1


def test_a_context_too_small_for_one_frame_says_what_to_do():
    with pytest.raises(UsageError) as caught:
        frame_budget(60, None, 60, context_tokens=1739, **TOKENS)
    assert str(caught.value) == (
        "the model's context of 1,739 tokens is too small for one frame: prompt, a caption, its timecode and the "
        "answer take 400 + 300 + 16 + 1,024 = 1,740: lower SHOTLOG_CAPTION_TOKENS or SHOTLOG_ANSWER_TOKENS, take a "
        "model with a larger context, or set SHOTLOG_CONTEXT_TOKENS where it can hold more than it says"
    )
    assert frame_budget(60, None, 60, context_tokens=1740, **TOKENS) == 1


videos = st.tuples(st.floats(0, 200_000), st.none() | st.integers(0, 20_000), st.none() | st.integers(1, 5000))
sizes = st.fixed_dictionaries(
    {
        "context_tokens": st.integers(512, 300_000),
        "prompt_tokens": st.integers(0, 5000),
        "caption_tokens": st.integers(20, 2000),
        "answer_tokens": st.integers(64, 5000),
    }
)


def chosen(video, tokens):
    """0 where not even one frame fits."""
    try:
        return frame_budget(*video, **tokens)
    except UsageError:
        return 0


@given(videos, sizes)
def test_what_is_chosen_fits_and_is_never_more_than_asked_for(video, tokens):
    (duration_s, shots, maximum), count = video, chosen(video, tokens)
    needed = count * (tokens["caption_tokens"] + TIMECODE_TOKENS) + tokens["prompt_tokens"] + tokens["answer_tokens"]
    assert count == 0 or needed <= tokens["context_tokens"]
    assert count <= (maximum or count)
    assert count <= max(1, round(duration_s) if shots is None else shots)


@given(videos, sizes, st.integers(0, 100_000))
def test_a_larger_context_never_gives_fewer(video, tokens, more):
    assert chosen(video, tokens) <= chosen(video, {**tokens, "context_tokens": tokens["context_tokens"] + more})


@given(videos, sizes)
def test_as_many_as_fit_are_chosen(video, tokens):
    """One frame fewer is chosen only where that many weren't wanted or allowed, or one more would not fit."""
    (duration_s, shots, maximum), count = video, chosen(video, tokens)
    wanted = max(1, round(duration_s) if shots is None else shots)
    one_more = (count + 1) * (tokens["caption_tokens"] + TIMECODE_TOKENS)
    room = tokens["context_tokens"] - tokens["prompt_tokens"] - tokens["answer_tokens"]
    assert count in (wanted, maximum) or one_more > room
