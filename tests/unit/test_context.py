"""What is known of a media object goes into the prompt: whole where it is short, cut where it is long, never raw."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.context import MAX_CHARACTERS, describe, recipe_part
from pipeline.settings import Settings

METADATA = {"title": "Harbour", "year": "1962", "rights": "unknown"}


@pytest.mark.parametrize(
    ("archive", "wanted", "sidecar", "expected"),
    [
        ("", (), None, ""),
        (" \n", ("author",), b" \n", ""),
        ("Newsreels", (), None, "Newsreels"),
        ("", ("year", "title"), None, "year: 1962\ntitle: Harbour"),
        ("", ("YEAR", "year", "author"), None, "year: 1962"),
        ("", ("all",), None, "rights: unknown\ntitle: Harbour\nyear: 1962"),
        ("", ("year", "all"), None, "rights: unknown\ntitle: Harbour\nyear: 1962"),
        ("", (), b"A ferry.\r\nA pier.\n", "A ferry.\nA pier."),
        ("", (), b'{"place": "Hamburg"}', '{"place": "Hamburg"}'),
        ("Newsreels", ("title",), b"A ferry.", "Newsreels\ntitle: Harbour\nA ferry."),
    ],
)
def test_what_is_known_is_one_text(archive, wanted, sidecar, expected):
    assert describe(archive, METADATA, wanted, sidecar) == expected


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [
        ("\ufeffHafen".encode(), "Hafen"),
        ("Fähre 日本 👩‍🚀".encode(), "Fähre 日本 👩‍🚀"),
        ("Fähre".encode("latin-1"), "F�hre"),
        (b"\xff\xfeH\0i\0", "��Hi"),
        ("Fähre".encode()[:2], "F�"),  # where reading ended
        (b"a\0b\x07c\x1b[31md\x7f", "abc[31md"),
        ("a\u202eb\u200bc\u2066d".encode(), "abcd"),
        ("ok" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all"), "ok"),  # tags that no eye sees
        ("می‌روم".encode(), "می‌روم"),
        (b"a\tb\rc\x0bd\x0ce", "a b\nc\nd\ne"),
        ("a\u2028b\u2029c\x85d".encode(), "a\nb\nc\nd"),
    ],
)
def test_a_sidecar_is_read_as_text_whatever_its_bytes(sidecar, expected):
    assert describe("", {}, (), sidecar.encode() if isinstance(sidecar, str) else sidecar) == expected


def test_a_value_of_several_lines_cannot_pass_for_another_key():
    assert describe("", {"title": "Harbour\nyear: 1900\r\n"}, ("title",), None) == "title: Harbour year: 1900"


def test_long_parts_are_cut_and_leave_room_for_the_others():
    many = {f"key{number:03}": "v" * 500 for number in range(100)}
    text = describe("a" * 5000, many, ("all",), b"s" * 5000)
    archive, rest = text.split("\n", 1)
    assert (len(archive), archive[-1]) == (800, "…")
    assert rest.startswith("key000: " + "v" * 199 + "…\nkey001: ")
    assert 590 < text.count("s") < 700
    assert (len(text), text[-1]) == (MAX_CHARACTERS, "…")


def test_a_sidecar_alone_gets_all_the_room_and_is_cut_only_past_it():
    assert describe("", {}, (), b"s" * MAX_CHARACTERS) == "s" * MAX_CHARACTERS
    assert describe("", {}, (), b"s" * (MAX_CHARACTERS + 1)) == "s" * (MAX_CHARACTERS - 1) + "…"


@given(
    st.text(max_size=3000),
    st.dictionaries(st.text(max_size=20), st.text(max_size=400), max_size=8),
    st.none() | st.binary(max_size=9000) | st.text(max_size=3000).map(str.encode),
)
def test_the_text_is_bounded_clean_and_fit_for_any_tokenizer(archive, metadata, sidecar):
    text = describe(archive, metadata, ("all",), sidecar)
    assert len(text) <= MAX_CHARACTERS
    assert text == text.strip()
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    assert text.encode().decode() == text


# ---- its share of the recipe


def part(**arguments):
    return recipe_part(Settings(**arguments))


def test_no_context_leaves_the_recipe_as_it_was():
    assert part() is part(context=" ") is part(context_metadata=()) is None


def test_whatever_changes_the_context_changes_the_recipe():
    parts = [
        part(context="Newsreels"),
        part(context="Newsreels of 1962"),
        part(context_metadata="title"),
        part(context_metadata="title,year"),
        part(context_metadata="year,title"),
        part(context_metadata="all"),
        part(context_sidecar=".txt"),
        part(context_sidecar=".json"),
        part(context="Newsreels", context_sidecar=".txt"),
    ]
    assert len(set(parts)) == len(parts)
    assert all(len(each) == 16 and int(each, 16) for each in parts)


def test_what_gives_the_same_text_is_the_same_recipe():
    assert part(context=" Newsreels\r\n") == part(context="Newsreels")
    assert part(context_metadata="Title,title") == part(context_metadata="title")
    assert part(context_metadata="title,all") == part(context_metadata="all")
