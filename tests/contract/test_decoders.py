"""One suite over every decoder, policy and file: the frame handed over is the one a player shows, at its own time.

Ground truth is tests.media.truth: PyAV from front to back. A new decoder joins by one line in DECODERS.
"""

import functools
import random
from itertools import pairwise

import numpy as np
import pytest
from decord import VideoReader

from pipeline import decode, sampling
from pipeline.decode import video
from pipeline.decode.probe import probe
from pipeline.errors import MediaError
from pipeline.model import Shot
from tests.media import media, names
from tests.media.codecs import LONG
from tests.media.truth import keyframes_s, on_screen, true_frames

ANIMATED = ["animated.gif", "animated.webp"]
ENDINGS = ("mp4", "mov", "mkv", "webm", "avi", "mpg", "flv", "ts", "wmv", "rm")
MOVING = [n for n in names() if n.rpartition(".")[2] in ENDINGS]
VIDEOS = [n for n in MOVING if n not in LONG]
TURNED = {"rotated.mp4": 1, "rotated_180.mp4": 2, "rotated_270.mov": 3}  # quarters counter-clockwise to set it upright
STRETCHED = ("anamorphic.mp4", "carphone_pristine.mp4")

UNSUITED = {
    *(n for n in MOVING if n.endswith(".ts")),  # it begins a group of pictures too late
    *(n for n in MOVING if "hevc" in n),  # it stops where several pictures come at once
    *(n for n in MOVING if "interlaced" in n or "fields" in n),  # colours from the other field's lines
    *(n for n in MOVING if n.startswith("edit_") and n != "edit_delay.mp4"),  # it shows what the edits leave out
    *TURNED,  # black
    "edit_delay.mp4",
    "live.mkv",  # it wants a duration in the header
    "long_live.mkv",
}
DECODERS = {
    # name → what it gives frames of, and which of those it must refuse because it can't be trusted with them
    "pyav": (MOVING, set()),
    "decord": (MOVING, UNSUITED),
    "pillow": (ANIMATED, set()),
}
CASES = [(name, file) for name, (files, refused) in DECODERS.items() for file in files if file not in refused]
SHORT = [(name, file) for name, file in CASES if file not in LONG]
FILMS = [(name, file) for name, file in CASES if file in LONG]
REFUSALS = [(name, file) for name, (_, refused) in DECODERS.items() for file in sorted(refused)]


@functools.cache
def info(file):
    return probe(media(file), max_megapixels=200)


def frames(name, file, targets_s):
    return list(decode.load(name).frames(media(file), info(file), targets_s))


def most_different(name, file):
    """Mean difference from the truth: none, but where another program must round 10 bits to 8."""
    return 2.0 if name == "decord" and file == "ten_bit.mp4" else 0.0


def check(name, file, found, targets_s):
    truth = true_frames(file)
    expected = list(dict.fromkeys(on_screen(file, target_s) for target_s in targets_s))
    assert [frame.frame_index for frame in found] == expected
    for frame in found:
        true = truth[frame.frame_index]
        assert frame.timestamp_s == pytest.approx(true.timestamp_s, abs=1e-6)
        if file in STRETCHED:
            assert frame.image.shape[:2] == (info(file).height, info(file).width)
            continue  # to square pixels: tests/unit/decode
        seen = np.rot90(true.rgb, TURNED.get(file, 0))
        assert seen.shape == frame.image.shape
        difference = 0.0 if np.array_equal(seen, frame.image) else np.abs(frame.image.astype(int) - seen).mean()
        assert difference <= most_different(name, file), f"frame {frame.frame_index} of {file}"


@pytest.mark.parametrize("policy", sorted(sampling.POLICIES))
@pytest.mark.parametrize(("name", "file"), SHORT)
def test_every_frame_is_the_one_on_screen_at_its_own_time(name, file, policy):
    known = info(file)
    thirds = [Shot(known.duration_s * n / 3, known.duration_s * (n + 1) / 3) for n in range(3)]
    targets_s = sampling.choose(policy, known, thirds, 7, keyframes_s(file))
    check(name, file, frames(name, file, targets_s), targets_s)


@pytest.mark.parametrize(("name", "file"), SHORT)
def test_every_single_frame_can_be_asked_for(name, file):
    targets_s = [frame.timestamp_s for frame in true_frames(file)]
    check(name, file, frames(name, file, targets_s), targets_s)


