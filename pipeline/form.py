"""What may be asked of a single run: a scheduler's form, made from the settings."""

from __future__ import annotations

from typing import Any

from pipeline.recipe import METADATA_KINDS
from pipeline.settings import Settings


def form(*names: str) -> dict[str, dict[str, Any]]:
    """What may be asked of a single run, as JSON schemas: what a scheduler's form shows. null: as the settings say.

    names: of the settings; none: those of a run that tags.
    """
    text, strings = {"type": ["null", "string"]}, {"type": ["null", "array"], "items": {"type": "string"}}
    fields: dict[str, dict[str, Any]] = {
        "sources": strings,
        "inventory": text,
        "lake": text,
        "sampling": {**text, "examples": ["uniform", "every:5s", "shots", "keyframes", "shots+uniform"]},
        "tagger": {**text, "examples": ["builtin", "transformers:NAME", "openai:MODEL", "null"]},
        "metadata": {**strings, "examples": list(METADATA_KINDS)},
        "max_frames": {**text, "pattern": "^(all|[1-9][0-9]*)?$"},
        "limit": {"type": ["null", "integer"], "minimum": 1},
        "retag": {"type": ["null", "boolean"]},
        "sample": {**text, "examples": ["1%"]},
        "retry_failed": {"type": ["null", "boolean"]},
        "dry_run": {"type": ["null", "boolean"]},
        "budget": {**text, "examples": ["50 USD", "10 GPU-hours", "1M tokens"]},
        "only": {**strings, "examples": ["new", "changed", "stale", "failed", "failed:network"]},
        "include": strings,
        "exclude": strings,
        "media_kinds": {**strings, "examples": ["image", "video"]},
        "modified_since": {**text, "examples": ["2026-01-31"]},
        "modified_before": {**text, "examples": ["2026-01-31"]},
        "order": {**text, "examples": ["path", "oldest", "newest"]},
        "callers_urls": {"type": ["null", "boolean"]},
        "webhook": text,
    }
    number = {"type": ["null", "number"], "minimum": 0}
    upkeep = dict.fromkeys(("keep_superseded_days", "keep_gone_days", "keep_thumbnails_days", "grace_hours"), number)
    asked = {name: (fields | upkeep)[name] for name in names} if names else fields
    return {name: {**how, "description": Settings.model_fields[name].description} for name, how in asked.items()}


def asked(params: dict[str, Any] | None) -> dict[str, Any]:
    """What was filled in of the form; a field left empty means what the settings say."""
    return {name: value for name, value in (params or {}).items() if value not in (None, "", [])}
