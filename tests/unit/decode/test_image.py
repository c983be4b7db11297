"""However a picture is stored, it comes out as it is meant to be seen."""

import numpy as np
import pytest
from PIL import Image

from pipeline import decode
from pipeline.decode.animation import animation
from pipeline.decode.probe import probe
from pipeline.errors import MediaError
from tests.media import media, names
from tests.media.handmade import gif
from tests.media.pictures import photo
from tests.media.truth import true_frames

GREY = ["grey16.png"]
STORED = [n for n in names() if n.startswith(("heic.", "exif_", "cmyk.", "palette.", "still.")) or n in GREY]


def look(name):
    info = probe(media(name), max_megapixels=200)
    (frame,) = decode.load("pillow").frames(media(name), info, [0.0])
    assert frame.image.shape == (info.height, info.width, 3)
    return info, frame.image.astype(int)


@pytest.mark.parametrize("name", STORED)
def test_the_same_photograph_comes_out_of_every_format(name):
    info, seen = look(name)
    expected = np.asarray(photo().convert("L").convert("RGB") if name in GREY else photo())
    assert info.kind == "image"
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < 8  # lossy formats and 64 colours; an upside-down picture has 35


def test_the_measure_tells_a_turned_picture_from_an_upright_one():
    assert np.abs(np.asarray(photo().rotate(180)).astype(int) - np.asarray(photo())).mean() > 30


def test_what_is_transparent_is_white():
    _, seen = look("alpha.png")
    assert (seen[:, :112] == 255).all()
    assert np.array_equal(seen[:, 112:], np.asarray(photo())[:, 112:])


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp"])
def test_a_moving_picture_is_a_video_of_its_real_length(name):
    info = probe(media(name), max_megapixels=200)
    assert (info.kind, info.duration_s) == ("video", pytest.approx(4.8))
    assert len(true_frames(name)) == 48


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(tmp_path):
    Image.new("RGB", (2000, 2000)).save(tmp_path / "big.png")
    with pytest.raises(Exception, match="2000×2000 of 3 megapixels"):
        probe(tmp_path / "big.png", max_megapixels=3)


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp"])
def test_durations_are_known_without_decoding(name):
    found = animation(media(name))
    assert found.ms == [50, 100, 150] * 16
    assert (found.width, found.height, found.cut) == (*Image.open(media(name)).size, False)


@pytest.mark.parametrize("name", ["still.webp", "still.bmp", "astronaut.png"])
def test_what_does_not_move_has_no_durations(name):
    assert animation(media(name)) is None


def test_a_moving_picture_that_ends_early_gives_its_whole_pictures_and_says_so(tmp_path):
    data = media("animated.gif").read_bytes()
    cut = tmp_path / "cut.gif"
    cut.write_bytes(data[: len(data) // 2])
    info = probe(cut, max_megapixels=200)
    count = len(animation(cut).ms)
    assert 10 < count < 40
    assert (info.fault, info.fault_detail) == ("truncated", f"{count} whole pictures")
    times_s = [frame.timestamp_s for frame in true_frames("animated.gif")[:count]]
    frames = list(decode.load("pillow").frames(cut, info, times_s))
    assert [frame.timestamp_s for frame in frames] == times_s


def test_a_gif_without_its_last_byte_is_whole(tmp_path):
    """Many writers leave out the trailer."""
    (tmp_path / "no_trailer.gif").write_bytes(media("animated.gif").read_bytes()[:-1])
    info = probe(tmp_path / "no_trailer.gif", max_megapixels=200)
    assert (info.fault, info.duration_s) == (None, pytest.approx(4.8))


def test_an_animation_may_have_a_hundred_times_the_pixels_of_a_still(tmp_path):
    path = tmp_path / "long.gif"
    path.write_bytes(gif([(0, 0, 100, 100)] * 100, screen=(100, 100)))
    assert probe(path, max_megapixels=0.01).duration_s == pytest.approx(2.0)
    path.write_bytes(gif([(0, 0, 100, 100)] * 101, screen=(100, 100)))
    with pytest.raises(MediaError, match="101 pictures of 100×100 of 1 megapixels"):
        probe(path, max_megapixels=0.01)


def test_an_icon_is_as_large_as_the_picture_within_it(tmp_path):
    path = tmp_path / "small.ico"
    photo().save(path, sizes=[(64, 64)])
    assert probe(path, max_megapixels=1).kind == "image"
    with pytest.raises(MediaError, match="more pixels than the limit"):
        probe(path, max_megapixels=0.001)


def test_every_moment_of_a_long_animation_is_found(tmp_path):
    path = tmp_path / "long.gif"
    path.write_bytes(gif([(0, 0, 1, 1)] * 5000, screen=(16, 16)))
    info = probe(path, max_megapixels=1)
    frames = list(decode.load("pillow").frames(path, info, [n / 50 for n in range(5000)]))
    assert [frame.frame_index for frame in frames] == list(range(5000))
