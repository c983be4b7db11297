"""One frozen settings object: defaults < shotlog.toml < SHOTLOG_* < arguments. Unknown keys are refused.

Every setting is documented where it is defined; README's table is made from here.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import TomlConfigSettingsSource as TomlSource

from pipeline.errors import CODES, UsageError, unknown_name
from pipeline.recipe import DEFAULT_KINDS, METADATA_KINDS

ENV_PREFIX = "SHOTLOG_"
SETTINGS_FILE = Path("shotlog.toml")
GPU_POOL = "shotlog_gpu"
POOLS = ("default_pool", GPU_POOL)
"""Airflow's pools that tagging tasks run in. The second has as many slots as there are GPUs."""
BACKFILL_POOL = "shotlog_backfill"
"""The pool of backfills, whatever their tagger: as many slots as the hourly runs can spare."""
MATTERS = ("new", "changed", "stale", "failed")  # why an object may be to do


def _split(value: Any) -> Any:
    """Environment and command line give lists as 'a,b'."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _frame_limit(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() == "all" else value


def _share(value: Any) -> Any:
    """'1%' is 0.01."""
    return float(value[:-1]) / 100 if isinstance(value, str) and re.fullmatch(r"[0-9.]+%", value.strip()) else value


_SECRET = {"openai_api_key", "openai_base_url", "catalog"}
"""Never shown, not even where they are wrong."""

OutputFormat = Literal["table", "csv", "json"]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
MediaKinds = Annotated[tuple[Literal["image", "video"], ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What can be set. Each has a command-line option of the same name where it makes sense."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, toml_file=SETTINGS_FILE, frozen=True, extra="forbid", env_ignore_empty=True
    )

    lake: str = Field("lake", description="where the lake lies: a folder or s3://bucket/prefix")
    catalog: str | None = Field(
        None,
        repr=False,
        description="the lake's catalog: a Postgres database (postgresql://user:password@host/database) for workers on "
        "several hosts, or the SQLite file of a lake on S3 (default: in ~/.local/share/shotlog of one machine)",
    )
    sources: Names = Field((), description="what to tag: s3://bucket/prefix, folders, files or https URLs, by comma")
    inventory: str | None = Field(None, description="manifest.json of an S3 Inventory, which stands for its bucket")
    include: Names = Field((), description="tag only objects whose URI matches one of these patterns (*.mp4)")
    exclude: Names = Field((), description="leave out objects whose URI matches one of these patterns")
    limit: int | None = Field(None, ge=1, description="tag at most so many media objects in this run")
    tagger: str = Field(
        "builtin", description="who looks: builtin, transformers:NAME, openai:MODEL or null (`shotlog models`)"
    )
    vocabulary: Path | None = Field(None, description="a TOML file of allowed labels a metadata kind, with synonyms")
    prompts: Path | None = Field(None, description="a folder with prompts of your own (frame.txt, summary.txt, …)")
    context: str = Field("", description="what the model should know of the whole archive, put into every prompt")
    context_metadata: Names = Field((), description="keys of S3 object metadata put into the prompt; all: every key")
    context_sidecar: str | None = Field(
        None, description="ending of the text file beside an object (clip.mp4.txt: .txt) that is put into the prompt"
    )
    caption_tokens: int = Field(300, ge=20, le=2000, description="tokens that the caption of a frame may take")
    answer_tokens: int = Field(1024, ge=64, description="tokens that one answer of a model may take, JSON included")
    context_tokens: int | None = Field(
        None, ge=512, description="tokens that a model can hold, where it can't be asked (default: what the model says)"
    )
    min_pixels: int | None = Field(None, ge=1, description="smaller pictures are enlarged for the model to this")
    max_pixels: int = Field(1_003_520, ge=784, description="larger pictures are shrunk for the model to this")
    reuse_distance: int = Field(
        0, ge=0, le=64, description="a frame that differs in at most so many of 64 bits takes the last answer (0: none)"
    )
    model_revision: str | None = Field(None, description="revision of a transformers model: a tag or commit of its hub")
    model_batch: int = Field(8, ge=1, description="frames in one batch of a transformers model")
    device: str = Field("auto", description="where models run, also the shot detector's: auto, cpu, cuda or cuda:N")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="its numbers: auto is bfloat16 on a GPU and float32 on a CPU"
    )
    openai_base_url: str | None = Field(
        None, repr=False, description="the server of openai:MODEL, as http://127.0.0.1:8000/v1"
    )
    openai_api_key: SecretStr | None = Field(None, description="its key, where it wants one; never kept")
    openai_in_flight: int = Field(32, ge=1, le=4096, description="requests that the server works on at a time")
    openai_deadline_s: float = Field(
        120, gt=0, description="a request that takes longer, retries included, is given up"
    )
    sampling: str = Field(
        "uniform", description="which frames are looked at: uniform, every:5s, shots, keyframes or shots+uniform"
    )
    shot_detector: str = Field("adaptive", description="who finds the cuts: adaptive or transnetv2")
    better_frames: Literal["auto", "on", "off"] = Field(
        "auto",
        description="leave black, flat and frozen frames for a neighbour in the same shot (auto: with shots, not else)",
    )
    metadata: Names = Field(DEFAULT_KINDS, description="metadata kinds to fill: " + ", ".join(METADATA_KINDS))
    max_frames: Annotated[int | None, BeforeValidator(_frame_limit)] = Field(
        60, ge=1, description="look at no more frames of one video than this; all lifts the limit"
    )
    dry_run: bool = Field(False, description="only say what a run would do, take and cost; nothing is written")
    budget: str | None = Field(
        None,
        description="stop, and leave the rest to the next run, when so much is spent: 50 USD, 10 GPU-hours, 1M tokens",
    )
    prices: Path | None = Field(
        None, description="a TOML file of prices and speeds that forecasts and budgets reckon with (README shows it)"
    )
    forecast_sample: int = Field(
        40, ge=0, description="films whose headers are read for a forecast (0: none, past runs must do)"
    )
    retag: bool = Field(False, description="also tag again what was tagged under another recipe (stale)")
    sample: Annotated[float | None, BeforeValidator(_share)] = Field(
        None, gt=0, le=1, description="with retag or only stale: just this share of it (1%), the same media each time"
    )
    retry_failed: bool = Field(False, description="also try again what failed for a lasting reason")
    only: Names = Field(
        (), description="do only this: new, changed, stale, failed, failed:CODE (needs no retag and no retry_failed)"
    )
    media_kinds: MediaKinds = Field(("image", "video"), min_length=1, description="only these kinds: image, video")
    modified_since: datetime | None = Field(None, description="only objects last modified then or later (2026-01-31)")
    modified_before: datetime | None = Field(None, description="only objects last modified before (UTC if not said)")
    order: Literal["path", "oldest", "newest"] = Field(
        "path", description="what a run looks at first: by path, or the oldest or newest objects"
    )
    piece_batches: int = Field(
        500, ge=1, description="a backfill is planned in pieces of so many batches, which follow one another"
    )
    workers: int = Field(
        default_factory=lambda: max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2),
        ge=1,
        le=256,
        description="media objects decoded at once, each by a process; as many are fetched ahead (default: the cores)",
    )
    decoder: str = Field("auto", description="auto, pyav or decord; auto begins with pyav and lets decord take over")
    decode_deadline_s: float = Field(
        120, gt=0, description="a decoder that takes longer than this plus the media's own seconds is killed"
    )
    decode_memory_mb: int = Field(4096, ge=256, description="a decoder process that takes more memory is killed")
    pieces_from_mb: int = Field(
        32, ge=0, description="of larger objects in S3 or on the web only the bytes are fetched that frames are made of"
    )
    max_object_mb: int = Field(20_480, ge=1, description="objects larger than this are skipped")
    max_megapixels: float = Field(200, gt=0, description="pictures with more pixels than this are skipped")
    thumbnails: bool = Field(True, description="keep a small picture of every frame looked at")
    thumbnail_px: int = Field(320, ge=16, le=4096, description="longer side of a thumbnail in pixels")
    freeze: Literal["auto", "on", "off"] = Field(
        "auto",
        description="publish a read-only copy of the catalog beside the data after each run that changed something: "
        "for who can only read the bucket (auto: of lakes on S3)",
    )
    keep_superseded_days: int | None = Field(
        None, ge=0, description="how long maintain keeps looks that newer ones took the place of (default: for ever)"
    )
    keep_gone_days: int | None = Field(
        None, ge=0, description="how long maintain keeps what was found in objects that are gone (default: for ever)"
    )
    keep_thumbnails_days: int | None = Field(
        None, ge=0, description="how long maintain keeps thumbnails (default: for ever)"
    )
    grace_hours: float = Field(
        24, ge=1, description="how long files stay that nothing needs any more: readers may be in the middle of them"
    )
    maintain_schedule: str = Field("@daily", description="when Airflow runs maintain_lake (none: only by hand)")
    batch_frames: int = Field(600, ge=1, description="a batch is filled up to about so many frames")
    keys_file: str = Field(
        "~/.config/shotlog/keys.json", description="the keys of the HTTP API: hashes, for their owner's eyes alone"
    )
    webhooks_file: str = Field(
        "~/.config/shotlog/webhooks.toml", description="whom jobs can tell how they ended: URLs and secrets by name"
    )
    webhook: str | None = Field(None, description="which of them the runs of Airflow's tell how they ended, by name")
    api_url: str = Field("", description="where the HTTP API is reached from outside (https://tags.example)")
    calls_a_minute: int = Field(600, ge=1, description="calls of the HTTP API that one key has a minute")
    jobs: Literal["here", "airflow"] = Field(
        "here",
        description="who carries out jobs of the HTTP API: the server's worker process, or Airflow's DAG tag_media",
    )
    airflow_url: str | None = Field(None, description="Airflow's API server, with jobs = airflow")
    airflow_user: str | None = Field(None, description="who begins runs there (default: nobody, where it lets all in)")
    airflow_password: SecretStr | None = Field(None, description="their password; never kept")
    jobs_a_key: int = Field(100, ge=1, description="jobs of the HTTP API that one key may have at a time")
    models: Names = Field(
        (), description="further taggers that callers of the HTTP API may name, each loaded when it is first asked for"
    )
    body_mb: int = Field(64, ge=1, description="the HTTP API takes no request that is longer")
    ask_media: int = Field(20, ge=1, description="images and videos in one request to the HTTP API")
    fetch_mb: int = Field(512, ge=1, description="the HTTP API fetches no larger image or video for a caller")
    fetch_allow_hosts: Names = Field(
        (), description="host:port of servers inside the network that callers of the HTTP API may name URLs of"
    )
    callers_urls: bool = Field(
        False,
        description="the sources are URLs that a caller of the HTTP API gave: none leads into the network, one without "
        "/ at its end is one object, and one that leads nowhere doesn't end the run",
    )
    cors_origins: Names = Field((), description="web pages (https://app.example) that may call the HTTP API")
    format: OutputFormat = Field("table", description="how answers are printed on stdout: table, csv or json")
    schedule: str = Field("@hourly", description="when Airflow runs tag_media (cron or preset; none: only by hand)")

    @property
    def pool(self) -> str:
        """Where the batches of this tagger run: one that loads a model wants a GPU, or a CPU, to itself."""
        return GPU_POOL if self.tagger.startswith("transformers:") else POOLS[0]

    @property
    def timetable(self) -> str | None:
        """`schedule`, as Airflow takes it."""
        return None if self.schedule == "none" else self.schedule

    @property
    def maintain_timetable(self) -> str | None:
        """`maintain_schedule`, as Airflow takes it."""
        return None if self.maintain_schedule == "none" else self.maintain_schedule

    @property
    def picks_better(self) -> bool:
        """Whether a frame that shows nothing is left for a better one."""
        return self.better_frames == "on" or (self.better_frames == "auto" and self.sampling.startswith("shots"))

    @field_validator("fetch_allow_hosts")
    @classmethod
    def _are_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}", server):
                raise UsageError(f"fetch_allow_hosts can't hold {server!r}: give host:port, as 10.0.0.5:8080")
        return servers

    @field_validator("only")
    @classmethod
    def _known_matters(cls, matters: tuple[str, ...]) -> tuple[str, ...]:
        for matter in matters:
            name, _, code = matter.partition(":")
            if name not in MATTERS or (code and name != "failed"):
                raise unknown_name("reason to tag", matter, (*MATTERS, "failed:CODE"))
            if code and code not in CODES:
                raise unknown_name("error code", code, CODES)
        return matters

    @field_validator("modified_since", "modified_before")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment

    @field_validator("device")
    @classmethod
    def _is_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise UsageError(f"device can't be {device!r}: give auto, cpu, cuda or cuda:N")
        return device

    @field_validator("metadata")
    @classmethod
    def _known_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in METADATA_KINDS:
                raise unknown_name("metadata kind", kind, METADATA_KINDS)
        if not kinds:
            raise UsageError(f"metadata is empty: give some of {', '.join(METADATA_KINDS)}")
        return tuple(kind for kind in METADATA_KINDS if kind in kinds)  # one order, one recipe

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before the environment before the file; no other place is looked at."""
        return init_settings, env_settings, TomlSource(settings_cls)


def load_settings(**arguments: Any) -> Settings:
    """Settings from every source. Arguments that are None were not given.

    Raises UsageError: an unknown key, a value out of range, a malformed shotlog.toml.
    """
    for name in os.environ:
        key = name.removeprefix(ENV_PREFIX).lower()
        if name.startswith(ENV_PREFIX) and key not in Settings.model_fields:
            raise unknown_name("setting", name, [ENV_PREFIX + field.upper() for field in Settings.model_fields])
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{SETTINGS_FILE} is not valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"{SETTINGS_FILE} can't be read ({error.strerror}): check its permissions") from error
    except ValidationError as error:
        raise UsageError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return str(unknown_name("setting", name, Settings.model_fields))
    about = Settings.model_fields[name.split(".")[0]].description if name.split(".")[0] in Settings.model_fields else ""
    given = "what was given" if name.split(".")[0] in _SECRET else repr(first["input"])
    return f"{name} can't be {given}: {first['msg'].lower()} ({about})"
