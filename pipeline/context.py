"""What an archive already knows of a media object: the text that goes into the model's prompt as data.

Three sources, in this order: what is true of the whole archive (`--context`), the object's own metadata in the store,
and a text file beside it (sidecar). None of it is trusted: it is cleaned, bounded, and never more than data.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

from pipeline.settings import Settings

MAX_CHARACTERS = 2000
"""Of the whole text: about 500 tokens of English. A sidecar gets what the others leave: no less than about 600."""

_ARCHIVE = 800
_METADATA = 600
_VALUE = 200

_ALL = "all"
_JOINERS = "\u200c\u200d"
"""Invisible, and yet part of words (Persian, Hindi) and emoji."""


def describe(settings_context: str, metadata: Mapping[str, str], wanted: tuple[str, ...], sidecar: bytes | None) -> str:
    """All that is known of one media object, in at most MAX_CHARACTERS; '' where nothing is.

    metadata: the object's own, keys in lower case. wanted: which of its keys, or `all`. sidecar: text in UTF-8 (JSON is
    text, too). What is cut ends with '…'.

    >>> print(describe("Harbour of Hamburg", {"year": "1962"}, ("year", "author"), b"Arrival of the Seute Deern"))
    Harbour of Hamburg
    year: 1962
    Arrival of the Seute Deern
    """
    known = [_cut(_clean(settings_context), _ARCHIVE), _cut("\n".join(_lines(metadata, wanted)), _METADATA)]
    left = MAX_CHARACTERS - sum(len(part) + 1 for part in known if part)
    known.append(_cut(_clean((sidecar or b"").decode("utf-8-sig", "replace")), left))
    return "\n".join(part for part in known if part)


def recipe_part(settings: Settings) -> str | None:
    """16 hex digits that stand in the recipe for how the context is made; None where there is none.

    What a sidecar or an object's metadata say is not in it: a new text there makes nothing stale.
    """
    text, keys, ending = _clean(settings.context), _keys(settings.context_metadata), settings.context_sidecar
    if not (text or keys or ending):
        return None
    return hashlib.sha256(json.dumps([text, keys, ending or ""]).encode()).hexdigest()[:16]


def _lines(metadata: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    keys = _keys(wanted)
    found = [
        (key, " ".join(_clean(metadata.get(key, "")).split())) for key in (sorted(metadata) if keys == [_ALL] else keys)
    ]
    return [f"{' '.join(_clean(key).split())}: {_cut(value, _VALUE)}" for key, value in found if value]


def _keys(wanted: Sequence[str]) -> list[str]:
    """Each once, in lower case, in the order asked for; `all` makes the others idle."""
    keys = list(dict.fromkeys(key.lower() for key in wanted))
    return [_ALL] if _ALL in keys else keys


def _clean(text: str) -> str:
    """Without what can't be seen: control characters, directions of writing, invisible tags, halves of characters."""
    text = re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", text).replace("\t", " ")
    kept = (c for c in text if c == "\n" or c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
