"""What a purse learns from looks: from those alone whose tokens are of all their frames."""

from dataclasses import replace

import pytest

from pipeline.planning.budget import Purse, Took, parse_budget
from pipeline.planning.prices import Price
from pipeline.steps.spending import pay
from tests.unit.lake.made import media, tagging

A_FRAME = 540
"""Tokens of each frame of `tagging`."""


def free(frame):
    return replace(frame, tags=replace(frame.tags, prompt_tokens=0, completion_tokens=0))


def looked(name, **how):
    return tagging(media(name), **how)


whole = looked("whole.mp4", frames=60)
continued = replace(whole, frames=(*map(free, whole.frames[:58]), *whole.frames[58:]))
refused = looked("refused.mp4", status="failed", code="tagger_refused")
refused = replace(refused, further_prompt_tokens=60 * 500, further_completion_tokens=60 * 40)
half_refused = looked("half.mp4", status="partial", code="tagger_refused", frames=1)
half_refused = replace(half_refused, further_prompt_tokens=59 * 500, further_completion_tokens=59 * 40)


@pytest.mark.parametrize(
    ("look", "tokens"),
    [(whole, 60), (continued, 2), (refused, 60), (half_refused, 60)],
    ids=["whole", "continued", "refused", "half refused"],
)
def test_what_a_frame_takes_is_learned_from_whole_looks(look, tokens):
    purse = Purse(parse_budget("100k tokens", "USD"), Price(frames_per_s=8), Took(), Took(0.1, 500, 40))
    pay(purse, look)
    assert purse.spent == tokens * A_FRAME, "all of it is paid"
    dear, fits = media("dear.mp4"), media("fits.mp4")
    assert not purse.reserve(dear, 186)
    assert purse.reserve(fits, 100)
    assert list(purse.too_dear) == [dear.media_id]
