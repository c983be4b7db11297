"""Tiny vision-language models with random weights, saved as real ones are: one builder a family.

Their classes, processors, file layout and chat templates are the family's own, their sizes and words are not: a token
is a byte, and what they write means nothing. No test and no page may show it as a result.

llava runs where torch is; the others' processors need torchvision, too (`make test-qwen`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.models.llava import tiny_llava
from tests.models.qwen import tiny_qwen2_5_vl, tiny_qwen2_vl, tiny_qwen3_vl
from tests.models.smolvlm import tiny_smolvlm

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava": tiny_llava,
    "qwen2_vl": tiny_qwen2_vl,
    "qwen2_5_vl": tiny_qwen2_5_vl,
    "qwen3_vl": tiny_qwen3_vl,
    "smolvlm": tiny_smolvlm,
}
"""Model type → what makes such a model in a folder, and returns that folder."""

__all__ = ["FAMILIES", "tiny_llava", "tiny_qwen2_5_vl", "tiny_qwen2_vl", "tiny_qwen3_vl", "tiny_smolvlm"]
