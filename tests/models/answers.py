"""What keeps a tiny model's answers short: a token of it is one byte, and it stops where the schema does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VOCABULARY = """
[categories]
nature = []
sport = ["sports"]
[participants]
cyclist = []
dog = []
[actions]
running = []
[scene]
street = []
[tags]
bicycle = ["bike"]
cup = []
"""


def short_answers(folder: Path) -> dict[str, Any]:
    """Settings, with a vocabulary in the folder, under which a frame's answer takes at most some hundred bytes.

    A summary has no vocabulary, and up to 2,000 characters of four bytes.
    """
    vocabulary = folder / "labels.toml"
    vocabulary.write_text(VOCABULARY)
    return {"vocabulary": str(vocabulary), "caption_tokens": 20, "answer_tokens": 8300}
