"""What a model may write, and what is read of whatever it wrote: tags, or a line on why not, and nothing else."""

from __future__ import annotations

import json
import random
import unicodedata
from functools import cache

import pytest
import xgrammar
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model import RATINGS, FrameTags, Label, Participant
from pipeline.recipe import METADATA_KINDS
from pipeline.taggers.schema import COUNT, ITEMS, SUMMARY, AnswerError, FrameSchema
from pipeline.taggers.vocabulary import Vocabulary

ALL = FrameSchema(METADATA_KINDS, None, caption_tokens=100)
WHOLE = {
    "caption": "A dog runs.",
    "categories": ["animals"],
    "participants": [{"label": "dog", "kind": "animal", "count": 1}],
    "actions": ["running"],
    "scene": ["beach"],
    "tags": ["sand", "sea"],
    "rating": {"label": "safe", "score": 0.9},
}
WORDS = Vocabulary(
    {
        "categories": {"Sports": ("athletics",), "Nature": ()},
        "participants": {"dog": ("hound",), "man's best friend": ()},
        "scene": {"Küste": ("beach", "seaside")},
        "tags": {"日本": ()},
    }
)


def answer(**changed):
    return json.dumps(WHOLE | changed)


def tags_of(**changed):
    return ALL.read(answer(**changed))


# ---- what is read


def test_a_whole_answer_becomes_tags():
    assert ALL.read(answer()) == FrameTags(
        caption="A dog runs.",
        caption_source="vlm",
        categories=(Label("animal"),),
        participants=(Participant("dog", "animal", 1),),
        actions=(Label("running"),),
        scene=(Label("beach"),),
        tags=(Label("sand"), Label("sea")),
        rating=(Label("safe", 0.9),),
    )


def test_kinds_that_were_not_asked_for_are_none_whatever_is_written():
    tags = FrameSchema(("tags", "scene"), None, caption_tokens=100).read(answer(scene=[]))
    assert (tags.scene, tags.tags) == ((), (Label("sand"), Label("sea")))
    assert [kind for kind in METADATA_KINDS if getattr(tags, kind) is not None] == ["scene", "tags"]


def test_labels_are_normal_each_once_and_none_is_unknown():
    tags = tags_of(
        tags=["Dogs", "dog", "Unknown", "n/a", "", "traffic_light"], actions=["Playing Cards"], scene=["None."]
    )
    assert tags.tags == (Label("dog"), Label("traffic light"))
    assert (tags.actions, tags.scene) == ((Label("playing cards"),), ())


def test_participants_of_one_label_and_kind_are_one_with_the_greatest_count():
    def one(label, kind, count):
        return {"label": label, "kind": kind, "count": count}

    found = [one("Dogs", "animal", 2), one("dog", "Animal", None), one("dog", "animal", 3), one("dog", "object", None)]
    assert tags_of(participants=found).participants == (
        Participant("dog", "animal", 3),
        Participant("dog", "object", None),
    )


@pytest.mark.parametrize(("count", "kept"), [(0, ()), (-4, ()), (COUNT, (COUNT,)), (200, (200,)), (10**30, (None,))])
def test_a_count_of_none_is_not_there_and_one_beyond_counting_is_no_count(count, kept):
    found = tags_of(participants=[{"label": "ant", "kind": "animal", "count": count}]).participants
    assert tuple(one.count for one in found) == kept


@pytest.mark.parametrize(
    "around",
    ["{}", "```json\n{}\n```", "The JSON: {} Enjoy {{it}}!", "\n  {}   \n", '<think>{{hm}} {{"a": 1}}</think>{}'],
)  # fmt: skip
def test_what_is_written_around_the_object_is_passed_over(around):
    assert ALL.read(around.format(answer(), it="")) == ALL.read(answer())


def test_escapes_and_line_breaks_in_a_text_are_read():
    text = '{"caption": "A \\"STOP\\" sign,\nin \\u00e4 row.\\n", "tags": ["caf\\u00e9"]}'
    tags = FrameSchema(("tags",), None, caption_tokens=100).read(text)
    assert (tags.caption, tags.tags) == ('A "STOP" sign, in ä row.', (Label("café"),))


def test_a_caption_that_is_far_too_long_is_cut_where_a_sentence_ends():
    tags = tags_of(caption="It goes on. " * 500)
    assert tags.caption.endswith("It goes on.")
    assert 1500 < len(tags.caption) <= 1600
    assert len(tags_of(caption="on and " * 500).caption) <= 1600
    assert tags_of(caption="on and " * 500).caption.endswith((" on", " and"))
    assert len(tags_of(caption="x" * 9000).caption) == 1600


