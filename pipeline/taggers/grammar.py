"""JSON held to its schema while it is written: of every next token only those that can go on to a valid answer.

By xgrammar. Imported where torch may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import xgrammar


class Grammars:
    """The grammars of one tokenizer, each compiled once.

    vocabulary: width of the model's logits, which may be more than the tokenizer's tokens. stops: tokens that end an
    answer.
    """

    def __init__(self, tokenizer: Any, *, vocabulary: int, stops: Sequence[int]) -> None:
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=list(stops))
        # xgrammar's own cache raises on long patterns
        compiler = xgrammar.GrammarCompiler(info, cache_enabled=False)
        self._vocabulary = vocabulary
        self._compiled = lru_cache(32)(lambda schema: compiler.compile_json_schema(schema, any_whitespace=False))

    def hold(self, schemas: Sequence[str | None]) -> Hold | None:
        """What keeps the rows of one batch to their schemas (None: that row is free); None where all are free."""
        if not any(schemas):
            return None
        grammars = [self._compiled(schema) if schema else None for schema in schemas]
        return Hold(grammars, self._vocabulary)


class Hold:
    """A logits processor of transformers, for one batch and one call of generate.

    xgrammar's own stops the process where a row ends before its grammar does; here rows have limits of their own.
    """

    def __init__(self, grammars: Sequence[Any], vocabulary: int) -> None:
        self._matchers = [xgrammar.GrammarMatcher(grammar) if grammar else None for grammar in grammars]
        self._mask = xgrammar.allocate_token_bitmask(len(grammars), vocabulary)
        self._begun = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """input_ids: (rows, tokens so far). scores: float (rows, vocabulary), changed in place."""
        last = input_ids[:, -1].tolist() if self._begun else []
        for row, token in enumerate(last):
            matcher = self._matchers[row]
            # a token that doesn't fit is the padding behind a row that ran into its limit
            if matcher and (matcher.is_terminated() or not matcher.accept_token(token)):
                self._matchers[row] = None
        self._begun = True
        xgrammar.reset_token_bitmask(self._mask)
        for row, matcher in enumerate(self._matchers):
            if matcher and not matcher.is_terminated():
                matcher.fill_next_token_bitmask(self._mask, row)
        xgrammar.apply_token_bitmask_inplace(scores, self._mask.to(scores.device))
        return scores
