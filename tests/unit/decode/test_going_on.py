"""A short film's decoder goes on where probing left it, and gives what one that begins anew gives."""

import numpy as np
import pytest

from pipeline.decode import video
from pipeline.decode.probe import probe
from pipeline.decode.pyav import PyavDecoder
from tests.media import media

FILMS = ("bikes.mp4", "cfr.mp4", "vfr.mp4", "hevc.mp4")


@pytest.fixture(autouse=True)
def nothing_open():
    video.close()
    yield
    video.close()


def frames(path, info, targets_s):
    return list(PyavDecoder().frames(path, info, targets_s))


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("place", ["first", "among those passed", "beyond"])
def test_the_frames_are_those_of_a_decoder_that_begins_anew(name, place):
    path = media(name)
    info = probe(path, max_megapixels=200)
    line, run = video.video(path).line, video.video(path).begun
    first = {"first": 0, "among those passed": 1, "beyond": len(line.pts) // 2}[place]
    targets_s = [line.seconds(pts) for pts in line.pts[first::7]]
    assert run.stands_before(line.keys[0], len(line.packets)), "probing has left it in the middle"
    went_on = frames(path, info, targets_s)
    video.close()
    anew = frames(path, info, targets_s)
    assert [frame.timestamp_s for frame in went_on] == pytest.approx(targets_s, abs=1e-6)
    for one, other in zip(went_on, anew, strict=True):
        assert one.timestamp_s == other.timestamp_s
        assert np.array_equal(one.image, other.image)


def test_it_goes_on_without_the_packets_it_has_had():
    path = media("bikes.mp4")
    info = probe(path, max_megapixels=200)
    film = video.video(path)
    run, line = film.begun, film.line
    asked_anew = []
    film.packets = lambda first=0, packets=film.packets: asked_anew.append(first) or packets(first)
    frames(path, info, [line.seconds(line.pts[20])])
    assert run.key == line.keys[0]
    assert asked_anew == []
