"""Qwen2-VL and its successors Qwen2.5-VL and Qwen3-VL: pictures of any size, a token for 28×28 (32×32) pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.models.tokens import TEXT_SIZES, byte_tokenizer, save, seeded

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_IDS = {
    "image_token_id": SPECIAL.index("<|image_pad|>"),
    "video_token_id": SPECIAL.index("<|video_pad|>"),
    "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
    "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
}


def tiny_qwen2_vl(folder: Path) -> Path:
    """Save a Qwen2-VL into the folder: as there, a token of a picture stands for 28×28 pixels."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    processor = Qwen2VLProcessor(Qwen2VLImageProcessor(), _tokenizer(), Qwen2VLVideoProcessor(), chat_template=TEMPLATE)
    config = Qwen2VLConfig(
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
        text_config=_text(rope_parameters={"rope_type": "default", "mrope_section": [4, 6, 6]}),
        **_IDS,
    )
    return save(folder, seeded(Qwen2VLForConditionalGeneration, config), processor)


def tiny_qwen2_5_vl(folder: Path) -> Path:
    """Save a Qwen2.5-VL into the folder: one layer of its vision tower looks in windows, one at the whole."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), _tokenizer(), Qwen2VLVideoProcessor(), chat_template=TEMPLATE
    )
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        text_config=_text(rope_parameters={"rope_type": "default", "mrope_section": [4, 6, 6]}),
        **_IDS,
    )
    return save(folder, seeded(Qwen2_5_VLForConditionalGeneration, config), processor)


def tiny_qwen3_vl(folder: Path) -> Path:
    """Save a Qwen3-VL into the folder: patches of 16 pixels, so a token stands for 32×32."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    pictures = Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 65_536, "longest_edge": 16_777_216})
    processor = Qwen3VLProcessor(pictures, _tokenizer(), Qwen3VLVideoProcessor(), chat_template=TEMPLATE)
    config = Qwen3VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        text_config=_text(
            head_dim=32, rope_parameters={"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True}
        ),
        **_IDS,
    )
    return save(folder, seeded(Qwen3VLForConditionalGeneration, config), processor)


def _tokenizer() -> Any:
    return byte_tokenizer(SPECIAL, pad="<|endoftext|>", end="<|im_end|>")


def _text(**more: Any) -> dict[str, Any]:
    return (
        TEXT_SIZES | {"vocab_size": len(_tokenizer()), "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0} | more
    )
