"""The table of prices and speeds: what a forecast reckons with, and what a budget in money is measured by."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import UsageError


class Price(BaseModel):
    """Of one tagger. Speed and tokens are of one frame, until this lake's own runs say better."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frames_per_s: float = Field(gt=0, description="frames a second of a whole run")
    prompt_tokens: float = Field(0, ge=0, description="tokens that a frame and its question take")
    completion_tokens: float = Field(0, ge=0, description="tokens of its answer")
    million_prompt_tokens: float = Field(0, ge=0, description="price of a million of the first")
    million_completion_tokens: float = Field(0, ge=0, description="price of a million of the second")
    gpus: float = Field(0, ge=0, description="GPUs that are paid for as long as a run takes")
    gpu_hour: float = Field(0, ge=0, description="price of one of them for an hour; 0: as the table says for all")


class Prices(BaseModel):
    """One currency, and a price for each tagger: by its whole name (openai:MODEL), else by its kind (openai)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    currency: str = "USD"
    gpu_hour: float = Field(0, ge=0)
    taggers: dict[str, Price]

    def of(self, tagger: str) -> Price:
        """Raises UsageError where the table has none for it."""
        price = self.taggers.get(tagger) or self.taggers.get(tagger.partition(":")[0])
        if price is None:
            raise UsageError(
                f'the table of prices has nothing for {tagger}: add [taggers."{tagger}"] with frames_per_s, known are '
                f"{', '.join(sorted(self.taggers))}"
            )
        return price if price.gpu_hour else price.model_copy(update={"gpu_hour": self.gpu_hour})


def load_prices(path: Path | None) -> Prices:
    """The table in this file, None: the one that comes with shotlog. Raises UsageError for one that can't be meant."""
    name = str(path or "prices.toml")
    try:
        text = (
            path.read_text("utf-8") if path else resources.files("pipeline.planning").joinpath(name).read_text("utf-8")
        )
        table: dict[str, Any] = tomllib.loads(text)
        return Prices.model_validate(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"the table of prices {name} can't be read ({error}): give SHOTLOG_PRICES a TOML file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"the table of prices {name} has {place} = {first['input']!r}: {first['msg'].lower()}; README shows one"
        ) from error
