"""The Arrow schemas of the tables in schema `log`: the one place where they live.

All times are UTC. Every detail row carries the tagging and the media object it belongs to. To add a column, write
it at the end of its table, where an upgrade puts it too, and raise FORMAT.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT = 6
"""Version of the tables. A lake of a newer format is refused, one of an older is upgraded when it is written to."""

_STRING, _FLOAT, _INT, _COUNT = pa.string(), pa.float64(), pa.int32(), pa.int64()
_TIME = pa.timestamp("us", tz="UTC")
_STRINGS = pa.list_(_STRING)
_IDENTITY = [("tagging_id", _STRING), ("media_id", _STRING)]
_REUSED = ("reused_from_s", _FLOAT)
_URI = ("uri", _STRING)
"""In every detail table too: joined to `taggings` for it, a question takes several times as long."""
_LABEL = [*_IDENTITY, ("timestamp_s", _FLOAT), ("label", _STRING), ("score", _FLOAT), _REUSED, _URI]

TABLES: dict[str, pa.Schema] = {
    "taggings": pa.schema(
        [
            *_IDENTITY,
            ("run_id", _STRING),
            ("batch", _STRING),
            ("recipe_id", _STRING),
            ("uri", _STRING),
            ("content_id", _STRING),
            ("etag", _STRING),
            ("size_bytes", _COUNT),
            ("last_modified", _TIME),
            ("kind", _STRING),
            ("container", _STRING),
            ("codec", _STRING),
            ("width", _INT),
            ("height", _INT),
            ("duration_s", _FLOAT),
            ("frame_rate", _FLOAT),
            ("container_start_s", _FLOAT),
            ("stream_start_s", _FLOAT),
            ("start_timecode", _STRING),
            ("decoder", _STRING),
            ("status", _STRING),
            ("error_code", _STRING),
            ("error", _STRING),
            ("summary", _STRING),
            ("frames", _INT),
            ("prompt_tokens", _COUNT),
            ("completion_tokens", _COUNT),
            ("bytes_read", _COUNT),
            ("decode_s", _FLOAT),
            ("model_s", _FLOAT),
            ("inherited_from", _STRING),
            ("tagged_at", _TIME),
            ("frame_budget", _INT),
            ("rotation", _INT),
            ("hdr", _STRING),
            ("audio_languages", _STRINGS),
            ("subtitle_languages", _STRINGS),
        ]
    ),
    "sightings": pa.schema(
        [
            ("media_id", _STRING),
            ("run_id", _STRING),
            ("uri", _STRING),
            ("etag", _STRING),
            ("state", _STRING),
            ("seen_at", _TIME),
        ]
    ),
    "timestamps": pa.schema(
        [
            *_IDENTITY,
            ("timestamp_s", _FLOAT),
            ("timecode", _STRING),
            ("frame_index", _COUNT),
            ("shot_index", _INT),
            ("caption", _STRING),
            ("caption_source", _STRING),
            _REUSED,
            ("prompt_tokens", _INT),
            ("completion_tokens", _INT),
            _URI,
        ]
    ),
    "shots": pa.schema(
        [
            *_IDENTITY,
            ("shot_index", _INT),
            ("start_s", _FLOAT),
            ("end_s", _FLOAT),
            ("score", _FLOAT),
            ("representative_s", _FLOAT),
            _URI,
        ]
    ),
    "categories": pa.schema(_LABEL),
    "actions": pa.schema(_LABEL),
    "tags": pa.schema(_LABEL),
    "scene": pa.schema(_LABEL),
    "participants": pa.schema(
        [*_LABEL[:4], ("kind", _STRING), ("count", _INT), ("score", _FLOAT), _REUSED, _URI],
    ),
    "rating": pa.schema(_LABEL),
    "thumbnails": pa.schema(
        [*_IDENTITY, ("timestamp_s", _FLOAT), ("image", pa.binary()), ("width", _INT), ("height", _INT), _URI]
    ),
    "subtitles": pa.schema(
        [
            *_IDENTITY,
            ("start_s", _FLOAT),
            ("end_s", _FLOAT),
            ("text", _STRING),
            ("language", _STRING),
            ("track", _INT),
            _URI,
        ]
    ),
    "hidden": pa.schema([*_IDENTITY, ("reason", _STRING), ("hidden_at", _TIME)]),
    "overtaken": pa.schema(_IDENTITY),
    "recipe_names": pa.schema([("recipe_id", _STRING), ("name", _STRING), ("named_at", _TIME)]),
    "recipe_choices": pa.schema([("recipe_id", _STRING), ("chosen_at", _TIME)]),
    "recipes": pa.schema([("recipe_id", _STRING), ("tagger", _STRING), ("recipe", _STRING), ("first_used_at", _TIME)]),
    "runs": pa.schema(
        [
            ("run_id", _STRING),
            ("kind", _STRING),
            ("sources", _STRINGS),
            ("recipe_id", _STRING),
            ("request", _STRING),
            ("started_at", _TIME),
        ]
    ),
    "run_events": pa.schema([("run_id", _STRING), ("event", _STRING), ("detail", _STRING), ("happened_at", _TIME)]),
    "batches": pa.schema(
        [
            ("run_id", _STRING),
            ("batch", _STRING),
            ("media", _INT),
            ("ok", _INT),
            ("partial", _INT),
            ("failed", _INT),
            ("skipped", _INT),
            ("frames", _COUNT),
            ("committed_at", _TIME),
            ("load_s", _FLOAT),
            ("model_s", _FLOAT),
            ("inherited", _INT),
            ("seconds", _FLOAT),
            ("media_s", _FLOAT),
            ("prompt_tokens", _COUNT),
            ("completion_tokens", _COUNT),
        ]
    ),
    "deliveries": pa.schema(
        [
            ("message_id", _STRING),
            ("run_id", _STRING),
            ("endpoint", _STRING),
            ("attempt", _INT),
            ("status", _INT),
            ("error", _STRING),
            ("delivered", pa.bool_()),
            ("tried_at", _TIME),
        ]
    ),
    "identity": pa.schema([("lake_id", _STRING), ("format", _INT), ("views", _STRING), ("written_at", _TIME)]),
}
