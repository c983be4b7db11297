"""The taggers, loaded only when chosen. How to add one: see `base`."""

from __future__ import annotations

from importlib import import_module

from pipeline.errors import TaggerError, UsageError, unknown_name
from pipeline.settings import Settings
from pipeline.taggers.base import Tagger

TAGGERS: dict[str, str] = {
    "builtin": "pipeline.taggers.builtin:Builtin",
    "null": "pipeline.taggers.null:Null",
    "openai:MODEL": "pipeline.taggers.openai:OpenAI",
    "transformers:NAME": "pipeline.taggers.transformers:Transformers",
}
"""Name → "module:Class"; a name with a colon takes a model behind it. The class takes that model (or None) and the
settings; what it needs installed comes with an extra of the tagger's name, and a ModuleNotFoundError from the module
or the class says that it is missing."""


def open_tagger(settings: Settings) -> Tagger:
    """The tagger of `settings.tagger`, ready to be entered; its identity can be read at once, no weights are loaded.

    Raises UsageError for an unknown name or a missing model, TaggerError where the tagger's extra isn't installed.
    """
    name, _, model = settings.tagger.partition(":")
    known = {known.partition(":")[0]: known for known in TAGGERS}
    if name not in known:
        raise unknown_name("tagger", settings.tagger, TAGGERS, hint="(`shotlog models` lists them)")
    if (":" in known[name]) != bool(model):
        raise UsageError(f"tagger '{settings.tagger}' is not complete or too much: write {known[name]}")
    module, _, cls = TAGGERS[known[name]].partition(":")
    try:
        tagger: Tagger = getattr(import_module(module), cls)(model or None, settings)
    except ModuleNotFoundError as missing:
        raise TaggerError(
            f"tagger '{name}' needs the package {missing.name}, which isn't installed: pip install 'shotlog[{name}]'"
        ) from missing
    return tagger
