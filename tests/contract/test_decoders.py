"""One suite over every decoder, policy and file: the frame handed over is the one a player shows, at its own time.

Ground truth is tests.media.truth. A new decoder joins by one line in DECODERS.
"""

import numpy as np
import pytest

from pipeline import decode, sampling
from pipeline.decode.probe import probe
from pipeline.errors import MediaError
from pipeline.model import Shot
from tests.media import media, names
from tests.media.truth import on_screen, true_frames
from tests.media.videos import LONG

ANIMATED = ["animated.gif", "animated.webp"]
ENDINGS = ("mp4", "mov", "mkv", "webm", "avi", "mpg", "flv", "ts")
VIDEOS = [n for n in names() if n.rpartition(".")[2] in ENDINGS and n not in LONG]

DECODERS = {
    # name → what it gives frames of, and which of those it must refuse because it can't be trusted with them
    "pyav": (VIDEOS, set()),
    "decord": (VIDEOS, {"at_36000.ts", "live.mkv", "rotated.mp4"}),
    "pillow": (ANIMATED, set()),
}
CASES = [(name, file) for name, (files, refused) in DECODERS.items() for file in files if file not in refused]
REFUSALS = [(name, file) for name, (_, refused) in DECODERS.items() for file in sorted(refused)]

SAME = {"pyav": 0.0, "decord": 1.5, "pillow": 0.0}
"""Mean difference of values from the truth: decord rounds YUV to RGB otherwise than PyAV does."""


def info(file):
    return probe(media(file), max_megapixels=200)


def frames(name, file, targets_s):
    return list(decode.load(name).frames(media(file), info(file), targets_s))


def upright(file, rgb):
    """The truth as it is to be seen: the one rotated file's matrix says a quarter counter-clockwise."""
    return np.rot90(rgb) if file == "rotated.mp4" else rgb


def check(name, file, found, targets_s):
    truth = true_frames(file)
    expected = list(dict.fromkeys(on_screen(file, target_s) for target_s in targets_s))
    assert [frame.frame_index for frame in found] == expected
    for frame in found:
        true = truth[frame.frame_index]
        assert frame.timestamp_s == pytest.approx(true.timestamp_s, abs=1e-6)
        if file in ("anamorphic.mp4", "carphone_pristine.mp4"):
            assert frame.image.shape[:2] == (info(file).height, info(file).width)
            continue  # stretched to square pixels: below
        difference = np.abs(frame.image.astype(int) - upright(file, true.rgb).astype(int)).mean()
        assert difference <= SAME[name], f"frame {frame.frame_index} of {file}"


@pytest.mark.parametrize("policy", sorted(sampling.POLICIES))
@pytest.mark.parametrize(("name", "file"), CASES)
def test_every_frame_is_the_one_on_screen_at_its_own_time(name, file, policy):
    known = info(file)
    thirds = [Shot(known.duration_s * n / 3, known.duration_s * (n + 1) / 3) for n in range(3)]
    targets_s = sampling.choose(policy, known, thirds, 7)
    check(name, file, frames(name, file, targets_s), targets_s)


@pytest.mark.parametrize(("name", "file"), CASES)
def test_every_single_frame_can_be_asked_for(name, file):
    targets_s = [frame.timestamp_s for frame in true_frames(file)]
    check(name, file, frames(name, file, targets_s), targets_s)


@pytest.mark.parametrize("file", LONG)
def test_jumping_over_what_nobody_asked_for_changes_nothing(file):
    targets_s = [0.9, 1.0, 13.98, 14.02, 14.5, 22.0, 29.4]
    check("pyav", file, frames("pyav", file, targets_s), targets_s)


@pytest.mark.parametrize(("name", "file"), CASES)
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


def test_no_decoder_is_left_out():
    assert {*DECODERS} == {*decode.DECODERS, decode.IMAGES}


def test_the_pictures_say_their_own_number():
    """The truth's own proof: every made picture carries its number as eight blocks."""
    for file in ("cfr.mp4", "open_gop.mp4", "mpeg2.mpg", "at_36000.ts", "vfr.mkv"):
        numbers = [_number(frame.image) for frame in frames("pyav", file, [f.timestamp_s for f in true_frames(file)])]
        assert numbers == list(range(48)), file


def _number(rgb):
    side = rgb.shape[1] // 8
    return sum(int(rgb[8, bit * side + side // 2].mean() > 128) << bit for bit in range(8))
