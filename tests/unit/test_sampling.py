"""Policies are pure functions: a table of inputs and outputs says what they do."""

import re
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.model import MediaInfo, Shot
from pipeline.sampling import (
    POLICIES,
    alternatives,
    candidates,
    canonical,
    check_policy,
    choose,
    names,
    needs_keyframes,
    needs_shots,
)

README = Path(__file__).parents[2] / "README.md"

THOUSAND = [float(n) for n in range(1, 1001)]
"""Ends of a thousand shots of a second."""


def video(duration_s: float) -> MediaInfo:
    return MediaInfo("video", "mp4", "h264", 640, 360, duration_s)


def shots(ends: list[float]) -> list[Shot]:
    return [Shot(start, end) for start, end in pairwise([0.0, *ends])]


# ── what each policy chooses ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("duration_s", "max_frames", "expected"),
    [
        (10.0, 4, [1.25, 3.75, 6.25, 8.75]),
        (3.0, 60, [0.5, 1.5, 2.5]),
        (9.0, 1, [4.5]),
        (0.2, 60, [0.1]),
        (0.04, 60, [0.02]),  # one frame
        (0.0, 60, [0.0]),
        (2.4, 60, [0.6, 1.8]),
        (120.0, None, [i + 0.5 for i in range(120)]),
    ],
)
def test_uniform_is_one_a_second_evenly_spread(duration_s, max_frames, expected):
    assert choose("uniform", video(duration_s), (), max_frames) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "duration_s", "max_frames", "expected"),
    [
        ("every:5s", 17.0, 60, [0, 5, 10, 15]),
        ("every:5s", 15.0, 60, [0, 5, 10]),  # 15 s is past the last frame
        ("every:5s", 15.001, 60, [0, 5, 10, 15]),
        ("every:5s", 4.0, 60, [0]),
        ("every:5s", 0.0, 60, [0]),
        ("every:5s", 50.0, 5, [0, 10, 20, 30, 40]),
        ("every:5s", 35.0, 3, [0, 10, 20]),
        ("every:5s", 50.0, 1, [0]),
        ("every:0.5s", 1.2, None, [0, 0.5, 1]),
        ("every:100ms", 0.3, 60, [0, 0.1, 0.2]),
        ("every:100ms", 0.7, 60, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ("every:33.3667ms", 0.1, 60, [0, 0.033367, 0.066734]),
        ("every:1.5m", 200.0, 60, [0, 90, 180]),
        ("every:1h", 7300.0, 60, [0, 3600, 7200]),
        ("every:1ms", 36_000.0, 3, [0, 12_000, 24_000]),
    ],
)
def test_every_begins_at_zero_and_keeps_its_step(name, duration_s, max_frames, expected):
    assert choose(name, video(duration_s), (), max_frames) == expected  # exact: decimal steps are kept in microseconds


@pytest.mark.parametrize(
    ("ends", "max_frames", "expected"),
    [
        ([2, 3, 9], 60, [1, 2.5, 6]),
        ([2, 3, 9], 2, [2.5, 6]),
        ([2, 3, 9], 1, [6]),
        ([2, 3, 9], None, [1, 2.5, 6]),
        ([1, 2, 3, 4, 100], 2, [3.5, 52]),
        ([0, 0, 4, 4], 60, [0, 2, 4]),  # shots of no length share a moment
        ([0], 60, [0]),
        (THOUSAND, 4, [124.5, 374.5, 624.5, 874.5]),
        (THOUSAND, None, [n - 0.5 for n in THOUSAND]),
        ([], 60, []),
    ],
)
def test_shots_takes_one_frame_a_shot_thinned_in_time(ends, max_frames, expected):
    assert choose("shots", video(ends[-1] if ends else 5.0), shots(ends), max_frames) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ends", "max_frames", "expected"),
    [
        ([2, 10], 5, [1, 3, 5, 7, 9]),
        ([2, 10], 3, [1, 4, 8]),
        ([2, 10], 2, [1, 6]),
        ([2, 3, 9], 2, [2.5, 6]),  # more shots than that: as shots
        ([2, 10], 1, [6]),
        ([2, 4], None, [0.5, 1.5, 2.5, 3.5]),
        ([0.4, 0.8, 1.2], 60, [0.2, 0.6, 1.0]),  # as many as shots, though a second asks for one
        ([0, 0, 4], 60, [0, 1, 3]),  # shots of no length share a moment
        ([0], 60, [0]),
        (THOUSAND, 4, [124.5, 374.5, 624.5, 874.5]),
        ([], 60, []),
    ],
)
def test_shots_and_uniform_gives_long_shots_more(ends, max_frames, expected):
    assert choose("shots+uniform", video(ends[-1] if ends else 5.0), shots(ends), max_frames) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("duration_s", "max_frames", "keyframes_s", "expected"),
    [
        (10.0, 4, [0, 4, 8], [0, 4, 8]),  # 8 is the nearest to two of them
        (10.0, 5, [0, 2, 4], [0, 2, 4]),  # 1 lies between 0 and 2: the earlier
        (10.0, 4, [0], [0]),
        (10.0, 4, [9.96], [9.96]),  # the last frame
        (10.0, 1, [0, 4.9, 5.2], [4.9]),
        (10.0, 2, [0, 2, 2.5, 7, 7.5, 9], [2.5, 7.5]),
        (10.0, 2, [], [2.5, 7.5]),  # none known: as uniform
        (0.0, 60, [0], [0]),
    ],
)
def test_keyframes_takes_the_nearest_of_each_uniform_moment_once(duration_s, max_frames, keyframes_s, expected):
    assert choose("keyframes", video(duration_s), (), max_frames, keyframes_s) == expected


