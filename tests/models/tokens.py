"""A tokenizer whose tokens are the 256 bytes and a family's special tokens, and a text model over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 32_768
"""What every tiny model says it can hold: a token is a byte, so prompts are long."""

TEXT_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
}
"""Of every tiny text model: two layers, 64 wide, two heads of 32."""


def byte_tokenizer(special: list[str], *, pad: str, end: str, begin: str | None = None, **named: str) -> Any:
    """A PreTrainedTokenizerFast of `special` (ids from 0) and the 256 bytes. named: image_token="<image>", …"""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(special + alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=begin,
        eos_token=end,
        additional_special_tokens=special,
        extra_special_tokens=named,
        model_max_length=CONTEXT_TOKENS,
    )


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Write both as real ones are. The model ends at its tokenizer's end, as every family's does."""
    tokenizer = processor.tokenizer
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def seeded(make: Any, config: Any) -> Any:
    """The model with the same random weights every time; the process's own random numbers go on as before."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(config)
