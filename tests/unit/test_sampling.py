"""Policies are pure functions: a table of inputs and outputs says what they do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.model import MediaInfo, Shot
from pipeline.sampling import POLICIES, check_policy, choose


def video(duration_s: float) -> MediaInfo:
    return MediaInfo("video", "mp4", "h264", 640, 360, duration_s)


@pytest.mark.parametrize(
    ("duration_s", "max_frames", "expected"),
    [
        (10.0, 4, [1.25, 3.75, 6.25, 8.75]),
        (3.0, 60, [0.5, 1.5, 2.5]),
        (0.2, 60, [0.1]),
        (0.0, 60, [0.0]),
        (2.4, 60, [0.6, 1.7999999999999998]),
        (120.0, None, [i + 0.5 for i in range(120)]),
    ],
)
def test_uniform_is_one_a_second_evenly_spread(duration_s, max_frames, expected):
    assert choose("uniform", video(duration_s), (), max_frames) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ends", "max_frames", "expected"),
    [
        ([2, 3, 9], 60, [1, 2.5, 6]),
        ([2, 3, 9], 2, [2.5, 6]),
        ([2, 3, 9], 1, [6]),
        ([2, 3, 9], None, [1, 2.5, 6]),
        ([1, 2, 3, 4, 100], 2, [3.5, 52]),
        ([], 60, []),
    ],
)
def test_shots_takes_one_frame_a_shot_thinned_in_time(ends, max_frames, expected):
    starts = [0, *ends[:-1]]
    shots = [Shot(start, end) for start, end in zip(starts, ends, strict=True)] if ends else []
    assert choose("shots", video(ends[-1] if ends else 5.0), shots, max_frames) == pytest.approx(expected)


@given(
    st.lists(st.floats(0.04, 600), min_size=1, max_size=200),
    st.integers(1, 80),
    st.sampled_from(sorted(POLICIES)),
)
def test_every_policy_keeps_the_budget_and_the_order(lengths, max_frames, policy):
    shots, start = [], 0.0
    for length in lengths:
        shots.append(Shot(start, start + length))
        start += length
    chosen = choose(policy, video(start), shots, max_frames)
    assert 1 <= len(chosen) <= max_frames
    assert chosen == sorted(set(chosen))
    assert all(0 <= moment <= start for moment in chosen)
    if policy == "shots":
        assert len(chosen) == min(max_frames, len(shots))


def test_an_image_has_one_moment():
    image = MediaInfo("image", "jpeg", "jpeg", 10, 10)
    assert {policy: choose(policy, image, (), 60) for policy in POLICIES} == {policy: [0.0] for policy in POLICIES}


def test_an_unknown_policy_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown sampling policy 'unifrom': known are shots, uniform .*did you mean"):
        check_policy("unifrom")