def test_only_keyframes_looks_at_keyframes():
    indifferent = {name for name in names() if choose(name, video(9.0), shots([2, 9]), 4, [0.0, 8.0]) != [0.0, 8.0]}
    assert indifferent == {name for name in names() if not needs_keyframes(name)} == {*names()} - {"keyframes"}


def test_only_the_policies_of_shots_look_at_shots():
    one, many = shots([9.0]), shots([1.0, 1.5, 9.0])
    changed = {name for name in names() if choose(name, video(9.0), one, 4) != choose(name, video(9.0), many, 4)}
    assert changed == {name for name in names() if needs_shots(name)} == {"shots", "shots+uniform"}


# ── what holds for all ──────────────────────────────────────────────────────────────────────────────────────────────

LENGTHS = st.lists(st.one_of(st.just(0.0), st.floats(0.04, 600)), min_size=1, max_size=100)
POLICY = st.sampled_from([*names(), "every:40ms", "every:7m"])


@given(LENGTHS, st.one_of(st.none(), st.integers(1, 80)), POLICY, st.lists(st.floats(0, 1), max_size=40))
@example([0.0], 1, "shots+uniform", [0.0])
@example([0.0, 0.0, 0.04], 2, "shots", [])
def test_every_policy_keeps_the_budget_the_order_and_the_ends(lengths, max_frames, policy, keyframes):
    ends = list(accumulate(lengths))
    keyframes_s = sorted({part * ends[-1] for part in keyframes})
    if max_frames is None and policy == "every:40ms":
        policy = "every:7m"  # a million moments say no more than a few
    chosen = choose(policy, video(ends[-1]), shots(ends), max_frames, keyframes_s)
    assert 1 <= len(chosen) <= (max_frames or len(chosen))
    assert chosen == sorted(set(chosen))
    assert all(0 <= moment <= ends[-1] for moment in chosen)
    if needs_keyframes(policy) and keyframes_s:
        assert set(chosen) <= set(keyframes_s)
    if policy.startswith("every:"):
        assert chosen[0] == 0


@given(LENGTHS, st.integers(1, 200))
def test_every_shot_is_looked_at_where_the_budget_allows(lengths, max_frames):
    cut = shots(list(accumulate(lengths)))
    for policy in ("shots", "shots+uniform"):
        chosen = choose(policy, video(cut[-1].end_s), cut, max_frames)
        hit = [any(shot.start_s <= moment <= shot.end_s for moment in chosen) for shot in cut]
        if len(cut) <= max_frames:
            assert all(hit), policy
        else:
            assert len(chosen) == min(max_frames, len({shot.representative_s for shot in cut})), policy


@given(st.lists(st.floats(0.1, 600), min_size=2, max_size=30), st.integers(30, 90))
def test_a_further_moment_goes_where_they_lie_furthest_apart(lengths, max_frames):
    cut = shots(list(accumulate(lengths)))
    chosen = choose("shots+uniform", video(cut[-1].end_s), cut, max_frames)
    counts = [sum(shot.start_s <= moment < shot.end_s for moment in chosen) for shot in cut]
    assert sum(counts) == max(len(cut), min(max_frames, round(cut[-1].end_s)))
    widest = max(length / count for length, count in zip(lengths, counts, strict=True))
    for length, count in zip(lengths, counts, strict=True):
        assert count == 1 or length / (count - 1) >= widest * (1 - 1e-9)


def test_an_image_has_one_moment():
    image = MediaInfo("image", "jpeg", "jpeg", 10, 10)
    assert {policy: choose(policy, image, (), 60) for policy in POLICIES} == {policy: [0.0] for policy in POLICIES}


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_name_is_a_policy():
    assert names() == list(POLICIES)
    for name in (*names(), "every:250ms", "every:1.5h"):
        check_policy(name)


@pytest.mark.parametrize(("wrong", "meant"), [("unifrom", "uniform"), ("keyframe", "keyframes"), ("shot", "shots")])
def test_an_unknown_policy_lists_the_known_ones(wrong, meant):
    with pytest.raises(UsageError) as refused:
        check_policy(wrong)
    known = "every:5s, keyframes, shots, shots+uniform, uniform"
    assert str(refused.value) == f"unknown sampling policy '{wrong}': known are {known} — did you mean {meant}?"


