"""The views of schema `main`, as sql/views says them."""

from __future__ import annotations

import hashlib
import json
from importlib import resources


def views() -> dict[str, str]:
    """View name → its SELECT, in an order in which each finds those it reads (`media` stands under most)."""
    files = [file for file in resources.files("pipeline.sql").joinpath("views").iterdir() if file.name.endswith(".sql")]
    texts = {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files}
    return dict(sorted(texts.items(), key=lambda item: (item[0] != "media", item[0])))


def views_version() -> str:
    """What a lake's catalog remembers, to know whether its views are these."""
    return hashlib.sha256(json.dumps(views()).encode()).hexdigest()[:16]