@pytest.mark.parametrize(("name", "file"), SHORT)
def test_a_frame_is_on_screen_until_the_next_one(name, file):
    times_s = [frame.timestamp_s for frame in true_frames(file)]
    targets_s = [max(a, b - 3e-6) for a, b in pairwise(times_s)]
    check(name, file, frames(name, file, targets_s), targets_s)


def asked_of(file):
    """Sets of frame numbers: what lies about keyframes, one group from end to end, any few, the last one alone."""
    count, rng = len(true_frames(file)), random.Random(file)
    keys = [on_screen(file, key_s) for key_s in keyframes_s(file)]
    about = [key + step for key in keys for step in (-2, -1, 0, 1, 2)]
    middle = keys[len(keys) // 2]
    yield sorted({number for number in about if 0 <= number < count})
    yield list(range(middle, min(middle + 30, count)))
    yield [count - 1]
    for size in (1, 1, 1, 2, 4, 8, 16, 60):
        yield sorted(rng.sample(range(count), size))


@pytest.mark.parametrize("jump_bytes", [0, video.JUMP_BYTES], ids=["jumping", "reading on"])
@pytest.mark.parametrize(("name", "file"), FILMS)
def test_leaving_out_what_nobody_asked_for_changes_nothing(name, file, jump_bytes, monkeypatch):
    monkeypatch.setattr(video, "JUMP_BYTES", jump_bytes)
    video.close()  # opened anew by that rule
    for numbers in asked_of(file):
        targets_s = [true_frames(file)[number].timestamp_s for number in numbers]
        check(name, file, frames(name, file, targets_s), targets_s)


@pytest.mark.parametrize(("name", "file"), SHORT)
def test_the_last_moments_and_what_lies_beyond(name, file):
    truth = true_frames(file)
    beyond_s = [truth[-1].timestamp_s, info(file).duration_s, info(file).duration_s + 1000]
    assert [frame.frame_index for frame in frames(name, file, beyond_s)] == [len(truth) - 1]


@pytest.mark.parametrize("file", [*VIDEOS, *ANIMATED])
def test_the_duration_reaches_to_the_end_of_the_last_frame(file):
    known, truth = info(file), true_frames(file)
    mean_s = (truth[-1].timestamp_s - truth[0].timestamp_s) / max(1, len(truth) - 1)
    assert truth[-1].timestamp_s < known.duration_s <= truth[-1].timestamp_s + max(2 * mean_s, 0.2)


@pytest.mark.parametrize(("name", "file"), REFUSALS)
def test_what_a_decoder_gets_wrong_it_refuses(name, file):
    with pytest.raises(MediaError) as refused:
        frames(name, file, [1.5])
    assert refused.value.code == "decoder_unsuited"
    assert str(media(file).parent) not in str(refused.value)


@pytest.mark.parametrize("file", MOVING)
def test_auto_asks_first_a_decoder_that_is_exact_on_the_file(file):
    first = decode.order("auto", info(file))[0]
    assert (first, file) in CASES


def test_no_decoder_is_left_out():
    assert {*DECODERS} == {*decode.DECODERS, decode.IMAGES}


@pytest.mark.parametrize(
    ("file", "jumps"),
    [
        ("long.mp4", True),
        ("long_pyramid.mp4", True),
        ("long_open_gop.mp4", False),
        ("long_refresh.mp4", False),
        ("long.avi", False),
        ("long.mpg", False),
    ],
)
def test_decord_jumps_only_where_that_was_found_exact(file, jumps, monkeypatch):
    jumped, jump = [], VideoReader.seek_accurate
    monkeypatch.setattr(VideoReader, "seek_accurate", lambda reader, to: jumped.append(to) or jump(reader, to))
    check("decord", file, frames("decord", file, [4.2, 7.9]), [4.2, 7.9])
    assert bool(jumped) == jumps


CUT_OR_REAL = (*(n for n in MOVING if n.startswith("edit_")), "overcount.avi", "bikes.mp4")


@pytest.mark.parametrize("file", [n for n in VIDEOS if n not in (*CUT_OR_REAL, *STRETCHED, "bigbuckbunny.mp4")])
def test_the_pictures_say_their_own_number(file):
    """The truth's own proof: every made picture carries its number as eight blocks."""
    assert [_number(frame.rgb) for frame in true_frames(file)] == list(range(len(true_frames(file))))


def _number(rgb):
    side = rgb.shape[1] // 8
    return sum(int(rgb[8, bit * side + side // 2].mean() > 128) << bit for bit in range(8))
