"""A frame that shows nothing, or nothing new, is left for a neighbour that does; its row says which frame it was."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.integration.doors import ask, tag
from tests.media.videos import HEIGHT, RATE, WIDTH, X264, picture

STILL_UNTIL_S, BLACK_S, END_S = 1.6, (2.4, 2.6), 4


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A still picture, then moving ones with a moment of black among them."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE, options={**X264, "crf": "10"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for tick in range(END_S * RATE):
            second = tick / RATE
            rgb = picture(0 if second < STILL_UNTIL_S else tick)
            if BLACK_S[0] <= second < BLACK_S[1]:
                rgb = np.zeros_like(rgb)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def moments(lake):
    return [moment for (moment,) in ask(lake, "SELECT round(timestamp_s, 3) FROM timestamps ORDER BY 1")]


def test_black_and_frozen_frames_are_left_for_better_ones(film, tmp_path):
    tag(tmp_path / "lake", film, better_frames="on")
    assert moments(tmp_path / "lake") == [0.5, 1.75, 2.75, 3.5]


def test_uniform_takes_what_is_on_screen_unless_told_otherwise(film, tmp_path):
    tag(tmp_path / "lake", film)
    assert moments(tmp_path / "lake") == [0.5, 1.5, 2.5, 3.5]


def test_what_decides_which_frames_are_looked_at_is_part_of_the_recipe(film, tmp_path):
    tag(tmp_path / "lake", film)
    assert tag(tmp_path / "lake", film, better_frames="on", retag=True)["ok"] == 1
    assert tag(tmp_path / "lake", film, better_frames="on", retag=True)["ok"] == 0
