"""SDR stays what swscale makes of it; HDR looks on an SDR screen as it was meant."""

import av
import numpy as np
import pytest

from pipeline.decode import colour
from pipeline.decode.probe import probe
from tests.media import media
from tests.media.tracks import PATCH, hdr_film, hdr_frame

GREYS = [0, 0.1, 1, 5, 10, 26, 50, 90, 150, 203, 300, 400, 600, 1000]
BT709 = 1  # ITU-T H.273: transfer, primaries and matrix alike


def grey(*nits):
    return [(n, n, n) for n in nits]


def squares(picture):
    """One RGB a square, by its middle."""
    return picture[PATCH // 2, PATCH // 2 :: PATCH].astype(int)


def naive(frame):
    return squares(frame.to_ndarray(format="rgb24"))


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("name", ["cfr.mp4", "bikes.mp4", "vp9.webm"])
def test_sdr_is_bit_by_bit_what_it_was(name):
    frame = first_frame(media(name))
    assert colour.hdr(frame) is None
    assert np.array_equal(colour.rgb(frame), frame.to_ndarray(format="rgb24"))


def test_wide_colours_alone_are_no_hdr():
    frame = hdr_frame(grey(*GREYS), "sdr")
    assert colour.hdr(frame) is None
    assert np.array_equal(colour.rgb(frame), frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_a_film_in_hdr_says_so_and_its_frames_come_as_sdr(transfer, tmp_path):
    path = hdr_film(tmp_path / "hdr.mp4", grey(203, 26, 1000), transfer)
    assert probe(path, max_megapixels=200).hdr == transfer
    picture = colour.rgb(first_frame(path))
    assert (picture.shape, picture.dtype) == ((PATCH, 3 * PATCH, 3), np.uint8)
    white, card, peak = squares(picture)[:, 1]
    assert white == pytest.approx(230, abs=3)  # reference white: bright, with room for what is brighter
    assert card == pytest.approx(108, abs=3)  # a grey card of 18 %: 255 · (26 / 203) ** (1 / 2.4)
    assert peak >= 254


def test_shadows_are_those_of_swscales_colour_management_and_highlights_that_it_cuts_stay_apart():
    frame = hdr_frame(grey(*GREYS), "pq")
    managed = frame.reformat(format="rgb24", dst_color_trc=BT709, dst_color_primaries=BT709)  # takes seconds
    theirs, ours = squares(managed.to_ndarray())[:, 1], squares(colour.rgb(frame))[:, 1]
    dark = np.array(GREYS) <= 90
    assert ours[dark] == pytest.approx(theirs[dark], abs=2)
    bright = np.isin(GREYS, [203, 300, 600])
    assert np.ptp(theirs[bright]) <= 2
    assert (np.diff(ours[bright]) >= 5).all()


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_shadows_keep_their_light_as_a_screen_of_gamma_24_shows_it(transfer):
    dark = [nits for nits in GREYS if nits <= 90]
    found = squares(colour.rgb(hdr_frame(grey(*dark), transfer)))
    assert found[:, 1] == pytest.approx(255 * (np.array(dark) / 203) ** (1 / 2.4), abs=2)


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_grey_stays_grey_and_in_order_up_to_the_peak(transfer):
    found = squares(colour.rgb(hdr_frame(grey(*GREYS), transfer)))
    assert np.ptp(found, axis=1).max() <= 1
    assert (np.diff(found[:, 1]) > 0).all()
    assert (found[0, 1], found[-1, 1]) == (0, 255)


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_colours_and_contrast_are_not_washed_out(transfer):
    frame = hdr_frame([(120, 60, 40), (40, 90, 40), (30, 40, 120)], transfer)
    assert (np.ptp(squares(colour.rgb(frame)), axis=1) > 1.3 * np.ptp(naive(frame), axis=1)).all()
    ramp = hdr_frame(grey(5, 203), transfer)
    assert np.ptp(squares(colour.rgb(ramp))[:, 1]) > 1.2 * np.ptp(naive(ramp)[:, 1])


def test_a_colour_of_bt709_comes_back_as_itself():
    """Red, green and blue of BT.709 at 80 cd/m², stated in BT.2020 (ITU-R BT.2087, M2)."""
    light = 80 * np.array([[0.6274, 0.0691, 0.0164], [0.3293, 0.9195, 0.0880], [0.0433, 0.0114, 0.8956]])
    found = squares(colour.rgb(hdr_frame(light, "pq")))
    full = 255 * (80 / 203) ** (1 / 2.4)
    assert found.diagonal() == pytest.approx(full, abs=4)
    assert found[~np.eye(3, dtype=bool)].max() <= 30  # chroma is rounded to ten bits, and gamma makes much of little


def test_primaries_of_bt709_are_left_alone():
    light = [(80, 20, 20)]
    wide, narrow = (squares(colour.rgb(hdr_frame(light, "pq", primaries=p)))[0] for p in (9, BT709))
    assert np.ptp(wide) > np.ptp(narrow)
    assert narrow == pytest.approx([255 * (n / 203) ** (1 / 2.4) for n in light[0]], abs=3)


def test_a_frame_that_names_no_matrix_is_read_as_bt2020():
    said, unsaid = (hdr_frame([(120, 60, 40)], "pq") for _ in range(2))
    unsaid.colorspace = 2
    assert np.array_equal(colour.rgb(said), colour.rgb(unsaid))


def test_a_picture_of_any_height_is_whole():
    """Rows are turned some at a time."""
    frame = hdr_frame(grey(203), "pq").reformat(width=8, height=150)
    found = colour.rgb(frame)
    assert found.shape == (150, 8, 3)
    assert np.ptp(found) <= 1
