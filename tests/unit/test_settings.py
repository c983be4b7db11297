"""Defaults < shotlog.toml < SHOTLOG_* < arguments; what isn't known is refused."""

import pytest

from pipeline.errors import UsageError
from pipeline.settings import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_order_of_places(tmp_path, monkeypatch):
    assert load_settings().max_frames == 60
    (tmp_path / "shotlog.toml").write_text('max_frames = 10\ntagger = "null"\n')
    assert load_settings().max_frames == 10
    monkeypatch.setenv("SHOTLOG_MAX_FRAMES", "20")
    assert load_settings().max_frames == 20
    assert load_settings(max_frames="all").max_frames is None
    assert load_settings().tagger == "null"


def test_lists_come_by_comma_and_kinds_in_one_order(monkeypatch):
    monkeypatch.setenv("SHOTLOG_METADATA", "tags, categories")
    monkeypatch.setenv("SHOTLOG_SOURCES", "s3://a/, /b")
    assert load_settings().metadata == ("categories", "tags")
    assert load_settings().sources == ("s3://a/", "/b")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"laek": "x"}, "unknown setting 'laek': known are .*did you mean lake"),
        ({"max_frames": 0}, "max_frames can't be 0: .*greater than or equal to 1"),
        ({"max_frames": "many"}, "max_frames can't be 'many'"),
        ({"metadata": "tags,colours"}, "unknown metadata kind 'colours': known are actions"),
        ({"metadata": ","}, "metadata is empty"),
    ],
)
def test_a_wrong_argument_is_a_sentence(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_settings(**arguments)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "mps", ""])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(UsageError, match="give auto, cpu, cuda or cuda:N"):
        load_settings(device=device)


def test_an_unknown_variable_is_refused(monkeypatch):
    monkeypatch.setenv("SHOTLOG_TAGER", "null")
    with pytest.raises(UsageError, match=r"unknown setting 'SHOTLOG_TAGER'.*did you mean SHOTLOG_TAGGER"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("tagger = [", "shotlog.toml is not valid TOML"), ('tager = "null"', "unknown setting 'tager'")],
)
def test_a_malformed_file_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "shotlog.toml").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load_settings()
