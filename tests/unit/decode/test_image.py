"""However a picture is stored, it comes out as it is meant to be seen."""

import numpy as np
import pytest
from PIL import Image

from pipeline import decode
from pipeline.decode.probe import probe
from tests.media import media, names
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
