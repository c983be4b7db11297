"""A forecast is an interval that holds what comes, and exact where all is known."""

import random

import pytest

from pipeline.planning.forecast import Forecast, Interval, Rates, others, total
from pipeline.planning.prices import Price, load_prices

ALL = frozenset(("speed", "tokens", "thumbnails"))
RATES = Rates(frames_per_s=2.0, prompt_tokens=1000, completion_tokens=100, thumbnail_bytes=5000, learned=ALL)


def test_what_is_all_known_is_exact():
    assert total(3, [1, 2, 3]) == Interval(6, 6, 6)
    assert total(0, []) == others(0, [5, 6]) == Interval(0, 0, 0)
    assert others(3, [20_000], most=14_400) == Interval(0, 60_000, 60_000), "one that is longer than most"


def test_what_nobody_knows_is_between_the_limits():
    assert total(10, [], least=1, most=60) == Interval(10, 15, 600)
    assert total(3, [20], least=1, most=60) == Interval(22, 60, 140)


@pytest.mark.parametrize("most", [30, 60, 600])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_nineteen_times_of_twenty_the_sum_is_in_the_interval(share, most):
    chance, hits, rounds = random.Random(most), 0, 400
    for _ in range(rounds):
        population = [min(most, max(1, round(chance.expovariate(1 / 40)))) for _ in range(500)]
        sample = population[: round(500 * share)]
        found = total(500, sample, least=0, most=most)
        assert found.low <= found.expected <= found.high
        hits += found.low <= sum(population) <= found.high
    assert hits >= 0.9 * rounds


def forecast(price, rates=RATES, frames=Interval(900, 1000, 1100)):
    return Forecast(Interval(3600, 7200, 10800), frames, rates, price, "USD", 40).as_json()


def test_tokens_cost_their_price_and_gpus_their_hours():
    by_token = forecast(Price(frames_per_s=9, million_prompt_tokens=1, million_completion_tokens=10))
    assert by_token["frames"] == {"low": 900, "expected": 1000, "high": 1100}
    assert by_token["tokens"]["prompt"] == {"low": 810_000, "expected": 1_000_000, "high": 1_210_000}
    assert (by_token["cost"]["expected"], by_token["cost"]["currency"]) == (2.0, "USD")
    assert by_token["gpu_hours"] == {"low": 0, "expected": 0, "high": 0}
    assert by_token["media_hours"] == {"low": 1, "expected": 2, "high": 3}
    by_hour = forecast(Price(frames_per_s=9, gpus=2, gpu_hour=3.0))
    assert by_hour["hours"]["expected"] == pytest.approx(1000 / 2 / 3600, abs=1e-3)
    assert by_hour["gpu_hours"]["expected"] == pytest.approx(2000 / 2 / 3600, abs=1e-3)
    assert by_hour["cost"]["expected"] == pytest.approx(3 * 2000 / 2 / 3600, abs=0.01)


def test_what_isnt_learned_is_less_sure_and_says_so():
    learned = forecast(Price(frames_per_s=9))
    guessed = forecast(Price(frames_per_s=9), Rates(2.0, 1000, 100, 5000, learned=frozenset()))
    assert guessed["tokens"]["prompt"]["high"] > learned["tokens"]["prompt"]["high"]
    assert (learned["learned_from"], guessed["learned_from"]) == (
        "this lake's own runs",
        "the table of prices and speeds",
    )


def test_the_table_that_comes_along_knows_every_tagger():
    from pipeline.taggers import TAGGERS

    prices = load_prices(None)
    for name in TAGGERS:
        assert prices.of(f"{name}:some/model").frames_per_s > 0
