"""SmolVLM: every picture is cut into tiles of one size, and shown once more as a whole."""

from __future__ import annotations

from pathlib import Path

from tests.models.tokens import TEXT_SIZES, byte_tokenizer, save, seeded

TILE = 56
TILES_A_SIDE = 4
TOKENS_A_TILE = 4

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def tiny_smolvlm(folder: Path) -> Path:
    """Save one into the folder: up to 4×4 tiles and the whole, four tokens and two or three marks each."""
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokenizer = byte_tokenizer(SPECIAL, pad="<|im_start|>", begin="<|im_start|>", end="<end_of_utterance>")
    sizes = {"size": {"longest_edge": TILE * TILES_A_SIDE}, "max_image_size": {"longest_edge": TILE}}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        tokenizer,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=TOKENS_A_TILE,
        chat_template=TEMPLATE,
    )
    config = SmolVLMConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": TILE,
            "patch_size": 14,
        },
        text_config=TEXT_SIZES
        | {
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "bos_token_id": 1,
            "eos_token_id": SPECIAL.index("<end_of_utterance>"),
            "pad_token_id": 1,
        },
        image_token_id=SPECIAL.index("<image>"),
        scale_factor=2,
    )
    return save(folder, seeded(SmolVLMForConditionalGeneration, config), processor)
