"""A thumbnail is small, whole and true to the frame."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.thumbnails import thumbnail
from tests.media import media


def opened(picture):
    return Image.open(io.BytesIO(picture.image))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (480, 640, (320, 240)),
        (1280, 720, (180, 320)),  # upright: the longer side counts
        (100, 100, (100, 100)),  # never enlarged
        (320, 320, (320, 320)),
        (1, 5000, (320, 1)),
        (1, 1, (1, 1)),
    ],
)
def test_the_longer_side_is_what_was_asked_for_and_nothing_is_enlarged(height, width, expected):
    made = thumbnail(np.zeros((height, width, 3), np.uint8), width_px=320)
    assert (made.width, made.height) == opened(made).size == expected


def test_it_is_webp_of_a_few_kilobytes_and_looks_like_the_picture():
    photograph = Image.open(media("chelsea.png")).convert("RGB")
    made = thumbnail(np.asarray(photograph))
    assert opened(made).format == "WEBP"
    assert len(made.image) < 10_000
    small = np.asarray(photograph.resize((made.width, made.height)), float)
    assert np.abs(np.asarray(opened(made).convert("RGB"), float) - small).mean() < 6  # of 255


def test_colours_keep_their_order():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    r, g, b = np.asarray(opened(thumbnail(red)).convert("RGB")).reshape(-1, 3).mean(axis=0)
    assert r > 240 > 20 > max(g, b)


def test_a_view_of_a_frame_is_taken_as_it_looks():
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    for view in (frame[::-1], frame[:, ::2], frame.transpose(1, 0, 2)):
        assert thumbnail(view) == thumbnail(np.ascontiguousarray(view))
