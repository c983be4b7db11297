"""What a lake's own runs say about the next one: of its rows, whatever else lies beside them."""

from contextlib import closing
from dataclasses import replace

import pytest

from pipeline.lake import writer
from pipeline.lake.past import Past, past
from pipeline.planning.prices import load_prices
from pipeline.recipe import Recipe
from pipeline.steps.forecast import forecast
from pipeline.steps.workplace import Workplace
from tests.unit.lake.made import OTHER_RECIPE, RECIPE, media, reused, tagging

STRANGERS = Recipe("openai", model="large")
MINE, TABLE = "this lake's own runs", "the table of prices and speeds"
ENOUGH, FEW = 20, 2
"""Frames of a batch that says something of speed, and of one that doesn't."""


def commit(lake, name, *, recipe=RECIPE, frames=ENOUGH, taken_over=0, seconds=4.0):
    """One batch of one film, whose frames took 500 and 40 tokens each, in so many seconds.

    taken_over: further frames, which took another's answer.
    """
    lake.transaction(lambda con: writer.know_recipe(con, recipe))
    look = tagging(media(name), recipe=recipe, batch_id=name, frames=frames)
    look = replace(look, frames=(*look.frames, *(reused(float(frames + n), 0.0) for n in range(taken_over))))
    writer.commit_batch(lake, "run-1", name, [look], seconds=seconds)
    return look


def of(lake, recipe=RECIPE):
    return past(lake.con, recipe.tagger, recipe.model, recipe.recipe_id)


def test_a_new_lake_says_nothing(lake):
    assert of(lake) == Past()


def test_tokens_and_speed_are_those_of_a_frame(lake):
    commit(lake, "a.mp4", frames=20, seconds=4.0)
    commit(lake, "b.mp4", frames=30, seconds=6.0)
    found = of(lake)
    assert (found.prompt_tokens, found.completion_tokens) == (500, 40)
    assert found.frames_per_s == 5.0
    assert found.shot_s == 2.0
    assert found.thumbnail_bytes == len(b"\xffRIFF\x00")


def test_a_frame_that_took_anothers_answer_is_a_frame_without_tokens(lake):
    commit(lake, "a.mp4", frames=10, taken_over=10)
    assert (of(lake).prompt_tokens, of(lake).completion_tokens) == (250, 20)


def test_a_look_that_goes_on_with_a_partial_one_says_nothing_of_tokens(lake):
    first = tagging(media("a.mp4"), status="partial", code="decode_timeout", frames=9, batch_id="0")
    rest = tagging(media("a.mp4"), frames=10, batch_id="1")
    free = [replace(frame, tags=replace(frame.tags, prompt_tokens=0, completion_tokens=0)) for frame in first.frames]
    lake.transaction(lambda con: writer.know_recipe(con, RECIPE))
    writer.commit_batch(lake, "run-1", "0", [first])
    writer.commit_batch(lake, "run-1", "1", [replace(rest, frames=(*free, rest.frames[-1]))])
    assert (of(lake).prompt_tokens, of(lake).completion_tokens) == (500, 40)


def test_a_run_of_a_few_frames_says_what_they_took_and_nothing_of_speed(lake):
    commit(lake, "a.mp4", frames=FEW, seconds=10.0)
    assert (of(lake).prompt_tokens, of(lake).frames_per_s) == (500, None)
    commit(lake, "b.mp4", frames=ENOUGH, seconds=4.0)
    assert of(lake).frames_per_s == 5.0


def test_other_recipes_of_the_model_are_asked_and_other_models_are_not(lake):
    commit(lake, "a.mp4", recipe=OTHER_RECIPE, seconds=2.0)
    lake.transaction(lambda con: con.execute("UPDATE log.batches SET run_id = 'run-0'"))
    lake.transaction(lambda con: con.execute("UPDATE log.taggings SET run_id = 'run-0'"))
    commit(lake, "b.mp4", recipe=STRANGERS, seconds=40.0)
    assert (of(lake).frames_per_s, of(lake, STRANGERS).frames_per_s) == (10.0, 0.5)
    assert of(lake, Recipe("openai", model="small")).prompt_tokens is None


def test_films_are_those_of_the_very_recipe(lake):
    commit(lake, "a.mp4", frames=3)
    commit(lake, "b.mp4", recipe=OTHER_RECIPE, frames=7)
    assert (of(lake).video_frames, of(lake).video_s) == ((3,), (2.0,))


def test_what_was_taken_over_or_failed_says_nothing(lake):
    look = commit(lake, "a.mp4", frames=FEW)
    copy = replace(look.for_copy(media("copy.mp4")), inherited_from=look.tagging_id)
    writer.commit_batch(lake, "run-2", "copies", [copy], seconds=0.001)
    writer.commit_batch(lake, "run-2", "bad", [tagging(media("bad.mp4"), status="failed", code="not_media")])
    assert of(lake).video_frames == (FEW,)
    assert of(lake).frames_per_s is None


# --- what a forecast makes of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "seconds", "said"),
    [
        (ENOUGH, 4.0, MINE),
        (FEW, 4.0, f"{MINE} (tokens) and {TABLE} (speed)"),
        (ENOUGH, None, f"{MINE} (tokens) and {TABLE} (speed)"),
        (None, None, TABLE),
    ],
    ids=["both", "a few frames", "seconds nobody noted", "a lake that is empty"],
)
def test_a_forecast_says_what_is_learned_and_takes_the_rest_from_the_table(frames, seconds, said, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "new.jpg").write_bytes(b"not looked at")
    request = {"sources": str(tmp_path / "in"), "lake": str(tmp_path / "lake"), "tagger": "null"}
    work = Workplace.of(request)
    with closing(work.lake(create=True, read_only=False)) as lake:
        if frames:
            commit(lake, "a.mp4", recipe=work.recipe(work.tagger()), frames=frames, seconds=seconds)
    found, table = forecast(request), load_prices(None).of("null")
    assert found["learned_from"] == said
    told = found["a_frame"]
    assert told["prompt_tokens"] == (500 if frames else table.prompt_tokens)
    assert told["seconds"] == (4.0 / ENOUGH if said == MINE else 1 / table.frames_per_s)
    unsure = {name: number["high"] / number["expected"] for name, number in found["tokens"].items() if frames}
    assert unsure == ({"prompt": 1.1, "completion": pytest.approx(1.1)} if frames else {})
