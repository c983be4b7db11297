"""Languages of sound and subtitles, and the text of the latter on the player's clock."""

from itertools import pairwise

import pytest

from pipeline.decode import tracks
from pipeline.decode.probe import probe
from pipeline.errors import MediaError
from tests.media import media
from tests.media.tracks import SAID, film

HEARD = {
    "eng": [(0.5, 1.25, "Look, a bicycle!"), (1.5, 2.0, "Where? Over there.")],
    "ger": [(0.5, 1.25, "Schau, ein Fahrrad!"), (1.5, 2.0, "Wo? — Da drüben.")],
}
FORMS = {
    "subrip.mkv": {"subtitles": "subrip"},
    "ass.mkv": {"subtitles": "ass"},
    "mov_text.mp4": {"subtitles": "mov_text"},
    "webvtt.webm": {"subtitles": "webvtt", "codec": "libvpx-vp9"},
    "late.mkv": {"subtitles": "subrip", "first_s": 5},
}


def lines(path):
    """Language → its lines, in the order in which they came."""
    found = {}
    for one in tracks.subtitles(path):
        found.setdefault(one.language, []).append((one.start_s, one.end_s, one.text))
    return found


def known(path):
    return probe(path, max_megapixels=200)


@pytest.mark.parametrize("name", FORMS)
def test_every_text_form_gives_plain_lines_on_the_players_clock(name, tmp_path):
    path = film(tmp_path / name, said=SAID, **FORMS[name])
    assert lines(path) == HEARD
    assert {(one.language, one.track) for one in tracks.subtitles(path)} == {("eng", 0), ("ger", 1)}
    info = known(path)
    assert (info.subtitle_languages, info.text_subtitles) == (("eng", "ger"), True)


def test_the_clock_is_the_containers_and_not_the_subtitles_own(tmp_path):
    path = film(tmp_path / "late.mkv", said=SAID, first_s=5)
    assert known(path).container_start_s == 5
    assert min(one.start_s for one in tracks.subtitles(path)) == 0.5


def test_sound_is_noticed_with_its_languages_one_a_track(tmp_path):
    assert known(film(tmp_path / "two.mkv", sound=["fre", None])).audio_languages == ("fre", "und")
    assert known(film(tmp_path / "silent.mkv")).audio_languages == ()
    assert known(film(tmp_path / "one.mp4", sound=["fre"], said=SAID, subtitles="mov_text")).audio_languages == ("fre",)


def test_a_language_that_is_none_counts_as_unknown(tmp_path):
    path = film(tmp_path / "odd.mkv", said={"x'; DROP TABLE": SAID["eng"], None: SAID["ger"]})
    assert known(path).subtitle_languages == ("und", "und")
    assert [(one.language, one.track) for one in tracks.subtitles(path)][:2] == [("und", 0), ("und", 1)]


@pytest.mark.parametrize(("name", "expected"), [("cfr.mp4", ()), ("animated.gif", ()), ("still.bmp", None)])
def test_what_has_no_subtitles_has_none_and_of_a_still_nothing_is_known(name, expected):
    info = known(media(name))
    assert (info.audio_languages, info.subtitle_languages, info.text_subtitles) == (expected, expected, False)


def test_of_a_film_without_text_nothing_is_read():
    assert list(tracks.subtitles(media("cfr.mp4"))) == []


def test_subtitles_that_are_pictures_are_noticed_and_not_read(tmp_path):
    """PGS by its codec id in Matroska; what the packets hold is never asked."""
    data = film(tmp_path / "text.mkv", said=SAID).read_bytes()
    path = tmp_path / "pictures.mkv"
    path.write_bytes(data.replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0", 1))
    assert (known(path).subtitle_languages, known(path).text_subtitles) == (("eng", "ger"), True)
    assert lines(path) == {"ger": HEARD["ger"]}
    path.write_bytes(data.replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0"))
    assert (known(path).subtitle_languages, known(path).text_subtitles) == (("eng", "ger"), False)
    assert lines(path) == {}


def test_of_a_file_that_ends_early_the_lines_before_are_kept(tmp_path):
    data = film(tmp_path / "whole.mkv", said=SAID).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: data.index("Wo? — Da".encode()) - 200])
    assert lines(path) == {language: said[:1] for language, said in HEARD.items()}


def test_a_line_of_broken_bytes_leaves_the_others(tmp_path):
    data = film(tmp_path / "whole.mkv", said=SAID).read_bytes()
    path = tmp_path / "broken.mkv"
    path.write_bytes(data.replace(b"Schau, ein", b"\xff\xfe\0\x1b\x07\x9bein"))
    found = lines(path)
    assert found["eng"] == HEARD["eng"]
    assert found["ger"][-1] == HEARD["ger"][-1]
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for said in found.values() for *_, text in said for c in text)


def test_neither_lines_nor_characters_are_without_bound(tmp_path, monkeypatch):
    long = [(0.5, 1.0, "word " * 1000), *((n / 100, (n + 1) / 100, f"line {n}") for n in range(110, 150))]
    path = film(tmp_path / "long.mkv", said={"eng": long})
    found = list(tracks.subtitles(path))
    assert len(found) == 41
    assert len(found[0].text) == tracks.MAX_CHARACTERS - 1  # the last character would be a space
    assert all(one.start_s < two.start_s for one, two in pairwise(found))
    monkeypatch.setattr(tracks, "MAX_LINES", 7)
    assert list(tracks.subtitles(path)) == found[:7]


def test_a_playlist_is_no_way_to_other_files(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text(f"#EXTM3U\n#EXTINF:2,\nfile:{film(tmp_path / 'real.mkv', said=SAID)}\n")
    with pytest.raises(MediaError, match="no image or video"):
        list(tracks.subtitles(path))


@pytest.mark.parametrize(
    ("dialogue", "text"),
    [
        (r"{\an8}{\i1}Wait{\i0} here,\Nplease", "Wait here, please"),
        (r"{\p1}m 0 0 l 9 0 9 9{\p0}Shop", "Shop"),
        (r"{\pos(10,20)\p4}m 0 0 l 9 0", ""),
        ("set \\{{}a, b\\\u2060}", "set {a, b\\}"),  # braces and backslashes as libavcodec writes those of SubRip
        (r"two\hwords\n and  a	tab", "two words and a tab"),
        ("a\0b\x1b[31mc\x9bd\x7f", "a b [31mc d"),
        ("{never closed", "{never closed"),
        ("", ""),
    ],
)
def test_styling_drawings_and_control_characters_are_no_text(dialogue, text):
    assert tracks.plain(dialogue) == text
