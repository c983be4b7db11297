"""Whole runs with a vision-language model: what reaches it, what comes back, and what is kept of both.

The model has random weights: what it writes means nothing, so only shapes, counts and flow are looked at.
"""

from __future__ import annotations

import json

import pytest

from pipeline.steps.query import sql
from tests.integration.doors import ask, fill, tag
from tests.models.answers import short_answers

KEY = "sk-a-key-of-the-tests"
ALLOWED = {
    "categories": {"nature", "sport"},
    "participants": {"cyclist", "dog"},
    "actions": {"running"},
    "scene": {"street"},
    "tags": {"bicycle", "cup"},
}


@pytest.fixture(scope="module", params=["openai", "transformers"])
def whole(request, held_server, tiny_model, tmp_path_factory):
    """A lake in which a model has tagged two videos and two pictures with everything there is to ask for."""
    folder = tmp_path_factory.mktemp(request.param)
    archive = fill(folder / "in", "cfr.mp4", "vfr.mkv", "flower.jpg", "still.webp")
    model = {"openai": f"openai:{held_server.model}", "transformers": f"transformers:{tiny_model}"}[request.param]
    everything = "categories,participants,actions,scene,tags,rating"
    server = {"openai_base_url": held_server.url, "openai_api_key": KEY}
    summary = tag(folder / "lake", archive, tagger=model, metadata=everything, **server, **short_answers(folder))
    assert (summary["state"], summary["ok"]) == ("finished", 4)
    return folder / "lake"


def test_every_frame_is_captioned_by_the_model_and_every_video_summed_up(whole):
    assert ask(whole, "SELECT count(*), count(caption) FROM timestamps WHERE caption_source = 'vlm'") == [(6, 6)]
    assert ask(whole, "SELECT count(*) = (SELECT sum(frames) FROM media) FROM timestamps") == [(True,)]
    assert ask(whole, "SELECT kind, count(*), count(summary) FROM media GROUP BY kind ORDER BY kind") == [
        ("image", 2, 0),
        ("video", 2, 2),
    ]
    assert ask(whole, "SELECT count(*) FROM failures") == [(0,)]


def test_tokens_are_kept_for_every_frame_and_add_up_with_the_summary(whole):
    counted = """
        SELECT kind, prompt_tokens - prompts, completion_tokens - completions, least_prompt, least_completion
        FROM media
        JOIN (
            SELECT
                tagging_id, sum(prompt_tokens) AS prompts, sum(completion_tokens) AS completions,
                min(prompt_tokens) AS least_prompt, min(completion_tokens) AS least_completion
            FROM timestamps
            GROUP BY tagging_id
        ) USING (tagging_id)"""
    for kind, prompts, completions, least_prompt, least_completion in ask(whole, counted):
        assert min(least_prompt, least_completion) > 0
        # what is left is what the summary took
        assert (prompts > 0, completions > 0) == (kind == "video", kind == "video")
        assert kind == "video" or (prompts, completions) == (0, 0)


def test_the_budget_of_a_video_is_kept_and_an_image_has_none(whole):
    assert ask(whole, "SELECT kind, frame_budget, frames FROM media ORDER BY kind, uri") == [
        ("image", None, 1),
        ("image", None, 1),
        ("video", 2, 2),
        ("video", 2, 2),
    ]
    ((planned,),) = ask(whole, "SELECT detail FROM log.run_events WHERE event = 'planned'")
    assert json.loads(planned)["frames_per_video"] == 60


def test_only_labels_of_the_vocabulary_come_out_and_nobody_guessed_a_score(whole):
    for kind, allowed in ALLOWED.items():
        found = ask(whole, f"SELECT DISTINCT label, score FROM {kind}")
        assert {label for label, _ in found} <= allowed and {score for _, score in found} <= {None}, kind


def test_every_moment_is_rated_and_what_is_not_safe_is_found(whole):
    assert ask(whole, "SELECT count(*), count(DISTINCT (uri, timestamp_s)) FROM rating") == [(6, 6)]
    assert ask(whole, "SELECT count(*) FROM rating WHERE score IS NULL OR score NOT BETWEEN 0 AND 1") == [(0,)]
    columns, rows = sql({"lake": str(whole)}, "not_safe")
    held_back = ask(whole, "SELECT count(*) FROM rating WHERE label <> 'safe' AND score >= 0.5")
    assert sum(row[columns.index("moments")] for row in rows) == held_back[0][0]


def test_evidence_is_kept_for_every_frame(whole):
    assert ask(whole, "SELECT count(*) FROM thumbnails") == [(6,)]


def test_the_recipe_says_all_that_decides_the_answer_and_nothing_of_this_machine(
    whole, tiny_model, held_server, tmp_path
):
    ((tagger, text),) = ask(whole, "SELECT tagger, recipe FROM log.recipes")
    recipe = json.loads(text)
    assert recipe["model"] == (held_server.model if tagger == "openai" else tiny_model.name)
    assert (recipe["revision"] is None) == (tagger == "openai"), "a folder's weights have a digest, a server's none"
    assert all(f"{prompt} 1" in recipe["prompt_version"] for prompt in ("frame", "caption", "summary", "repair"))
    assert len(recipe["vocabulary"]) >= 16
    limits = {name: value for name, value in short_answers(tmp_path).items() if name.endswith("_tokens")}
    assert dict(recipe["generation"]) == limits
    assert recipe["max_pixels"] == 1_003_520
    kept = text + str(ask(whole, "SELECT * FROM log.taggings")) + str(ask(whole, "SELECT * FROM log.run_events"))
    assert KEY not in kept and str(tiny_model.parent) not in text and held_server.url not in text
    assert KEY not in str(ask(whole, "SELECT * FROM log.runs"))


def test_what_loading_took_is_kept_for_the_next_plan(whole):
    ((load_s, model_s),) = ask(whole, "SELECT load_s, model_s FROM log.batches")
    assert load_s is not None and model_s > 0


def test_the_next_run_finds_nothing_to_do_and_another_recipe_makes_it_stale(held_server, tmp_path):
    archive, lake = fill(tmp_path / "in", "flower.jpg"), tmp_path / "lake"
    asked = {"tagger": f"openai:{held_server.model}", "openai_base_url": held_server.url, "metadata": "tags"}
    asked |= short_answers(tmp_path)
    tag(lake, archive, **asked)
    before = len(held_server.asked())
    assert tag(lake, archive, **asked)["unchanged"] == 1
    changed = {**asked, "context": "Garden of Kew"}
    summary = tag(lake, archive, **changed)
    assert (summary["stale"], summary["frames"], len(held_server.asked())) == (1, 0, before), "not unasked"
    assert tag(lake, archive, **changed, retag=True)["frames"] == 1
    asked["vocabulary"] = str(other := tmp_path / "other.toml")
    other.write_text('[tags]\nflower = ["bloom"]\n')
    assert tag(lake, archive, **asked)["stale"] == 1, "labels of another vocabulary"
    ((recipes, contexts),) = ask(lake, "SELECT count(*), count(recipe ->> 'context') FROM log.recipes")
    assert (recipes, contexts) == (3, 1)
    assert "Kew" not in str(ask(lake, "SELECT recipe FROM log.recipes"))
