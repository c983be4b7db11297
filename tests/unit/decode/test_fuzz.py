"""Two hundred damaged files (`--all`: two thousand), each looked at as a run does. `make fuzz` takes more."""

import pytest

from tests.fuzz.damaged import case, healthy
from tests.fuzz.run import look_at, summed

CHUNKS = 4


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_damage_hangs_a_decoder_leaks_or_makes_anything_but_frames_and_known_codes(chunk, pytestconfig):
    count = (2000 if pytestconfig.getoption("--all") else 200) // CHUNKS
    outcomes = look_at(range(chunk * count, (chunk + 1) * count))
    assert len(outcomes) == count
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    ends = summed(outcomes, 1.0)["ends"]
    assert len(ends) > 4  # damage of every degree: some of it no decoder minds
    assert ends["ok"] < count


def test_a_number_gives_the_same_file_again():
    assert case(7) == case(7)
    assert len({case(seed).data for seed in range(50)}) == 50
    assert len({case(seed).name for seed in range(2000)}) == len(healthy())