@pytest.mark.parametrize(
    "wrong",
    [
        *("every", "every:", "every:s", "every:5", "every:0s", "every:0.9ms", "every:-5s", "every:5d", "every:5S"),
        *("every: 5s", "every:5s ", "every:5s\n", "every:,5s", "every:.5s", "every:1e3s", "every:٥s", "every:nans"),
        "every:" + "9" * 5000 + "h",
    ],
)
def test_an_every_without_a_step_says_how_it_is_written(wrong):
    for use in (check_policy, canonical, lambda name: choose(name, video(1.0), (), 1)):
        with pytest.raises(UsageError) as refused:
            use(wrong)
        assert str(refused.value).startswith(f"sampling policy '{wrong}' names no step: write every: with a number")
        assert str(refused.value).endswith("as in every:5s")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("every:5s", "every:5s"),
        ("every:5000ms", "every:5s"),
        ("every:1m", "every:60s"),
        ("every:0.5h", "every:1800s"),
        ("every:0250ms", "every:0.25s"),
        ("every:33.367ms", "every:0.033367s"),
        ("shots+uniform", "shots+uniform"),
    ],
)
def test_one_step_has_one_spelling(name, same):
    assert canonical(name) == canonical(same) == same
    assert choose(name, video(4000.0), shots([4000.0]), 50) == choose(same, video(4000.0), shots([4000.0]), 50)


# ── neighbours ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target_s", "shot", "expected"),
    [
        (5.0, Shot(0, 10), [5, 4.5, 5.5, 4, 6]),
        (4.0, Shot(0, 4.6), [4, 3.5, 4.3, 3]),
        (0.4, Shot(0, 0.8), [0.4, 0.2, 0.6]),
        (0.0, Shot(0, 10), [0, 0.5, 1]),
        (3.0, Shot(3, 3), [3]),
        (9.0, None, [9, 8.5, 9.5, 8]),
        (20.0, None, [20, 19.5, 19]),  # beyond the end there is nothing
    ],
)
def test_alternatives_lie_around_the_target_in_its_shot(target_s, shot, expected):
    assert alternatives(target_s, shot, video(10.0)) == pytest.approx(expected)


def test_an_image_has_no_alternatives():
    assert alternatives(0.0, None, MediaInfo("image", "jpeg", "jpeg", 10, 10)) == [0.0]


def test_neighbours_share_out_what_lies_between_them():
    assert candidates([1.0, 2.0], (), video(3.0)) == [[1.0, 0.5, 1.25], [2.0, 1.75, 2.5]]
    assert candidates([1.0, 2.5], shots([2.0, 3.0]), video(3.0)) == [[1.0, 0.5, 1.375], [2.5, 2.25, 2.75]]
    assert candidates([], (), video(3.0)) == []


@given(LENGTHS, st.integers(1, 40), POLICY)
def test_neighbours_stay_in_the_shot_and_in_order(lengths, max_frames, policy):
    cut = shots(list(accumulate(lengths)))
    info = video(cut[-1].end_s)
    targets_s = choose(policy, info, cut, max_frames)
    found = candidates(targets_s, cut, info)
    assert [moments[0] for moments in found] == targets_s
    for moments in found:
        home = [shot for shot in cut if shot.start_s <= moments[0] <= shot.end_s]
        assert any(all(shot.start_s <= moment <= shot.end_s for moment in moments) for shot in home)
    for one, other in pairwise(found):
        assert max(one) < min(other)


# ── README's pictures ───────────────────────────────────────────────────────────────────────────────────────────────

ENDS_S = [3.0, 5.0, 8.0, 24.0, 30.0]
KEYFRAMES_S = [0.0, 3.0, 5.0, 8.0, 18.0, 24.0]
"""As an encoder sets them: at a cut, and ten seconds after the last one."""

CELL_S = 0.5
MAX_FRAMES = 8


def drawn(label: str, moments_s: list[float], mark: str) -> str:
    """The film from cut to cut, half a second a character."""
    marked = {int(moment / CELL_S) for moment in moments_s}
    cells = "".join(mark if cell in marked else "·" for cell in range(int(ENDS_S[-1] / CELL_S)))
    parts = [cells[int(shot.start_s / CELL_S) : int(shot.end_s / CELL_S)] for shot in shots(ENDS_S)]
    return f"{label:14}│{'│'.join(parts)}│"


def pictures() -> str:
    """What each policy chooses of one film, as README shows it."""
    info = video(ENDS_S[-1])
    lines = [drawn(name, choose(name, info, shots(ENDS_S), MAX_FRAMES, KEYFRAMES_S), "▲") for name in names()]
    return "\n".join(["```text", drawn("the film", KEYFRAMES_S, "◇"), *lines, "```"])


def test_readme_has_a_row_for_every_policy():
    rows = re.findall(r"^\| `([\w:+]+)` \|.*\|.*\|.*\|$", README.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row in POLICIES] == names()


if __name__ == "__main__":
    print(pictures())
