"""A vision-language model in memory: prompts become tensors, tensors become tokens.

Imported where torch may be. Everything that depends on a model's family is here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
import transformers
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils import is_flash_attn_2_available

from pipeline.errors import TaggerError
from pipeline.taggers.checkpoint import Checkpoint
from pipeline.taggers.engine import Prompt, Turn
from pipeline.taggers.grammar import Grammars

_PLACE = "shotlog looks here"
"""Text that a chat template has to let through."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Between how many pixels a picture is brought for the model. least: None leaves that to the model."""

    least: int | None
    most: int


class Loaded:
    """Processor and model of a checkpoint on one device, in inference mode.

    lock: held by whoever generates.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: str) -> None:
        """Raises TaggerError: no vision model, unreadable, or too large for the device."""
        transformers.utils.logging.set_verbosity_error()  # the process's: nothing that it says helps an archive owner
        transformers.utils.logging.disable_progress_bar()
        self.name, self.device = checkpoint.model, device
        self.lock = Lock()
        where: dict[str, Any] = {"revision": checkpoint.commit, "trust_remote_code": False}
        self.processor = _processor(checkpoint, where)
        self.tokenizer = self.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._takes_system = _takes_system(self.processor, self.name)
        self.dtype = _dtype(dtype, device)
        self.model = _model(checkpoint, where, device=device, dtype=self.dtype)
        self.stops = _stops(self.model, self.tokenizer, self.name)
        pad = self.tokenizer.pad_token_id
        # greedy and nothing else: a model's own temperature or penalty would make answers depend on chance or length
        self.model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=list(self.stops), pad_token_id=self.stops[0] if pad is None else pad
        )
        self.grammars = Grammars(self.tokenizer, vocabulary=_vocabulary(self.model), stops=self.stops)

    def kind(self, prompt: Prompt, pixels: Pixels) -> str:
        """Prompts of one kind can share a batch: all have pictures, processed alike, or none has."""
        return repr(self._pictures([prompt], pixels)) if _shapes([prompt]) else "text"

    def prepare(self, prompts: Sequence[Prompt], pixels: Pixels) -> Any:
        """The model's inputs for prompts of one kind, padded on the left. Raises whatever the processor raises."""
        limits = self._pictures(prompts, pixels)
        return self.processor.apply_chat_template(
            [self._conversation(prompt.turns) for prompt in prompts],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=True,  # a caption or a context that says <image> is text
            processor_kwargs={"padding": True, "padding_side": "left", "images_kwargs": limits},
        )

    def generate(
        self,
        inputs: Any,
        *,
        limits: Sequence[int],
        schemas: Sequence[str | None],
        temperature: float = 0.0,
        stop: Any = None,
        streamer: Any = None,
    ) -> list[list[int]]:
        """The tokens written for each row, at most limits[row] of them, with the end token where it came to one.

        temperature: of all rows. stop: an Event that ends it early. Raises what torch raises, for all rows together.
        """
        held = self.grammars.hold(schemas)
        begin = inputs["input_ids"].shape[1]
        with self.lock, torch.inference_mode():
            written = self.model.generate(
                **inputs.to(self.device, dtype=self.dtype),
                max_new_tokens=max(limits),
                logits_processor=transformers.LogitsProcessorList([held] if held else []),
                stopping_criteria=transformers.StoppingCriteriaList([_RowLimits(begin, limits, stop)]),
                streamer=streamer,
                **({"do_sample": True, "temperature": temperature} if temperature > 0 else {}),
            )
        rows = written[:, begin:].tolist()
        return [_until_end(row[:limit], self.stops) for row, limit in zip(rows, limits, strict=True)]

    def decode(self, tokens: list[int]) -> str:
        """Tokens as text, without the special ones."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _conversation(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        messages = [{"role": turn.role, "content": [_part(part) for part in turn.parts]} for turn in turns]
        return messages if self._takes_system else _without_system(messages)

    def _pictures(self, prompts: Sequence[Prompt], pixels: Pixels) -> dict[str, Any]:
        longest = max((max(shape) for shape in _shapes(prompts)), default=0)
        return picture_limits(self.processor.image_processor, pixels, longest=longest)


def picture_limits(image_processor: Any, pixels: Pixels, *, longest: int) -> dict[str, Any]:
    """What a processor must be told so that a picture costs no more than `pixels` says.

    longest: the longest side among the pictures. Empty for processors with one fixed size (LLaVA), and for those that
    know no limit: they get pictures that are within it already.

    Qwen family, most=1_003_520          →  {"size": {"shortest_edge": 3136, "longest_edge": 1003520}}
    SmolVLM, tiles of 512, most=1_003_520  →  {"size": {"longest_edge": 512}, "do_image_splitting": False}
    """
    known = getattr(getattr(image_processor, "valid_kwargs", None), "__annotations__", {})
    size = image_processor.size
    if "max_pixels" in known and size.shortest_edge and size.longest_edge:  # its edges are areas
        least = size.shortest_edge if pixels.least is None else pixels.least
        return {"size": {"shortest_edge": min(least, pixels.most), "longest_edge": pixels.most}}
    if "max_image_size" in known and size.longest_edge:
        # It enlarges every picture to `longest_edge` and cuts that into tiles, at worst a square of them.
        tile = image_processor.max_image_size["longest_edge"]
        least_side = math.sqrt(pixels.least or 0)
        wanted = math.ceil(max(longest, least_side) / tile)
        tiles = max(1, min(size.longest_edge // tile, int(math.sqrt(pixels.most)) // tile, wanted))
        return {"size": {"longest_edge": tiles * tile}, "do_image_splitting": tiles > 1}
    return {}


class _RowLimits:
    """A stopping criterion of transformers: each row ends at a limit of its own, all of them when told to stop."""

    def __init__(self, begin: int, limits: Sequence[int], stop: Any) -> None:
        self._begin, self._limits, self._stop = begin, list(limits), stop

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002
        if self._stop is not None and self._stop.is_set():
            return torch.ones(len(self._limits), dtype=torch.bool, device=input_ids.device)
        written = input_ids.shape[1] - self._begin
        return torch.tensor([written >= limit for limit in self._limits], device=input_ids.device)


def _shapes(prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    return [
        part.shape[:2]
        for prompt in prompts
        for turn in prompt.turns
        for part in turn.parts
        if not isinstance(part, str)
    ]


def _part(part: Any) -> dict[str, Any]:
    return (
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": Image.fromarray(part)}
    )


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the system's words at the head of the first other turn, for templates that know no system."""
    words = [part for message in messages if message["role"] == "system" for part in message["content"]]
    rest = [message for message in messages if message["role"] != "system"]
    if not words or not rest:
        return rest
    breaks = [{"type": "text", "text": f"{part['text']}\n\n"} for part in words]
    return [rest[0] | {"content": breaks + rest[0]["content"]}, *rest[1:]]


