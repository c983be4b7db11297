"""Labels are spelled one way: what differs in case, dashes, spacing and number is the same label."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.taggers.words import LONGEST, is_unknown, normal

SINGULAR = """
    always aircraft asparagus athletics bass bison brass building bus business cactus campus canvas cattle ceramics
    chess christmas circus clothes coffee compass crossroads deer dice dress electronics fish fitness gas glass glasses
    grass gymnastics headphones headquarters iris jeans juice kiss lens mathematics mattress moose news oasis octopus
    omen opera paris physics police politics princess rhinoceros scissors series sheep shorts species specimen squid
    sunglasses tennis trousers virus walrus
""".split()  # noqa: SIM905 (a list of words reads better so)

PLURALS = {
    "axes": "axe", "babies": "baby", "bacteria": "bacterium", "batteries": "battery", "beaches": "beach",
    "bookshelves": "bookshelf", "boxes": "box", "bushes": "bush", "buses": "bus", "cacti": "cactus",
    "canoes": "canoe", "cases": "case", "children": "child", "cities": "city", "classes": "class", "comics": "comic",
    "cookies": "cookie", "cows": "cow", "crises": "crisis", "dresses": "dress", "feet": "foot", "firemen": "fireman",
    "fries": "fry", "geese": "goose", "gloves": "glove", "grandchildren": "grandchild", "houses": "house",
    "knives": "knife", "leaves": "leaf", "lenses": "lens", "mens": "man", "menus": "menu", "mice": "mouse",
    "movies": "movie", "olives": "olive", "pandas": "panda", "people": "person", "photos": "photo", "pies": "pie",
    "police officers": "police officer", "quizzes": "quiz", "roses": "rose", "scarves": "scarf", "selfies": "selfie",
    "shoes": "shoe", "skis": "ski", "sports": "sport", "taxis": "taxi", "teeth": "tooth", "toes": "toe",
    "tomatoes": "tomato", "toys": "toy", "trees": "tree", "vases": "vase", "viruses": "virus", "waves": "wave",
    "wolves": "wolf", "woman's shoes": "woman's shoe", "women": "woman",
}  # fmt: skip


@pytest.mark.parametrize("word", SINGULAR)
def test_a_singular_that_looks_like_a_plural_stays_whole(word):
    assert normal(word) == word


@pytest.mark.parametrize(("plural", "single"), PLURALS.items())
def test_a_plural_becomes_its_singular(plural, single):
    assert normal(plural) == single
    assert normal(single) == single


@pytest.mark.parametrize(
    "spelling",
    ["traffic light", "Traffic-Light", "traffic_light", " traffic \n\t lights. ", "TRAFFIC LIGHTS!", "#traffic‑light",
     "“traffic light”", "* traffic light;", "traffic\x00 light"],
)  # fmt: skip
def test_one_label_has_one_spelling(spelling):
    assert normal(spelling) == "traffic light"


@pytest.mark.parametrize(
    ("label", "spelled"),
    [("T-Shirts", "t-shirt"), ("X-ray", "x-ray"), ("18-wheelers", "18-wheeler"), ("covid-19", "covid-19"),
     ("black-and-white", "black and white"), ("jack-o'-lantern", "jack-o'-lantern")],
)  # fmt: skip
def test_a_hyphen_stays_where_a_letter_or_a_number_needs_it(label, spelled):
    assert normal(label) == spelled


def test_only_the_last_noun_is_made_singular_and_an_action_keeps_its_object():
    assert normal("glasses cases") == "glasses case"
    assert normal("playing Cards", nouns=False) == "playing cards"
    assert normal("riding a bicycle") == normal("Riding_a bicycle", nouns=False) == "riding a bicycle"


def test_other_scripts_survive_composed():
    assert normal("Bär") == normal(unicodedata.normalize("NFD", "Bär")) == "bär"
    assert [normal(label) for label in ("日本語", "ДОМ。", "éclairs", "🐶")] == ["日本語", "дом", "éclairs", "🐶"]


def test_what_names_nothing_is_known_as_unknown():
    assert all(is_unknown(normal(label)) for label in ("Unknown.", "none", "N/A", "  ", "---", "Not applicable"))
    assert not any(is_unknown(normal(label)) for label in ("nun", "dog", "unknown soldier"))


def test_a_sentence_is_cut_at_a_blank():
    assert normal("many words " * 40) == ("many words " * 9).strip().removesuffix("s")
    assert len(normal("x" * 500)) == LONGEST


@given(st.text(max_size=250), st.booleans())
def test_twice_is_once_whatever_is_written(label, nouns):
    spelled = normal(label, nouns=nouns)
    assert normal(spelled, nouns=nouns) == spelled
    assert len(spelled) <= LONGEST
    assert spelled == spelled.strip()
    spelled.encode()


@given(st.from_regex(r"[a-z \-']{1,3}[a-z]{0,6}(oes|ies|ses|ves|men|us|is|es|s)", fullmatch=True))
def test_twice_is_once_for_what_ends_like_a_plural(label):
    assert normal(normal(label)) == normal(label)
