"""The target's frame is kept unless it shows nothing or nothing new, and a neighbour clearly does better."""

import io

import av
import numpy as np
import pytest

from pipeline.model import Frame
from pipeline.pick import best, is_repeat, quality
from tests.media import media
from tests.media.truth import true_frames

HEIGHT, WIDTH = 360, 640

FILMS = ["bikes.mp4", "carphone_pristine.mp4"]


def flat(*rgb):
    return np.full((HEIGHT, WIDTH, 3), rgb, np.uint8)


def scene(seed=0):
    """Patches of colour with sharp edges."""
    patches = np.random.default_rng(seed).integers(20, 236, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    return patches.repeat(20, 0).repeat(20, 1)


def blurred(rgb, width=25):
    """The mean over a square of `width` pixels."""
    import cv2

    return cv2.blur(rgb, (width, width))


def faded(rgb, share, to=0):
    """What is left of a picture that goes to black, or to white."""
    return np.round(to + (rgb.astype(float) - to) * share).astype(np.uint8)


def noisy(rgb, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def lettered():
    """One small white line on black, as credits end."""
    import cv2

    card = np.zeros((1080, 1920, 3), np.uint8)
    return cv2.putText(card, "directed by someone", (800, 540), cv2.FONT_HERSHEY_SIMPLEX, 1, (200, 200, 200), 2)


def frozen(rgb, count):
    """A still picture with camera noise, as an encoder's `count` frames of it are decoded again."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "23", "preset": "veryfast"})
        stream.height, stream.width = rgb.shape[:2]
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(noisy(rgb, 2, number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def taken(*pictures, previous=None):
    """Position of the picture that is taken."""
    frames = [Frame("m", rgb, float(second)) for second, rgb in enumerate(pictures)]
    return frames.index(best(frames, None if previous is None else Frame("m", previous)))


BLACK, WHITE, GREY, SCENE, OTHER = flat(0, 0, 0), flat(255, 255, 255), flat(90, 90, 90), scene(), scene(1)

EMPTY = {
    "black": BLACK,
    "black as video has it": flat(16, 16, 16),
    "black with grain": noisy(BLACK, 8),
    "white": WHITE,
    "one colour": flat(200, 30, 60),
    "going to black": faded(SCENE, 0.05),
    "going to white": faded(SCENE, 0.05, 255),
}


@pytest.mark.parametrize("picture", EMPTY.values(), ids=EMPTY)
def test_a_frame_that_shows_nothing_gives_way(picture):
    assert quality(picture).shows_nothing
    assert taken(picture, SCENE) == 1


FULL = {
    "a picture": SCENE,
    "a blurred one": blurred(SCENE, 61),
    "letters on black": lettered(),
    "half faded": faded(SCENE, 0.5),
    "on its way to white": faded(SCENE, 0.5, 255),
    "all in grey": np.repeat(SCENE.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8),
}


@pytest.mark.parametrize("picture", FULL.values(), ids=FULL)
def test_a_frame_that_shows_something_is_kept(picture):
    assert not quality(picture).shows_nothing
    assert taken(picture, OTHER, BLACK) == 0


@pytest.mark.parametrize("file", FILMS)
def test_films_show_something_until_they_are_faded_to_a_twentieth(file):
    for frame in true_frames(file)[::10]:
        assert not quality(frame.rgb).shows_nothing
        assert quality(faded(frame.rgb, 0.05)).shows_nothing
        assert quality(faded(frame.rgb, 0.05, 255)).shows_nothing


@pytest.mark.parametrize(
    "file", ["china.jpg", "flower.jpg", "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
)
def test_photographs_show_something(file):
    from PIL import Image

    assert not quality(np.asarray(Image.open(media(file)).convert("RGB"))).shows_nothing


def test_the_sharpest_neighbour_is_taken():
    assert taken(BLACK, blurred(SCENE), SCENE, blurred(OTHER)) == 2
    assert taken(BLACK, SCENE, SCENE) == 1


def test_sharper_alone_is_no_reason_to_leave_the_target():
    assert quality(blurred(SCENE)).sharpness < quality(SCENE).sharpness / 10
    assert taken(blurred(SCENE), SCENE) == 0


def test_nothing_better_leaves_the_target():
    assert taken(BLACK) == 0
    assert taken(BLACK, WHITE, GREY) == 0
    assert taken(SCENE, previous=SCENE) == 0
    assert taken(SCENE, BLACK, SCENE, previous=SCENE) == 0


def test_a_little_better_is_not_enough():
    dim, hardly_less_dim, clearly_less_dim = (faded(SCENE, share) for share in (0.09, 0.12, 0.3))
    assert quality(dim).shows_nothing
    assert taken(dim, hardly_less_dim) == 0
    assert taken(dim, hardly_less_dim, clearly_less_dim) == 2


def test_a_repeat_of_the_frame_taken_before_gives_way():
    assert taken(SCENE, OTHER, previous=SCENE) == 1
    assert taken(SCENE, blurred(OTHER), previous=SCENE) == 1  # a new picture, though less sharp
    assert taken(SCENE, OTHER, previous=BLACK) == 0


def test_a_neighbour_that_repeats_it_is_not_better_than_black():
    assert taken(BLACK, SCENE, OTHER, previous=SCENE) == 2
    assert taken(BLACK, SCENE, previous=SCENE) == 0


def test_a_frozen_video_repeats_itself_through_noise_and_compression():
    pictures = frozen(true_frames("bikes.mp4")[100].rgb, 26)
    assert not np.array_equal(pictures[0], pictures[25])
    assert all(is_repeat(picture, pictures[0]) for picture in pictures)


@pytest.mark.parametrize("file", FILMS)
def test_a_film_does_not_repeat_itself_half_a_second_later(file):
    rgb = [frame.rgb for frame in true_frames(file)]
    assert not any(is_repeat(one, other) for one, other in zip(rgb, rgb[12:], strict=False))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2000), (2000, 1), (2, 3), (64, 64)])
def test_pictures_of_any_shape_are_judged(height, width):
    assert quality(np.zeros((height, width, 3), np.uint8)).shows_nothing
    assert is_repeat(np.zeros((height, width, 3), np.uint8), BLACK)
    assert not is_repeat(np.zeros((height, width, 3), np.uint8), SCENE)


def test_a_picture_that_lies_turned_in_memory_is_judged_as_its_copy():
    turned = np.rot90(SCENE)
    assert not turned.flags.c_contiguous
    assert quality(turned) == quality(turned.copy())


def test_size_hardly_changes_what_is_said():
    small = quality(SCENE)
    large = quality(SCENE.repeat(4, 0).repeat(4, 1))
    for name in ("luma", "contrast", "sharpness"):
        assert getattr(large, name) == pytest.approx(getattr(small, name), rel=0.05)


def test_no_frame_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="no frame to choose from: give the target's first"):
        best([])
