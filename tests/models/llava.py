"""LLaVA: a CLIP vision tower of 56-pixel pictures and a Llama."""

from __future__ import annotations

from pathlib import Path

from tests.models.tokens import TEXT_SIZES, byte_tokenizer, save, seeded

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

SIDE = 56


def tiny_llava(folder: Path) -> Path:
    """Save one into the folder: 320,000 weights, 16 tokens a picture whatever its size."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    special = ["<pad>", "<s>", "</s>", "<image>"]
    tokenizer = byte_tokenizer(special, pad="<pad>", begin="<s>", end="</s>", image_token="<image>")
    square = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size=square, crop_size=square),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            **TEXT_SIZES, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=0
        ),
        image_token_index=3,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    return save(folder, seeded(LlavaForConditionalGeneration, config), processor)