def test_of_too_many_labels_the_first_are_kept():
    tags = tags_of(tags=[f"t{number}" for number in range(500)])
    assert tags.tags == tuple(Label(f"t{number}") for number in range(ITEMS["tags"] * 4))


def test_a_vocabulary_spells_the_labels_and_drops_the_rest():
    schema = FrameSchema(METADATA_KINDS, WORDS, caption_tokens=100)
    tags = schema.read(answer(categories=["athletics", "sport", "politics"], scene=["Seaside", "KÜSTE"]))
    assert (tags.categories, tags.scene) == ((Label("Sports"),), (Label("Küste"),))
    assert (tags.participants, tags.tags, tags.actions) == ((Participant("dog", "animal", 1),), (), (Label("running"),))


# ---- what is not


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no JSON object in the answer"),
        (" \n" * 9000, "there is no JSON object in the answer"),
        ("I can't see a picture.", "there is no JSON object in the answer"),
        (answer()[:-9], "the answer is no JSON object: "),
        ("[1, 2]", "there is no JSON object in the answer"),
        ("{}", "the field caption is missing"),
        ('{"answer": ' + answer() + "}", "the field caption is missing"),
        (answer(caption=7), "caption should be a valid string"),
        (answer(caption=None), "caption should be a valid string"),
        (answer(caption=" \n "), "caption is empty"),
        (answer(caption="a\0b"), "caption has control characters"),
        (answer(caption="a\ud800b"), "caption has control characters"),
        (answer(tags="sea"), "tags should be a valid list"),
        (answer(tags=None), "tags should be a valid list"),
        (answer(tags=["sea", 7]), r"tags\[1\] should be a valid string"),
        (answer(tags=["a\x1bb"]), "tags has control characters"),
        (answer(participants=["dog"]), r"participants\[0\] should be a valid dictionary"),
        (
            answer(participants=[{"label": "dog", "kind": "pet", "count": 1}]),
            r"participants\[0\].kind should be 'person', 'animal' or 'object'",
        ),
        (answer(participants=[{"label": "dog", "kind": "animal"}]), r"the field participants\[0\].count is missing"),
        (answer(participants=[{"label": "dog", "kind": "animal", "count": True}]), "count should be a valid integer"),
        (answer(rating={"label": "fine", "score": 1}), "rating.label should be 'safe', 'suggestive', "),
        (answer(rating={"label": "safe", "score": 90}), "rating.score should be less than or equal to 1"),
        (answer(rating={"label": "safe", "score": float("nan")}), "NaN is no number"),
        (answer().replace("0.9", "1e999"), "rating.score should be less than or equal to 1"),
        (answer().replace("0.9", "9" * 5000), "the answer is no JSON object: "),
        ('{"caption": "a", "caption": "b"}', "a field is there twice"),
        ('{"a":' * 9000, "nested too deeply"),
        ("{" * 9000, "the answer is no JSON object: "),
        ("x" * 1_000_001, "the answer has more than 1,000,000 characters"),
    ],
    ids=lambda value: value[:40].strip() or "blanks" if isinstance(value, str) else None,
)
def test_another_shape_is_refused_with_a_reason(text, reason):
    with pytest.raises(AnswerError, match=reason) as raised:
        ALL.read(text)
    assert len(str(raised.value)) <= 300 and "\n" not in str(raised.value)


def test_a_summary_is_read_as_strictly():
    assert SUMMARY.read('```json\n{"summary": "A cup\\n is emptied."}\n```') == "A cup is emptied."
    assert len(SUMMARY.read(json.dumps({"summary": "word " * 9000}))) <= 8000
    for bad, reason in (
        ('{"summary": ""}', "summary is empty"),
        ("{}", "the field summary is missing"),
        ("", "no JSON"),
    ):
        with pytest.raises(AnswerError, match=reason):
            SUMMARY.read(bad)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["label", "kind", "count", "x"]), inner)
    ),
    max_leaves=8,
)


def held_to_its_promise(text):
    """Reads a text as every kind; whatever is read is fit for the lake."""
    try:
        tags = ALL.read(text)
    except AnswerError as error:
        assert 0 < len(str(error)) <= 300 and str(error).isprintable()
        return
    labels = [one for kind in METADATA_KINDS for one in getattr(tags, kind)]
    for said in [tags.caption, *(one.label for one in labels)]:
        said.encode()
        assert said == said.strip() != ""
        assert not any(unicodedata.category(char) == "Cc" for char in said)


