"""Which taggers there are, whether each can run here, and what would make it so."""

from __future__ import annotations

import shlex
from typing import Any

from pipeline.errors import ShotlogError
from pipeline.settings import Settings, load_settings
from pipeline.taggers import TAGGERS, open_tagger

EXAMPLES = {
    "transformers": ("HuggingFaceTB/SmolVLM-256M-Instruct", "Qwen/Qwen2-VL-2B-Instruct"),
    "openai": ("Qwen/Qwen2.5-VL-7B-Instruct",),
}
"""Models by which a tagger is shown when none is chosen: a small one for a CPU, a usual one for a GPU; what a server
would have."""

SEES = {
    "builtin": "participants, categories and tags with scores; captions by a template",
    "null": "nothing: for measuring everything else",
    "openai": "everything, and answers questions; any OpenAI-compatible server",
    "transformers": "everything, and answers questions; a model on this machine's GPU or CPU",
}

COLUMNS = ["tagger", "sees", "ready", "next"]


def list_taggers(request: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and a row a tagger: whether it can run here, and the command that uses it or makes it so.

    The model of the settings' own tagger is the one that is looked for; no weights are loaded.
    """
    chosen = load_settings(**request)
    rows = []
    for known in TAGGERS:
        name = known.partition(":")[0]
        for tagger in _named(name, chosen):
            missing = _missing(chosen, tagger)
            rows.append(
                (tagger, SEES[name], missing is None, missing or f"shotlog tag URI --tagger {shlex.quote(tagger)}")
            )
    return COLUMNS, rows


def _named(name: str, chosen: Settings) -> list[str]:
    if chosen.tagger.partition(":")[0] == name:
        return [chosen.tagger]
    return [f"{name}:{model}" for model in EXAMPLES.get(name, ())] or [name]


def _missing(chosen: Settings, tagger: str) -> str | None:
    """What keeps a tagger from running here and what to do about it, or None."""
    try:
        open_tagger(chosen.model_copy(update={"tagger": tagger})).budget()
    except ShotlogError as error:
        return str(error)
    return None
