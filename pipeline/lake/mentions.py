"""Where texts that a lake keeps (JSON, sentences) name media that are to be forgotten, and what they say without."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.uris import media_id

FORGOTTEN = "(forgotten)"

_NAME = r"[\w/~%+=@#&$]"
_GOES_ON = rf"[.-]*{_NAME}"
"""What follows a URI in a sentence where that isn't all of the name: `a.mp4` isn't `a.mp4.old.mp4`."""

_IS_URI = re.compile(r"(?:/|\w+://|data:)\S*|(?:/|s3://).*(?:/|\.\w{1,5})", re.DOTALL)
"""Of a whole string. With spaces only where it ends as a file or a folder does: `/in/1 copy.png` is one, but not
`/in/1.png takes too long`."""

_SENTENCES = ("error", "sentence")
"""Under these keys no string is a URI: one that begins with a URI may end in a number, as `a budget of 0.5`."""


class Mentions:
    """media: media_id → URI, or None where others are called so, too, who keep the name."""

    def __init__(self, media: Mapping[str, str | None]) -> None:
        self.ids = list(media)
        self.uris = [uri for uri in media.values() if uri]
        self._known = {*self.ids, *self.uris}
        self._ids, self._uris = _any_of(self.ids), _any_of(self.uris)
        self._in_sentences = re.compile(rf"(?<!{_NAME})(?<![.-])(?:{self._uris})(?!{_GOES_ON})|{self._ids}")
        self._in_uris = re.compile(self._ids)

    @property
    def spelled(self) -> list[str]:
        """As they are written inside JSON, whether it escapes what isn't ASCII or not: a text without any of these
        names none of them. A URL without its scheme, behind which a user may stand."""
        texts = (*self.ids, *(re.sub("^https?://", "", uri) for uri in self.uris))
        return sorted({json.dumps(text, ensure_ascii=escaped)[1:-1] for text in texts for escaped in (True, False)})

    def are_in(self, text: str) -> bool:
        """Whether a text names any of them."""
        return self.left_of(text) != text

    def left_of(self, text: str) -> str:
        """JSON, or a sentence where it isn't JSON, with FORGOTTEN in their place."""
        try:
            document = json.loads(text)
        except ValueError:
            return self._in_sentences.sub(FORGOTTEN, text)
        left = self._left_of(document)
        return text if left == document else json.dumps(left)

    def _left_of(self, item: Any, key: str = "") -> Any:
        if isinstance(item, dict):
            return {self._left_of(name): self._left_of(value, name) for name, value in item.items()}
        if isinstance(item, list):
            return [self._left_of(each) for each in item]
        if not isinstance(item, str):
            return item
        if item in self._known:
            return FORGOTTEN
        if key in _SENTENCES or not _IS_URI.fullmatch(item):
            return self._in_sentences.sub(FORGOTTEN, item)
        return FORGOTTEN if self._is_one(item) else self._in_uris.sub(FORGOTTEN, item)

    def _is_one(self, uri: str) -> bool:
        """As a caller of the API may write it: with a user, a signature, a query that isn't kept."""
        try:
            return media_id(uri) in self._known
        except ValueError:  # whatever begins as a URL does
            return False


def _any_of(texts: list[str]) -> str:
    """A pattern of these texts, the longest first; where there are none, one that nothing matches."""
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or "(?!)"
