"""A vocabulary says what it means, or why it can't: labels keep the file's spelling, synonyms lead to them."""

import pytest

from pipeline.errors import UsageError
from pipeline.taggers.vocabulary import MAX_BYTES, load_vocabulary

GOOD = """
# what our archive calls things
[scene]
Beach = ["seaside", "Sea-Side resorts"]
"office" = []

[categories]
sports = ["athletics"]
"traffic light" = ["stoplight", "traffic-lights"]

[actions]
"playing cards" = []
"""


def load(folder, text):
    path = folder / "vocabulary.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_vocabulary(path)


def test_labels_keep_the_spelling_of_the_file_and_a_kind_without_a_table_is_free(tmp_path):
    vocabulary = load(tmp_path, GOOD)
    assert vocabulary.labels("scene") == ("Beach", "office")
    assert vocabulary.labels("categories") == ("sports", "traffic light")
    assert vocabulary.labels("tags") is None


@pytest.mark.parametrize(
    ("kind", "text", "label"),
    [
        ("scene", "BEACH", "Beach"),
        ("scene", "beaches", "Beach"),
        ("scene", "seaside", "Beach"),
        ("scene", "Sea side resort.", "Beach"),
        ("scene", "sport", None),
        ("scene", "", None),
        ("categories", "Sport", "sports"),
        ("categories", "sports", "sports"),
        ("categories", "traffic_light", "traffic light"),
        ("actions", "Playing cards", "playing cards"),
        ("actions", "playing card", None),
        ("tags", "anything", None),
    ],
)
def test_a_text_finds_its_label_by_spelling_or_synonym(tmp_path, kind, text, label):
    assert load(tmp_path, GOOD).find(kind, text) == label


def test_its_digest_is_of_the_meaning(tmp_path):
    digest = load(tmp_path, GOOD).digest
    assert len(digest) == 16 and int(digest, 16)
    other_order = """
    actions."playing cards" = []
    [categories]\r
    "traffic light" = ["Traffic Lights", "stoplights"]  # the red one
    sports = ["athletics", "athletics"]
    [scene]
    office = []
    Beach = ["sea side resort", "seaside"]
    """
    assert load(tmp_path, other_order).digest == digest
    assert load(tmp_path, other_order).labels("scene") == ("Beach", "office")
    for old, new in (('"seaside", ', ""), ("Beach", "beach"), ("[scene]", "[tags]"), ("sports", "sportsman")):
        assert load(tmp_path, GOOD.replace(old, new)).digest != digest, old


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the vocabulary .* is empty: write a table a metadata kind"),
        ("scene = [", "the vocabulary .* is not valid TOML .*: write each label once"),
        ("[scene]\nbeach = []\nbeach = []", "is not valid TOML"),
        (b"[scene]\nb\xff = []", "is not valid TOML"),
        ("[scenes]\nbeach = []", r"unknown metadata kind 'scenes': known are .* — did you mean scene\?"),
        ("[rating]\nsafe = []", "unknown metadata kind 'rating': known are actions, categories"),
        ("scene = []", r"scene has no labels in the vocabulary .*: write a table \[scene\]"),
        ("[scene]", "scene has no labels in the vocabulary"),
        ("scene = ['beach']", "scene has no labels in the vocabulary"),
        ("[scene]\nbeach = 'sea'", "'beach' in .scene. of the vocabulary .* must have a list of synonyms, got sea"),
        ("[scene]\nbeach = [7]", r"'beach' .* must have a list of synonyms, got \[7\]: write \"beach\" = \["),
        ("[scene.beach]\nsea = []", "'beach' .* must have a list of synonyms"),
        ("[scene]\nbeach = []\nBeaches = []", "'Beaches' .* is the same label as 'beach': keep one of them"),
        ("[scene]\n'a b' = []\n'a  b' = []", "'a b' .* is there twice: keep one of them"),
        ("[scene]\nbeach = ['sea']\nshore = ['seas']", "'seas' .* is a synonym of 'shore' and means 'beach': keep one"),
        ("[scene]\nbeach = []\nshore = ['beaches']", "'beaches' .* is a synonym of 'shore' and means 'beach'"),
        ("[scene]\nbeach = ['shore']\nshore = []", "'shore' .* is a synonym of 'beach' and means 'shore'"),
        ("[scene]\n'a \"b\"' = []", "has a quotation mark or a backslash: leave it out"),
        ("[scene]\n'a\\b' = []", "has a quotation mark or a backslash"),
        ('[scene]\n"a\\u0007" = []', "has a control character: leave it out"),
        ('[scene]\na = ["b\\u0000"]', "has a control character"),
        ("[scene]\n'' = []", "must have 1 to 100 characters, got 0"),
        ("[scene]\n" + "x" * 101 + " = []", "must have 1 to 100 characters, got 101: shorten it"),
        ("[scene]\n'...' = []", "'...' .* is no label: write one with letters or numbers"),
        ("#" * (MAX_BYTES + 1), "is larger than 1,000,000 bytes: keep the labels you need"),
        ("a = " + "[" * 100_000, "is not valid TOML"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else repr(value),
)
def test_a_vocabulary_that_does_not_say_what_it_means_is_refused(tmp_path, text, sentence):
    with pytest.raises(UsageError, match=f"(?s){sentence}") as raised:
        load(tmp_path, text)
    assert len(str(raised.value)) < 1000


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(
        UsageError, match=r"the vocabulary .*gone.toml can't be read \(No such file.*check --vocabulary"
    ):
        load_vocabulary(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="can't be read"):
        load_vocabulary(tmp_path)
