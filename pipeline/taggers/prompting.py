"""What a model is asked, from the text files of `prompts/` or a folder of one's own. Pure: texts in, text out.

A file's first line is its version. `{caption}` and the like stand for what is filled in, all in one pass, so braces in
a prompt (JSON) or in what is filled in mean nothing. A paragraph with {context} is left out where there is none, and so
is the line `- KIND: …` of a metadata kind that isn't asked for.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pipeline.errors import UsageError, unknown_name
from pipeline.model import timecode
from pipeline.recipe import METADATA_KINDS
from pipeline.taggers.base import Film
from pipeline.taggers.vocabulary import Vocabulary

NEEDED = {
    "frame": ("caption",),
    "caption": (),
    "summary": ("captions",),
    "answer": (),
    "repair": ("reason",),
}
"""Prompt → placeholders that it can't do without."""

MAX_BYTES = 20_000
CONTEXT_CHARACTERS = 2000
LISTED_LABELS = 60
"""A vocabulary's table with more labels isn't listed in the prompt: the schema alone holds them."""

_DECIDING = ("frame", "caption", "summary", "repair")
_JOINERS = "\u200c\u200d"
"""Invisible, and yet part of words (Persian, Hindi) and emoji."""


@dataclass(frozen=True, slots=True)
class _Text:
    version: str
    body: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """The five prompts. Made by `load_prompts`."""

    texts: Mapping[str, _Text]

    @property
    def version(self) -> str:
        """Of what decides a tagging, for the recipe: `frame 1, caption 1, …`, one's own as `frame sha256:1a2b3c4d`."""
        return ", ".join(f"{name} {self.texts[name].version}" for name in _DECIDING)

    def frame(self, kinds: Sequence[str], *, caption_tokens: int, vocabulary: Vocabulary | None, context: str) -> str:
        """What is asked beside one picture. Raises UsageError where a prompt of one's own says nothing of a kind."""
        # a token is about three quarters of an English word; some are left for a model that miscounts
        caption = _filled(self.texts["caption"].body, words=str(max(10, caption_tokens * 2 // 3)))
        lines, told = [], set()
        for line in self._body("frame", context).split("\n"):
            kind = next((kind for kind in METADATA_KINDS if line.startswith(f"- {kind}:")), None)
            if kind is None or kind in kinds:
                lines.append(_filled(line, caption=caption, context=as_data(context)) + _labels(kind, vocabulary))
                told.add(kind)
        for kind in METADATA_KINDS:
            if kind in kinds and kind not in told:
                raise UsageError(
                    f"the prompt frame.txt has no line '- {kind}: …', and {kind} is asked for: add the line, or leave "
                    f"{kind} out of --metadata"
                )
        return "\n".join(lines)

    def summary(self, film: Film, captions: Sequence[tuple[str, str]]) -> str:
        """What is asked of a whole video. captions: (timecode, text), ascending in time."""
        lines = [f"[{moment}] {one_line(text)}" for moment, text in captions]
        return _filled(
            self._body("summary", film.context),
            captions="\n".join(("<captions>", *lines, "</captions>")),
            context=as_data(film.context),
            duration=timecode(film.duration_s),
        )

    def answer(self) -> str:
        """What a model is told before a person's question."""
        return self.texts["answer"].body

    def repair(self, reason: str) -> str:
        """What is said after an answer that wasn't one. reason: an AnswerError's."""
        return _filled(self.texts["repair"].body, reason=one_line(reason)[:300].rstrip("."))

    def _body(self, name: str, context: str) -> str:
        """A prompt with or without its paragraph about the context."""
        body = self.texts[name].body
        if as_data(context):
            return body if "{context}" in body else f"{{context}}\n\n{body}"
        return _without_context(body)


def load_prompts(folder: Path | None) -> Prompts:
    """shotlog's prompts, replaced by those of the folder. Raises UsageError where it or one of them can't be used."""
    shipped = resources.files("pipeline.taggers").joinpath("prompts")
    texts = {name: _shipped(shipped.joinpath(f"{name}.txt").read_text("utf-8")) for name in NEEDED}
    return Prompts(texts | (_own(folder) if folder else {}))


def as_data(text: str) -> str:
    """A text between marks that it can't close itself, for a model to read as data; '' where there is nothing in it.

    At most 2,000 characters. No control characters, and no angle brackets: many models' own marks are made of them.
    """
    cleaned = _harmless(text[: CONTEXT_CHARACTERS * 4]).strip()[:CONTEXT_CHARACTERS].rstrip()
    return f"<context>\n{cleaned}\n</context>" if cleaned else ""


def one_line(text: str) -> str:
    """A name, or another short text, as it may stand in a prompt."""
    return " ".join(_harmless(text).split())


def _harmless(text: str) -> str:
    text = re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", text).replace("\t", " ")
    text = text.replace("<", "‹").replace(">", "›")
    return "".join(c for c in text if c == "\n" or c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _without_context(body: str) -> str:
    return "\n\n".join(part for part in re.split(r"\n{2,}", body) if "{context}" not in part)


def _filled(body: str, **values: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), body)


def _labels(kind: str | None, vocabulary: Vocabulary | None) -> str:
    labels = vocabulary.labels(kind) if kind and vocabulary else None
    return f"; only of: {', '.join(map(_harmless, labels))}" if labels and len(labels) <= LISTED_LABELS else ""


def _shipped(text: str) -> _Text:
    first, _, body = text.partition("\n")
    return _Text(first.removeprefix("version:").strip(), body.strip())


def _own(folder: Path) -> dict[str, _Text]:
    names = [f"{name}.txt" for name in NEEDED]
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".txt")
    except OSError as error:
        raise UsageError(
            f"the folder of prompts {folder} can't be read ({error.strerror}): check --prompts, or leave it out"
        ) from error
    for path in found:
        if path.name not in names:
            raise unknown_name("prompt", path.name, names, hint=f"(in {folder})")
    if not found:
        raise UsageError(f"the folder of prompts {folder} has none: put some of {', '.join(names)} there")
    return {path.stem: _read(path) for path in found}


def _read(path: Path) -> _Text:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the prompt {path} can't be read ({error.strerror}): check its permissions") from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"the prompt {path} is larger than {MAX_BYTES:,} bytes: shorten it, every frame pays for it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt {path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    body = re.sub(r"\Aversion:.*\n?", "", re.sub(r"[ \t\r]+$", "", text, flags=re.MULTILINE)).strip()
    if not body:
        raise UsageError(f"the prompt {path} is empty: write one, or delete the file to use shotlog's")
    _check(path, body)
    return _Text(f"sha256:{hashlib.sha256(body.encode()).hexdigest()[:8]}", body)


def _check(path: Path, body: str) -> None:
    alone = _without_context(body)
    for placeholder in NEEDED[path.stem]:
        if f"{{{placeholder}}}" not in body:
            raise UsageError(f"the prompt {path} lacks {{{placeholder}}}: write it where that is to stand")
        if f"{{{placeholder}}}" not in alone:
            raise UsageError(
                f"the prompt {path} has {{context}} and {{{placeholder}}} in one paragraph, which is left out where "
                "there is no context: put blank lines around the part about {context}"
            )