def _until_end(row: list[int], stops: Sequence[int]) -> list[int]:
    end = next((place for place, token in enumerate(row) if token in stops), None)
    return row if end is None else row[: end + 1]


def _dtype(wanted: str, device: str) -> torch.dtype:
    automatic = "float32" if device == "cpu" else "bfloat16"
    return getattr(torch, automatic if wanted == "auto" else wanted)


def _processor(checkpoint: Checkpoint, where: dict[str, Any]) -> Any:
    name, model_type = checkpoint.model, checkpoint.model_type
    try:
        config = AutoConfig.from_pretrained(checkpoint.source, **where)
    except (OSError, ValueError, KeyError) as error:
        raise TaggerError(
            f"model {name} (model_type {model_type}) can't be loaded by transformers {transformers.__version__}: "
            f"{_first_line(error)}. Try a newer transformers; a model that brings its own code isn't run"
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise _no_vision(checkpoint)
    try:
        processor = AutoProcessor.from_pretrained(checkpoint.source, **where)
    except ImportError as error:
        raise TaggerError(
            f"the processor of model {name} needs a package that isn't installed: {_first_line(error)}. "
            "Try: pip install 'shotlog[transformers]'"
        ) from error
    except Exception as error:
        raise TaggerError(f"the processor of model {name} can't be loaded: {_first_line(error)}") from error
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise _no_vision(checkpoint)
    return processor


def _no_vision(checkpoint: Checkpoint) -> TaggerError:
    return TaggerError(
        f"model {checkpoint.model} (model_type {checkpoint.model_type}) can't look at pictures: "
        "name an image-text-to-text model, as Qwen/Qwen2-VL-2B-Instruct"
    )


def _takes_system(processor: Any, name: str) -> bool:
    """Whether the chat template knows a system turn. Raises TaggerError where it has no place for text and pictures."""
    text = {"type": "text", "text": _PLACE}
    user = {"role": "user", "content": [{"type": "image"}, text]}

    def rendered(*messages: dict[str, Any]) -> str:
        try:
            return str(processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        except Exception:  # templates raise what they like
            return ""

    alone = rendered(user)
    if _PLACE not in alone or alone == rendered(user | {"content": [text]}):
        raise TaggerError(
            f"model {name} has no chat template that takes pictures and text: use its instruction-tuned version"
        )
    return rendered({"role": "system", "content": [text]}, user).count(_PLACE) == 2


def _model(checkpoint: Checkpoint, where: dict[str, Any], *, device: str, dtype: torch.dtype) -> Any:
    name = checkpoint.model
    flash = device != "cpu" and dtype is not torch.float32 and is_flash_attn_2_available()
    where = where | (
        {"attn_implementation": "flash_attention_2"} if flash else {}
    )  # else sdpa, transformers' own choice
    try:
        loader: Any = AutoModelForImageTextToText
        model, report = loader.from_pretrained(checkpoint.source, dtype=dtype, output_loading_info=True, **where)
        model = model.to(device)
    except torch.OutOfMemoryError as error:
        raise TaggerError(
            f"model {name} doesn't fit in the memory of {device}: choose a smaller one, or free the GPU"
        ) from error
    except Exception as error:
        raise TaggerError(f"the weights of model {name} can't be loaded: {_first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise TaggerError(
            f"the weights of model {name} aren't complete: {len(missing)} tensors are missing ({missing[0]}, …), and "
            "random ones would answer for them. Fetch the model again"
        )
    return model.eval()


def _stops(model: Any, tokenizer: Any, name: str) -> list[int]:
    """Tokens at which an answer ends: the model's, and the end of its tokenizer."""
    own = model.generation_config.eos_token_id
    found = [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id]
    stops = list(dict.fromkeys(token for token in found if token is not None))
    if not stops:
        raise TaggerError(f"model {name} names no token that ends an answer: use its instruction-tuned version")
    return stops


def _vocabulary(model: Any) -> int:
    output = model.get_output_embeddings()
    return int(output.weight.shape[0] if output is not None else model.config.get_text_config().vocab_size)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
