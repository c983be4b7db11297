"""Shots of real films as an eye counts them; together they cover the whole film."""

import numpy as np
import pytest

from pipeline.decode.worker import DecodeChild
from pipeline.shots import find_shots
from tests.media import CUTS, media
from tests.media.truth import true_frames


@pytest.fixture(scope="module")
def child():
    with DecodeChild(deadline_s=60, memory_mb=1500, max_megapixels=200) as opened:
        yield opened


@pytest.mark.parametrize("name", CUTS)
def test_cuts_are_where_an_eye_counts_them(child, name):
    info = child.probe(media(name))
    shots = child.shots(media(name), info)
    truth = true_frames(name)
    assert [shot.start_s for shot in shots] == pytest.approx([truth[n].timestamp_s for n in (0, *CUTS[name])], abs=1e-6)
    assert shots[0].score is None
    assert all(shot.score >= 3 for shot in shots[1:])


@pytest.mark.parametrize("name", ["bikes.mp4", "cfr.mp4", "audio_first.mp4", "single.mp4", "animated.gif", "vfr.mp4"])
def test_shots_cover_the_film_without_a_gap(child, name):
    info = child.probe(media(name))
    shots = child.shots(media(name), info)
    assert [shot.end_s for shot in shots[:-1]] == [shot.start_s for shot in shots[1:]]
    assert shots[0].start_s == pytest.approx(true_frames(name)[0].timestamp_s, abs=1e-6)
    assert shots[-1].end_s == pytest.approx(info.duration_s)


def test_no_picture_no_shot():
    assert list(find_shots([], 10.0)) == []


def test_a_long_film_is_not_collected():
    """Shots come while the pictures do: the first is out long before the last picture."""
    seen = []

    def pictures():
        for n in range(1000):
            seen.append(n)
            yield n / 25, np.full((96, 160, 3), 255 * (n // 100 % 2), np.uint8)

    shots = find_shots(pictures(), 40.0)
    assert next(shots).end_s == 4.0
    assert len(seen) < 110
