"""What a file is, by its bytes and never by its name; and whether they end early."""

import json
import shutil
from dataclasses import asdict

import pytest

from pipeline.decode.containers import sniff
from pipeline.decode.probe import probe
from pipeline.errors import MediaError
from pipeline.model import MediaInfo
from tests.media import media, names
from tests.media.tracks import SAID, film

KNOWN = {
    "bikes.mp4": ("video", "mp4", "h264", 640, 272, 10.0, 25.0),
    "carphone_pristine.mp4": ("video", "mp4", "h264", 193, 144, 4.004, 29.97),  # 176 stored, pixels 12:11
    "cfr.mov": ("video", "mov", "h264", 160, 96, 2.0, 24.0),
    "vp9.webm": ("video", "webm", "vp9", 160, 96, 2.0, 24.0),
    "hevc.mp4": ("video", "mp4", "hevc", 160, 96, 2.0, 24.0),
    "mpeg2.mpg": ("video", "mpeg", "mpeg2video", 160, 96, 2.0, 24.0),
    "rotated.mp4": ("video", "mp4", "h264", 96, 160, 2.0, 24.0),
    "anamorphic.mp4": ("video", "mp4", "h264", 320, 96, 2.0, 24.0),
    "overcount.mp4": ("video", "mp4", "h264", 160, 96, 2.0, None),
    "cover.mp4": ("video", "mp4", "h264", 160, 96, 2.0, 24.0),
    "heic.heic": ("image", "heif", "heif", 225, 150, 0.0, None),
    "exif_rotated.jpg": ("image", "jpeg", "jpeg", 225, 150, 0.0, None),
}

CUTTABLE = [n for n in names() if n.startswith(("cfr.", "faststart", "fragmented", "live", "vp9", "mpeg4", "flash"))]


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_of_a_file(name):
    info = probe(media(name), max_megapixels=200)
    kind, container, codec, width, height, duration_s, frame_rate = KNOWN[name]
    assert (info.kind, info.container, info.codec, info.width, info.height) == (kind, container, codec, width, height)
    assert info.duration_s == pytest.approx(duration_s, abs=0.002)
    if frame_rate:
        assert info.frame_rate == pytest.approx(frame_rate, abs=0.01)
    assert info.fault is None


@pytest.mark.parametrize("name", ["cfr.mp4", "vp9.webm", "still.bmp", "animated.gif"])
def test_a_name_says_nothing(name, tmp_path):
    disguised = tmp_path / "holiday.txt"
    shutil.copy(media(name), disguised)
    assert probe(disguised, max_megapixels=200) == probe(media(name), max_megapixels=200)


def test_where_the_clock_begins():
    late = probe(media("audio_first.mp4"), max_megapixels=200)
    assert (late.container_start_s, late.stream_start_s) == pytest.approx((0, 1), abs=0.05)
    tape = probe(media("at_36000.ts"), max_megapixels=200)
    assert (tape.container_start_s, tape.stream_start_s) == pytest.approx((36_000, 36_001), abs=0.05)


@pytest.mark.parametrize(("name", "expected"), [("rotated.mp4", 90), ("cfr.mp4", 0), ("exif_rotated.jpg", None)])
def test_how_a_film_was_turned_is_told(name, expected):
    """The frames come upright all the same; a still tells no more."""
    assert probe(media(name), max_megapixels=200).rotation == expected


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("tape.mov", "01:00:00:00", "01:00:00:00"),  # a track of its own (tmcd)
        ("tape.mp4", "01:00:00:00", "01:00:00:00"),
        ("tape.mxf", "10:00:00:00", "10:00:00:00"),
        ("tape.mkv", "09:59:50;02", "09:59:50;02"),  # a tag, whose name the muxer writes in capitals
        ("odd.mkv", "yesterday", None),
        ("none.mkv", None, None),
    ],
)
def test_a_tapes_own_timecode(name, written, expected, tmp_path):
    path = film(tmp_path / name, metadata={"timecode": written} if written else {})
    assert probe(path, max_megapixels=200).start_timecode == expected


def test_what_is_known_survives_the_way_between_processes(tmp_path):
    info = probe(film(tmp_path / "film.mkv", said=SAID, sound=["eng", None]), max_megapixels=200)
    assert info.audio_languages == ("eng", "und")
    assert MediaInfo(**json.loads(json.dumps(asdict(info)))) == info


@pytest.mark.parametrize("percent", [10, 35, 60, 85, 99])
@pytest.mark.parametrize("name", CUTTABLE)
def test_bytes_that_end_early_are_never_taken_for_a_whole_file(name, percent, tmp_path):
    data = media(name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: len(data) * percent // 100])
    try:
        found = probe(cut, max_megapixels=200).fault
    except MediaError as error:
        found = error.code
    assert found == "truncated"


def test_no_healthy_file_is_said_to_end_early():
    assert {name: probe(media(name), max_megapixels=200).fault for name in names()} == dict.fromkeys(names())


def test_bytes_of_nothing_known_are_nothing():
    assert sniff(b"") is None
    assert sniff(b"\0" * 4096) is None
    assert sniff(b"This is a letter." * 300) is None