@given(st.fixed_dictionaries({}, optional={name: _json | st.just(good) for name, good in WHOLE.items()}))
def test_whatever_json_is_answered_gives_tags_or_a_reason(found):
    held_to_its_promise(json.dumps(found))


@given(
    st.text(st.characters() | st.sampled_from(list('{}[]":,\\u\ud800')), max_size=200), st.integers(0, len(answer()))
)
@example("\ud800", 20)
def test_whatever_text_is_answered_gives_tags_or_a_reason(text, at):
    held_to_its_promise(text)
    held_to_its_promise(answer()[:at] + text + answer()[at:])


# ---- what is written


def test_the_schema_asks_for_the_caption_first_and_then_the_kinds_in_their_order():
    schema = json.loads(FrameSchema(("tags", "categories"), None, caption_tokens=100).json)
    assert list(schema["properties"]) == schema["required"] == ["caption", "categories", "tags"]
    assert list(json.loads(ALL.json)["properties"]) == ["caption", *METADATA_KINDS]


def parts(schema):
    """Every schema within a schema."""
    yield schema
    for inner in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])):
        yield from parts(inner)
    if "items" in schema:
        yield from parts(schema["items"])


@pytest.mark.parametrize("schema", [ALL, FrameSchema(METADATA_KINDS, WORDS, caption_tokens=100), SUMMARY])
def test_everything_in_a_schema_is_bounded_and_asked_for(schema):
    for part in parts(json.loads(schema.json)):
        match part.get("type"):
            case "string":
                assert "enum" in part or part["pattern"].endswith("}$")
            case "array":
                assert part["maxItems"] <= 20
            case "integer" | "number":
                assert "enum" in part or part["maximum"] - part["minimum"] < 100
            case "object":
                assert part["additionalProperties"] is False and part["required"] == list(part["properties"])
            case kind:
                assert kind == "null" or "$ref" in part or "anyOf" in part


BYTES = [bytes([byte]) for byte in range(256)]


@cache
def grammar(schema):
    """Compiled for a tokenizer whose tokens are the 256 bytes and an end."""
    info = xgrammar.TokenizerInfo([*BYTES, b"</s>"], vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[256])
    return xgrammar.GrammarCompiler(info, cache_enabled=False).compile_json_schema(schema, any_whitespace=False)


def walk(schema, seed):
    """An answer of a model that knows nothing and is held to the schema: any allowed byte, one after the other."""
    rng, matcher, written = random.Random(seed), xgrammar.GrammarMatcher(grammar(schema)), bytearray()
    mask = xgrammar.allocate_token_bitmask(1, 257)
    while not matcher.is_terminated():
        matcher.fill_next_token_bitmask(mask)
        bits = mask[0].tolist()
        token = rng.choice([token for token in range(257) if bits[token >> 5] >> (token & 31) & 1])
        assert matcher.accept_token(token)
        written += BYTES[token] if token < 256 else b""
        assert len(written) < 100_000, "an answer has an end"
    return written.decode("utf-8", "replace")


@pytest.mark.seeds(100, 500)
def test_whatever_is_written_under_the_schema_is_read(seed):
    text = walk(ALL.json, seed)
    tags = ALL.read(text)
    assert len(tags.caption) > 0
    assert [label.label in RATINGS for label in tags.rating] == [True]
    assert [text.count(f'"{kind}":') for kind in METADATA_KINDS] == [1] * len(METADATA_KINDS)


@pytest.mark.seeds(100, 500)
def test_whatever_is_written_under_a_vocabulary_is_read_and_nothing_of_it_is_dropped(seed):
    schema = FrameSchema(METADATA_KINDS, WORDS, caption_tokens=100)
    text = walk(schema.json, seed)
    tags = schema.read(text)
    written = json.loads(text)
    for kind in ("categories", "scene", "tags"):
        assert {label.label for label in getattr(tags, kind)} == set(written[kind])
    assert {one.label for one in tags.participants} == {one["label"] for one in written["participants"]}


def test_whatever_is_written_under_the_summarys_schema_is_read():
    assert all(SUMMARY.read(walk(SUMMARY.json, seed)) for seed in range(30))


def test_a_vocabulary_of_thousands_of_labels_can_still_be_held_to():
    many = {kind: {f"{kind} label {number}": () for number in range(2000)} for kind in ("tags", "categories")}
    schema = FrameSchema(("categories", "tags"), Vocabulary(many), caption_tokens=100)
    tags = schema.read(walk(schema.json, 5))
    assert tags.caption and all(label.label in many["tags"] for label in tags.tags)
