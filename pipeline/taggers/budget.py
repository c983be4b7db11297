"""The token budget: how many frames of a video are looked at, so that it can be summed up from all of them at once."""

from __future__ import annotations

from pipeline.errors import UsageError

CHARACTERS_A_TOKEN = 2
"""A token is two characters or more in every tokenizer of note: what a text of ours takes is guessed with it."""

TIMECODE_TOKENS = 16
"""What a caption's line takes beside the caption. `[00:01:02.500] …` and its line break are 15 tokens where every digit
is one, as with Qwen's tokenizer; others merge digits and take fewer."""


def frame_budget(
    duration_s: float,
    shots: int | None,
    maximum: int | None,
    *,
    context_tokens: int,
    prompt_tokens: int,
    caption_tokens: int,
    answer_tokens: int,
) -> int:
    """How many frames of one video are looked at: the least of what is wanted, allowed, and fits.

    wanted   one a shot where shots were looked for, else one a second; at least one
    allowed  `maximum`; None: no limit
    fits     (context_tokens − prompt_tokens − answer_tokens) ÷ (caption_tokens + TIMECODE_TOKENS), rounded down

    What fits is what the summary's prompt can hold: every caption with its timecode, beside the prompt itself
    (`prompt_tokens`, what is known of the archive included) and with room for the answer.

    Raises UsageError: not even one fits.
    """
    # 60 s, no shots, maximum 60, context 8,192, prompt 400, caption 300, answer 1,024  →  min(60, 60, 21) = 21
    fits = (context_tokens - prompt_tokens - answer_tokens) // (caption_tokens + TIMECODE_TOKENS)
    if fits < 1:
        needed = prompt_tokens + answer_tokens + caption_tokens + TIMECODE_TOKENS
        raise UsageError(
            f"the model's context of {context_tokens:,} tokens is too small for one frame: prompt, a caption, its "
            f"timecode and the answer take {prompt_tokens:,} + {caption_tokens:,} + {TIMECODE_TOKENS} + "
            f"{answer_tokens:,} = {needed:,}: "
            "lower SHOTLOG_CAPTION_TOKENS or SHOTLOG_ANSWER_TOKENS, take a model with a larger context, or set "
            "SHOTLOG_CONTEXT_TOKENS where it can hold more than it says"
        )
    wanted = max(1, round(duration_s) if shots is None else shots)
    return min(wanted, fits) if maximum is None else min(wanted, fits, maximum)
