"""The taggers, loaded only when chosen. How to add one: see `base`."""

from __future__ import annotations

from importlib import import_module

from pipeline.errors import TaggerError, UsageError, unknown_name
from pipeline.model import METADATA_KINDS
from pipeline.taggers.base import Tagger

TAGGERS: dict[str, str] = {
    "builtin": "pipeline.taggers.builtin:Builtin",
    "null": "pipeline.taggers.null:Null",
}
"""Name → "module:Class". The class takes `metadata` and `threads`; what it needs installed comes with an extra
of the tagger's name, and a ModuleNotFoundError from the module or the class says that it is missing."""


def open_tagger(name: str, *, metadata: tuple[str, ...], threads: int = 1) -> Tagger:
    """The tagger of that name, ready to be entered; its identity can be read at once, no weights are loaded.

    metadata: the kinds that are asked for, of `METADATA_KINDS`. threads: frames looked at at the same time.
    Raises UsageError for an unknown name or kind, TaggerError where the tagger's extra isn't installed.
    """
    if name not in TAGGERS:
        raise unknown_name("tagger", name, TAGGERS)
    for kind in metadata:
        if kind not in METADATA_KINDS:
            raise unknown_name("metadata kind", kind, METADATA_KINDS)
    if threads < 1:
        raise UsageError(f"threads must be 1 or more, got {threads}")
    module, _, cls = TAGGERS[name].partition(":")
    try:
        tagger: Tagger = getattr(import_module(module), cls)(metadata=metadata, threads=threads)
    except ModuleNotFoundError as missing:
        raise TaggerError(
            f"tagger '{name}' needs the package {missing.name}, which isn't installed: pip install 'shotlog[{name}]'"
        ) from missing
    return tagger
