"""Prices and budgets that can't be meant are refused with what to write instead."""

import pytest

from pipeline.errors import UsageError
from pipeline.planning.budget import Budget, Purse, Took, parse_budget
from pipeline.planning.prices import Price, load_prices
from tests.unit.lake.made import media

TABLE = """
currency = "EUR"
gpu_hour = 2.0

[taggers.openai]
frames_per_s = 5
gpus = 1

[taggers."openai:large"]
frames_per_s = 1
gpus = 4
gpu_hour = 3.0
"""


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "prices.toml").write_text(text)
        return tmp_path / "prices.toml"

    return write


def test_a_price_is_found_by_the_whole_name_then_by_its_kind(table):
    prices = load_prices(table(TABLE))
    assert (prices.of("openai:large").gpus, prices.of("openai:large").gpu_hour) == (4, 3.0)
    assert (prices.of("openai:small").gpus, prices.of("openai:small").gpu_hour) == (1, 2.0)
    with pytest.raises(UsageError, match=r"has nothing for builtin: add \[taggers.\"builtin\"\]"):
        prices.of("builtin")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            TABLE.replace("gpus = 4", "gpus = -4"),
            r"has taggers.openai:large.gpus = -4: input should be greater",
        ),
        (
            TABLE.replace("gpu_hour = 2.0", "gpu_hour = -1"),
            "has gpu_hour = -1: input should be greater than",
        ),
        (
            TABLE.replace("frames_per_s = 5", "frames_per_s = 0"),
            "has taggers.openai.frames_per_s = 0: input should",
        ),
        (TABLE.replace("gpus = 1", "cpus = 1"), "has taggers.openai.cpus = 1: extra inputs are not permitted"),
        (TABLE.replace("gpus = 1", "gpus = inf"), "has taggers.openai.gpus = inf: input should be a finite number"),
        ("currency = ", "can't be read .*: give SHOTLOG_PRICES a TOML file"),
        ("\xff", "has taggers|can't be read"),
    ],
)
def test_a_table_that_cant_be_meant_is_refused(text, sentence, table):
    with pytest.raises(UsageError, match=sentence):
        load_prices(table(text))


def test_a_table_that_isnt_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match=r"can't be read .*: give SHOTLOG_PRICES"):
        load_prices(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [
        ("50 USD", 50, "money"),
        ("0.5 usd", 0.5, "money"),
        ("10 GPU-hours", 10, "gpu_hours"),
        ("1 gpu-hour", 1, "gpu_hours"),
        ("1M tokens", 1e6, "tokens"),
        ("2.5 B tokens", 2.5e9, "tokens"),
        ("1,500 tokens", 1500, "tokens"),
        ("1_500_000.5 tokens", 1500000.5, "tokens"),
        ("750k tokens", 750e3, "tokens"),
        ("50", None, None),
        ("50 EUR", None, None),
        ("-5 USD", None, None),
        ("0 tokens", None, None),
        ("five USD", None, None),
        ("2,50 USD", None, None),
        ("0,5 GPU-hours", None, None),
        ("1_0 tokens", None, None),
        ("", None, None),
    ],
)
def test_a_budget_has_an_amount_and_a_known_unit(text, limit, unit):
    if limit is None:
        with pytest.raises(
            UsageError, match=r"give an amount above 0 and a unit, as '2\.50 USD', '10 GPU-hours' or '1M"
        ):
            parse_budget(text, "USD")
    else:
        assert parse_budget(text, "USD") == Budget(limit, unit, text)


@pytest.mark.parametrize("text", ["0.1 USD", "100 tokens"])
def test_a_purse_learns_what_frames_take_where_the_table_was_wrong(text):
    price = Price(frames_per_s=1000, million_prompt_tokens=1000, million_completion_tokens=1000)
    purse = Purse(parse_budget(text, "USD"), price, Took(), Took(0.001, 1, 1))
    assert purse.reserve(media("a.png"), 1)
    assert purse.reserve(media("b.png"), 1)
    purse.pay(media("a.png").media_id, 1, 11, 7)
    # 18 are paid, 18 put aside for what is looked at, and three times as many are left
    assert [purse.reserve(media(f"{number}.png"), 1) for number in range(4)] == [True, True, True, False]


def test_a_budget_is_measured_in_its_own_unit():
    price = Price(frames_per_s=1, gpus=2, gpu_hour=3, million_prompt_tokens=1, million_completion_tokens=2)
    took = {"seconds": 1800, "prompt_tokens": 1_000_000, "completion_tokens": 500_000}
    assert Budget(1, "tokens", "").spent(price, **took) == 1_500_000
    assert Budget(1, "gpu_hours", "").spent(price, **took) == 1.0
    assert Budget(1, "money", "").spent(price, **took) == 3 + 1 + 1
