"""The words of the builtin tagger: every class has a name and a category, and no label two of them."""

from collections import Counter

import pytest

from pipeline.taggers import labels
from pipeline.taggers.networks import CLASSIFIER_CLASSES, weights_folder

UNSORTED = {"bubble", "honeycomb", "mountain tent", "muzzle", "spider web"}
"""Labels that fit no category."""

SAME_WORD = {"maillot", "sunglasses"}
"""ImageNet has two classes for each of these."""


@pytest.fixture(scope="module")
def imagenet():
    """Class number → label, from the list that lies beside the weights."""
    classes = (weights_folder() / CLASSIFIER_CLASSES).read_text("utf-8").splitlines()
    return {number: labels.imagenet_label(number, synonyms) for number, synonyms in enumerate(classes)}


@pytest.fixture(scope="module")
def known(imagenet):
    return set(imagenet.values()) | set(labels.COCO.values())


def test_both_vocabularies_are_whole(imagenet):
    assert (len(imagenet), len(labels.COCO), len(set(labels.COCO.values()))) == (1000, 80, 80)
    assert {label for label, count in Counter(imagenet.values()).items() if count > 1} == SAME_WORD


def test_every_label_is_lower_case_and_stripped(known):
    assert [label for label in known if not label or label != label.strip().lower()] == []


def test_every_label_has_a_category_or_is_known_to_have_none(imagenet):
    kinds = {label: labels.imagenet_kind(number, label) for number, label in imagenet.items()}
    kinds |= {label: labels.coco_kind(label) for label in labels.COCO.values()}
    assert {label for label, kind in kinds.items() if labels.category_of(label, kind) is None} == UNSORTED


def test_no_label_is_in_two_categories_and_none_is_there_that_no_network_gives(known):
    listed = Counter(label.strip() for text in labels._TABLE.values() for label in text.split(","))
    assert [label for label, count in listed.items() if count > 1] == []
    assert set(listed) - known == set()


def test_settings_are_labels_and_places_and_no_animals(imagenet, known):
    assert known >= labels.SETTINGS
    numbers = {label: number for number, label in imagenet.items()}
    assert {labels.category_of(label, labels.imagenet_kind(numbers[label], label)) for label in labels.SETTINGS} == {
        "building",
        "landscape",
    }


@pytest.mark.parametrize(
    ("number", "label", "common", "kind"),
    [
        (0, "tench", "tench", "animal"),
        (134, "crane bird", "bird", "animal"),
        (151, "chihuahua", "dog", "animal"),
        (242, "boxer dog", "dog", "animal"),
        (268, "mexican hairless", "dog", "animal"),
        (269, "timber wolf", "timber wolf", "animal"),
        (281, "tabby", "cat", "animal"),
        (291, "lion", "lion", "animal"),
        (296, "polar bear", "bear", "animal"),
        (340, "zebra", "zebra", "animal"),
        (386, "african elephant", "elephant", "animal"),
        (397, "puffer", "puffer", "animal"),
        (398, "abacus", "abacus", "object"),
        (487, "cell phone", "cell phone", "object"),
        (517, "crane", "crane", "object"),
        (726, "carpenter's plane", "carpenter's plane", "object"),
        (982, "bridegroom", "person", "person"),
        (981, "ballplayer", "person", "person"),
    ],
)
def test_a_class_has_the_name_that_people_use(imagenet, number, label, common, kind):
    assert imagenet[number] == label
    assert labels.common_name(number, label) == common
    assert labels.imagenet_kind(number, label) == kind


def test_coco_kinds():
    kinds = Counter(labels.coco_kind(label) for label in labels.COCO.values())
    assert kinds == {"person": 1, "animal": 10, "object": 69}
