"""A controlled vocabulary: which labels a metadata kind may have, and what else they are called.

    [scene]
    beach = ["seaside", "shore"]
    office = []

A kind without a table is free. A model that is held to its schema writes nothing but these labels; what another one
writes is looked up by `words.normal`, as a label or as one of its synonyms, and dropped when it is neither.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError, unknown_name
from pipeline.recipe import METADATA_KINDS
from pipeline.taggers.words import LONGEST, normal

KINDS = tuple(kind for kind in METADATA_KINDS if kind != "rating")
"""What may have a table: a rating has its four labels already."""

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Vocabulary:
    """tables: kind → label as the file spells it → its synonyms. Made by `load_vocabulary`, which checks it."""

    tables: Mapping[str, Mapping[str, tuple[str, ...]]]
    _found: dict[tuple[str, str], str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {
            (kind, spelled(kind, name)): label
            for kind, table in self.tables.items()
            for label, synonyms in table.items()
            for name in (label, *synonyms)
        }
        object.__setattr__(self, "_found", found)

    def labels(self, kind: str) -> tuple[str, ...] | None:
        """The labels of a kind, sorted; None where it is free."""
        return tuple(sorted(self.tables[kind])) if kind in self.tables else None

    def find(self, kind: str, text: str) -> str | None:
        """The label that a text means, as the file spells it; None where it means none (or the kind is free)."""
        return self._found.get((kind, spelled(kind, text)))

    @property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 of what it means: order, comments and spelling of synonyms don't matter."""
        meaning = {
            kind: {label: sorted({spelled(kind, name) for name in (label, *table[label])}) for label in table}
            for kind, table in self.tables.items()
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def spelled(kind: str, text: str) -> str:
    """The normal spelling of a label of this kind: actions keep the number of their objects."""
    return normal(text, nouns=kind != "actions")


def load_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary. Raises UsageError: no such file, not TOML, or a table that doesn't say what it means."""
    document = _read(path)
    for kind, table in document.items():
        if kind not in KINDS:
            raise unknown_name("metadata kind", kind, KINDS, hint=f"(a table of the vocabulary {path})")
        if not isinstance(table, dict) or not table:
            raise UsageError(
                f"{kind} has no labels in the vocabulary {path}: write a table [{kind}] with lines like "
                f'"traffic light" = ["stoplight"], or leave {kind} out to let it be free'
            )
    if not document:
        raise UsageError(f"the vocabulary {path} is empty: write a table a metadata kind ({', '.join(KINDS)})")
    return Vocabulary({kind: _table(path, kind, table) for kind, table in document.items()})


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the vocabulary {path} can't be read ({error.strerror}): check --vocabulary") from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"the vocabulary {path} is larger than {MAX_BYTES:,} bytes: keep the labels you need")
    try:
        return tomllib.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"the vocabulary {path} is not valid TOML ({error}): write each label once, as label = [] or with "
            'synonyms, "traffic light" = ["stoplight"]'
        ) from error


def _table(path: Path, kind: str, table: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """One kind's labels and synonyms, each with a meaning of its own."""
    where = f"in [{kind}] of the vocabulary {path}"
    checked: dict[str, tuple[str, ...]] = {}
    meanings: dict[str, str] = {}
    for label, synonyms in table.items():
        if not isinstance(synonyms, list) or not all(isinstance(name, str) for name in synonyms):
            raise UsageError(
                f"'{_shown(label)}' {where} must have a list of synonyms, got {_shown(synonyms)}: "
                f'write "{_shown(label)}" = ["one", "two"], or = []'
            )
        own = _label(label, where)
        if own in checked:
            raise UsageError(f"'{_shown(own)}' {where} is there twice: keep one of them")
        checked[own] = tuple(_checked(name, where) for name in synonyms)
        _claim(meanings, kind, own, where, taken_by=own)
    for label, names in checked.items():
        for name in names:
            _claim(meanings, kind, name, where, taken_by=label)
    return checked


def _claim(meanings: dict[str, str], kind: str, name: str, where: str, *, taken_by: str) -> None:
    meaning = spelled(kind, name)
    if not meaning:
        raise UsageError(f"'{_shown(name)}' {where} is no label: write one with letters or numbers")
    other = meanings.setdefault(meaning, taken_by)
    if other != taken_by:
        what = "is the same label as" if name == taken_by else f"is a synonym of '{_shown(taken_by)}' and means"
        raise UsageError(f"'{_shown(name)}' {where} {what} '{_shown(other)}': keep one of them")


def _label(text: str, where: str) -> str:
    """A label as it will be written: one that a model can be held to, letter by letter."""
    label = " ".join(unicodedata.normalize("NFC", _checked(text, where)).split())
    if '"' in label or "\\" in label:
        raise UsageError(f"'{_shown(text)}' {where} has a quotation mark or a backslash: leave it out")
    return label


def _checked(text: str, where: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        raise UsageError(f"{_shown(text)!r} {where} has a control character: leave it out")
    if not text.strip() or len(text) > LONGEST:
        raise UsageError(f"'{_shown(text)}' {where} must have 1 to {LONGEST} characters, got {len(text)}: shorten it")
    return text


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
