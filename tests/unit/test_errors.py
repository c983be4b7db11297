"""Every error is a sentence with the next step; every code says what happened and whether waiting helps."""

import doctest
import importlib

import pytest

from pipeline.errors import (
    CODES,
    LakeError,
    MediaError,
    ShotlogError,
    StoreError,
    TaggerError,
    UsageError,
    describe,
    passing_codes,
    unknown_name,
)
from tests.unit.test_layout import MODULES, module_name


@pytest.mark.parametrize("code", CODES)
def test_a_code_says_what_happened_and_what_to_do(code):
    known = CODES[code]
    for text in (known.sentence, known.next_step):
        assert text == text.strip().rstrip(".") != ""
    assert known.status in ("failed", "skipped")
    assert describe(code) == f"{known.sentence}: {known.next_step}" == str(MediaError(code))


def test_what_lies_outside_the_bytes_passes_and_what_lies_in_them_stays():
    store = {"not_found", "access_denied", "unreadable", "object_changed"}
    outside = store | {"decode_timeout", "gpu_failed", "model_timeout", "model_busy", "model_failed"}
    assert set(passing_codes()) == outside
    assert not [code for code in outside if CODES[code].status == "skipped"]


def test_a_detail_is_one_line_and_of_bounded_length():
    text = describe("corrupt", "first line\n\tsecond" + "x" * 10_000)
    assert "first line second" in text
    assert "\n" not in text
    assert len(text) < 600


def test_an_unknown_code_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="unknown media error code 'corupt'"):
        MediaError("corupt")


@pytest.mark.parametrize(
    ("error", "exit_code"), [(UsageError, 2), (StoreError, 3), (LakeError, 3), (TaggerError, 3), (ShotlogError, 3)]
)
def test_exit_codes_tell_wrong_usage_from_what_could_not_be_done(error, exit_code):
    assert issubclass(error, ShotlogError)
    assert error.exit_code == exit_code


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bulitin", "unknown tagger 'bulitin': known are builtin, null — did you mean builtin?"),
        ("vlm", "unknown tagger 'vlm': known are builtin, null"),
        ("", "unknown tagger '': known are builtin, null"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(name, sentence):
    assert str(unknown_name("tagger", name, ["null", "builtin"])) == sentence


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in path.read_text("utf-8")], ids=module_name)
def test_examples_in_docstrings_are_true(path):
    assert doctest.testmod(importlib.import_module(module_name(path))).failed == 0


def test_a_detail_may_hold_anything_and_the_sentence_can_be_kept():
    said = describe("answer_refused", "no \ud83d\x00\x1b[2J\u202e way")
    said.encode()
    assert "no [2J way" in said.replace("  ", " ")
