"""Shots of real films as an eye counts them; together they cover the whole film."""

import psutil
import pytest

from pipeline.decode.probe import probe
from pipeline.decode.shot_pass import shot_pass
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError, UsageError
from pipeline.model import MediaInfo
from pipeline.shots import DETECTORS
from tests.media import CUTS, media
from tests.media.truth import true_frames
from tests.media.videos import encode

LEAST_SCORE = {"adaptive": 3.0, "transnetv2": 0.5}

COVERED = {
    "adaptive": ("cfr.mp4", "audio_first.mp4", "single.mp4", "animated.gif", "vfr.mp4", "rotated.mp4", "open_gop.mp4"),
    "transnetv2": ("single.mp4", "animated.gif", "vfr.mp4"),  # the others are decoded by the same lines
}


def found(path, detector="adaptive"):
    info = probe(path, max_megapixels=200)
    return info, list(shot_pass(path, info, detector))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", CUTS)
def test_cuts_are_where_an_eye_counts_them(name, detector):
    info, shots = found(media(name), detector)
    truth = [true_frames(name)[number].timestamp_s for number in (0, *CUTS[name])]
    assert len(shots) == len(truth)
    assert [shot.start_s for shot in shots] == pytest.approx(truth, abs=2 / info.frame_rate)
    assert shots[0].score is None
    assert all(shot.score >= LEAST_SCORE[detector] for shot in shots[1:])


def test_adaptive_is_right_to_the_frame():
    _, shots = found(media("bikes.mp4"))
    truth = [true_frames("bikes.mp4")[number].timestamp_s for number in (0, *CUTS["bikes.mp4"])]
    assert [shot.start_s for shot in shots] == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize(
    ("detector", "name"), [(detector, name) for detector in DETECTORS for name in COVERED[detector]]
)
def test_shots_cover_the_film_without_a_gap(name, detector):
    info, shots = found(media(name), detector)
    assert [shot.end_s for shot in shots[:-1]] == [shot.start_s for shot in shots[1:]]
    assert shots[0].start_s == pytest.approx(true_frames(name)[0].timestamp_s, abs=1e-6)
    assert shots[-1].end_s == pytest.approx(info.duration_s)


def test_scores_are_the_same_every_time():
    assert found(media("bikes.mp4")) == found(media("bikes.mp4"))


def test_the_child_process_finds_the_same():
    with DecodeChild(deadline_s=60, memory_mb=1500, max_megapixels=200) as child:
        info = child.probe(media("bikes.mp4"))
        assert list(child.shots(media("bikes.mp4"), info)) == found(media("bikes.mp4"))[1]


def test_a_video_without_frames_says_so_and_has_no_shots():
    with pytest.raises(MediaError) as error:
        list(shot_pass(media("no_frames.avi"), MediaInfo("video", "avi", "mjpeg", 64, 64)))
    assert error.value.code == "no_frames"


def test_a_film_that_ends_early_has_the_shots_of_what_is_there():
    info, shots = found(media("truncated.ts"))
    assert shots[0].start_s <= shots[-1].end_s == pytest.approx(info.duration_s)


def test_a_broadcast_may_change_its_size(tmp_path):
    """Two recordings of different sizes one after the other in one transport stream."""
    parts = [tmp_path / "0.ts", tmp_path / "1.ts"]
    encode(parts[0], size=(320, 240), format="mpegts")
    encode(parts[1], size=(160, 120), format="mpegts", first_s=10)
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    info, shots = found(both)
    assert shots[-1].end_s == pytest.approx(info.duration_s)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_pass_that_is_given_up_closes_its_file(detector):
    def opened():
        return sum(file.path == str(path.resolve()) for file in psutil.Process().open_files())

    path = media("bikes.mp4")
    info = probe(path, max_megapixels=200)
    before = opened()
    shots = shot_pass(path, info, detector)
    assert next(shots).end_s > 0
    assert opened() > before
    shots.close()
    assert opened() == before


def test_an_unknown_detector_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="unknown shot detector 'psychic'"):
        shot_pass(tmp_path / "missing.mp4", MediaInfo("video", "mp4", "h264", 64, 64), "psychic")
