"""What the two networks say together, on made-up findings and on real photographs and film."""

import os

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.model import Frame, Label, Participant
from pipeline.recipe import METADATA_KINDS
from pipeline.settings import load_settings
from pipeline.taggers import open_tagger
from pipeline.taggers.builtin import describe
from pipeline.taggers.networks import Classification, Detection
from tests.media import media

PERSON, BICYCLE, DOG, CAT = (Detection(label, 0.8) for label in ("person", "bicycle", "dog", "cat"))
TABBY = Classification("tabby", "cat", "animal", 0.9)
LION = Classification("lion", "lion", "animal", 0.7)
BEACH = Classification("seashore", "seashore", "object", 0.75)
TAXI = Classification("taxi", "taxi", "object", 0.65)
GROOM = Classification("bridegroom", "person", "person", 0.6)
MUZZLE = Classification("muzzle", "muzzle", "object", 0.61)


def label_of(found):
    return [(one.label, one.score) for one in found]


def who(found):
    return [(one.label, one.count) for one in found]


# findings: participants and how many; tags; categories; caption
SEEN = {
    "nothing": ([], None, [], [], [], "Nothing recognised."),
    "one person": ([PERSON], None, [("person", 1)], ["person"], ["person"], "1 person."),
    "people first, then the most": (
        [BICYCLE, BICYCLE, DOG, PERSON, Detection("car", 0.5)],
        None,
        [("person", 1), ("dog", 1), ("bicycle", 2), ("car", 1)],
        ["bicycle", "dog", "person", "car"],
        ["animal", "person", "vehicle"],
        "1 person, 1 dog, 2 bicycles and 1 car.",
    ),
    "both see the same animal": (
        [CAT, CAT],
        TABBY,
        [("cat", 2)],
        ["tabby", "cat"],
        ["animal"],
        "2 cats; looks like: tabby.",
    ),
    "they disagree on the animal": (
        [PERSON, DOG, DOG],
        TABBY,
        [("person", 1), ("cat", None)],
        ["cat", "tabby", "person"],
        ["animal", "person"],
        "1 person and at least 1 cat; looks like: tabby.",
    ),
    "one of two animals is agreed on": (
        [DOG, CAT],
        TABBY,
        [("dog", 1), ("cat", 1)],
        ["tabby", "cat", "dog"],
        ["animal"],
        "1 dog and 1 cat; looks like: tabby.",
    ),
    "an animal that the classifier alone sees": (
        [BICYCLE],
        LION,
        [("lion", None), ("bicycle", 1)],
        ["bicycle", "lion"],
        ["vehicle", "animal"],
        "At least 1 lion and 1 bicycle.",
    ),
    "a person that the classifier alone sees": (
        [],
        GROOM,
        [("person", None)],
        ["bridegroom", "person"],
        ["person"],
        "At least 1 person; looks like: bridegroom.",
    ),
    "a thing does not overrule an animal": (
        [DOG],
        TAXI,
        [("dog", 1)],
        ["dog", "taxi"],
        ["animal", "vehicle"],
        "1 dog; looks like: taxi.",
    ),
    "a thing that fits no category": ([], MUZZLE, [], ["muzzle"], [], "Looks like: muzzle."),
    "a place": ([], BEACH, [], ["seashore"], ["landscape"], "Looks like: seashore."),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_said_of_what_was_found(name):
    detections, whole, participants, tags, categories, caption = SEEN[name]
    said = describe(detections, whole, METADATA_KINDS)
    assert who(said.participants) == participants
    assert [one.label for one in said.tags] == tags
    assert [one.label for one in said.categories] == categories
    assert (said.caption, said.caption_source) == (caption, "template")
    assert said.actions is None  # it can't see any: no guess


def test_a_scene_is_said_only_where_a_place_was_recognised():
    scenes = {whole: describe([PERSON], whole, METADATA_KINDS).scene for whole in (BEACH, TAXI, LION, None)}
    assert scenes == {BEACH: (Label("seashore", 0.75),), TAXI: (), LION: (), None: ()}


def test_scores_are_the_best_of_their_kind():
    said = describe([Detection("dog", 0.9), Detection("dog", 0.6), BICYCLE], TAXI, METADATA_KINDS)
    assert said.participants[0] == Participant("dog", "animal", 2, 0.9)
    assert label_of(said.categories) == [("animal", 0.9), ("vehicle", 0.8)]


@pytest.mark.parametrize("kind", METADATA_KINDS)
def test_only_what_was_asked_for_is_said(kind):
    said = describe([PERSON], BEACH, (kind,))
    assert [other for other in METADATA_KINDS if getattr(said, other)] == (
        [] if kind in ("actions", "rating") else [kind]
    )


# ---- on real pictures


@pytest.fixture(scope="module")
def look():
    """Answer one picture after another: who is seen, and all tags."""
    with open_tagger(load_settings(workers=1)) as tagger:

        def look(image):
            (answer,) = tagger.look([Frame("m", np.asarray(image))])
            return answer.tags

        yield look


def photograph(name):
    return Image.open(media(name)).convert("RGB")


def test_a_portrait_shows_a_person(look):
    said = look(photograph("astronaut.png"))
    assert ("person", "person") in [(one.label, one.kind) for one in said.participants]
    assert "person" in [one.label for one in said.categories]
    assert "1 person" in said.caption


def test_a_cat_is_a_cat_and_an_animal(look):
    said = look(photograph("chelsea.png"))
    assert ("cat", "animal") in [(one.label, one.kind) for one in said.participants]
    assert "animal" in [one.label for one in said.categories]
    assert {"cat"} < {one.label for one in said.tags}  # and which, by the classifier


@pytest.fixture(scope="module")
def film():
    """Frame number → picture, ten of the film's 250."""
    with av.open(str(media("bikes.mp4"))) as opened:
        return {n: frame.to_ndarray(format="rgb24") for n, frame in enumerate(opened.decode(video=0)) if n % 25 == 10}


def test_a_film_of_cyclists_shows_people_and_bicycles(look, film):
    seen = {number: {one.label for one in look(image).participants} for number, image in film.items()}
    assert {number for number, labels in seen.items() if "person" in labels} >= {110, 135}  # waiting at the lights
    assert {number for number, labels in seen.items() if "bicycle" in labels} >= {135, 210, 235}


def test_colours_reach_the_network_in_its_own_order(look, film):
    def found(images):
        return sum(one.count or 0 for image in images for one in look(image).participants)

    assert found(film.values()) > found(image[..., ::-1] for image in film.values())


# ---- threads


@pytest.fixture
def three_threads():
    """cv2 as some caller has set it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_cores_are_divided_among_the_threads_and_cv2_gets_its_own_back(threads):
    with open_tagger(load_settings(workers=threads)):
        assert cv2.getNumThreads() == max(1, len(os.sched_getaffinity(0)) // threads)
    assert cv2.getNumThreads() == 3


def test_it_must_be_entered_before_it_looks():
    with pytest.raises(RuntimeError, match="isn't open: use it in a with statement"):
        open_tagger(load_settings()).look([])
