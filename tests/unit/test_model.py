"""What identifies media, and what must never be stored of a URL."""

import numpy as np
import pytest

from pipeline.model import Frame, FrameTags, Label, MediaInfo, Participant, Shot, timecode
from pipeline.recipe import Recipe
from pipeline.uris import canonical_uri, media_id, stored_uri

SIGNED = (
    "https://user:secret@Cdn.Example.org:8443/a%20b.mp4?v=2&X-Amz-Signature=abc&X-Amz-Credential=k&Expires=1"
    "&Signature=s&Key-Pair-Id=p&X-Amz-Security-Token=t"
)


def test_a_signed_url_is_the_same_object_as_the_plain_one():
    assert canonical_uri(SIGNED) == "https://cdn.example.org:8443/a%20b.mp4?v=2"
    assert media_id(SIGNED) == media_id("https://cdn.example.org:8443/a%20b.mp4?v=2")
    assert media_id(SIGNED) != media_id("https://cdn.example.org:8443/a%20b.mp4?v=3")


def test_a_stored_uri_has_no_query_user_or_password():
    assert stored_uri(SIGNED) == "https://cdn.example.org:8443/a%20b.mp4"


@pytest.mark.parametrize("uri", ["s3://bucket/what?.mp4", "/tapes/50% off?.mp4", "s3://bucket/a b&c=d.jpg"])
def test_a_key_or_path_may_hold_any_character(uri):
    assert canonical_uri(uri) == stored_uri(uri) == uri


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "00:00:00.000"), (3.2404, "00:00:03.240"), (3661.5, "01:01:01.500"), (59.9996, "00:01:00.000")],
)
def test_timecode(seconds, expected):
    assert timecode(seconds) == expected


def test_a_recipe_changes_its_id_with_anything_that_decides_the_answer():
    base = Recipe("builtin")
    others = [
        Recipe("null"),
        Recipe("builtin", max_frames=None),
        Recipe("builtin", metadata=("tags",)),
        Recipe("builtin", context="a zoo"),
    ]
    assert len({recipe.recipe_id for recipe in [base, *others]}) == 5
    assert base.recipe_id == Recipe("builtin").recipe_id


@pytest.mark.parametrize(
    ("recipe", "recipe_id"),
    [
        (Recipe("builtin"), "ab47d2bfa55781c0"),
        (Recipe("builtin", max_frames=None, shot_detector="x"), "05763b5e786c37ce"),
    ],
)
def test_a_recipe_keeps_its_id_when_a_field_is_added_that_it_doesnt_use(recipe, recipe_id):
    """As the first shotlog named them: otherwise all that it tagged would be stale."""
    assert recipe.recipe_id == recipe_id


@pytest.mark.parametrize(
    "make",
    [
        lambda: Label(""),
        lambda: Label("dog", 1.2),
        lambda: Participant("dog", "beast"),
        lambda: Participant("dog", "animal", count=0),
        lambda: Shot(2, 1),
        lambda: MediaInfo("video", "mp4", "h264", 0, 10),
        lambda: MediaInfo("video", "mp4", "h264", 10, 10, float("nan")),
        lambda: FrameTags(caption="a dog"),
        lambda: Frame("m", np.zeros((2, 2), np.uint8)),
        lambda: Recipe("builtin", metadata=("colours",)),
    ],
)
def test_the_model_checks_itself(make):
    with pytest.raises(ValueError, match=r"."):
        make()
