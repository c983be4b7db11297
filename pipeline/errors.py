"""Every exception and every media error code, one sentence each.

Two kinds of trouble are kept apart. What is wrong with one media object is a `MediaError`: it carries a
code of `CODES`, becomes a row of `failures`, and never stops a run. Everything else is a `ShotlogError`: it
ends the command with its exit code and a sentence for the person who reads it.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class ShotlogError(Exception):
    """A command can't go on. The message says what was given, what is allowed and what to do next."""

    exit_code = 3


class UsageError(ShotlogError):
    """Wrong usage or settings: nothing was done, and doing it again changes nothing."""

    exit_code = 2


class StoreError(ShotlogError):
    """A bucket, folder or endpoint as a whole is out of reach (exit 3; finished work is kept).

    code: of CODES, what it means where the store is asked for one media object.
    """

    def __init__(self, message: str, code: str = "unreadable") -> None:
        super().__init__(message)
        self.code = code


class LakeError(ShotlogError):
    """The lake is missing, someone else's, newer than this shotlog, or its catalog is out of reach."""


class TaggerError(ShotlogError):
    """The tagger as a whole can't work: weights missing, server out of reach."""


class MuteError(UsageError):
    """This tagger answers no questions."""


class UnfitError(TaggerError):
    """This question can't be answered, or not in this length; another may be."""


class TooManyError(ShotlogError):
    """One caller asks for more at a time than it may have."""


class Cancelled(ShotlogError):
    """Whoever asked for it wants it no more."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Give back the KeyboardInterrupt that DuckDB turns into a RuntimeError where Ctrl-C meets a query."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise


def unknown_name(what: str, name: str, known: Iterable[str], *, hint: str = "") -> UsageError:
    """The one sentence for a name that isn't known: what it takes, and the likeliest meaning.

    >>> print(unknown_name("tagger", "bulitin", ["builtin", "null"]))
    unknown tagger 'bulitin': known are builtin, null — did you mean builtin?
    """
    names = sorted(known)
    # what all begin with (SHOTLOG_) says nothing about likeness
    shared = len(os.path.commonprefix([name, *names]))  # noqa: RUF071 (of words, not of paths)
    close = difflib.get_close_matches(name[shared:], [each[shared:] for each in names], n=1)
    guess = f" — did you mean {name[:shared]}{close[0]}?" if close else ""
    return UsageError(f"unknown {what} '{name}': known are {', '.join(names)}{guess}{' ' + hint if hint else ''}")


@dataclass(frozen=True, slots=True)
class Code:
    """What one media error code means.

    passing: the cause lies outside the bytes (store, network, credentials, deadline), so the next run tries
        again. A lasting one waits until the object, the decoder or the recipe changes, or `--retry-failed`.
    status: the tagging's status when nothing at all was answered, `failed` or `skipped` (on purpose).
    sentence: what happened. next_step: what to do about it.
    """

    sentence: str
    next_step: str
    passing: bool = False
    status: str = "failed"


CODES: dict[str, Code] = {
    # lasting: the bytes themselves
    "empty_file": Code("the object has no bytes", "upload it again"),
    "not_media": Code("the bytes are no image or video", "rename it, or --exclude it", status="skipped"),
    "no_video": Code("the file holds no picture, only sound or data", "nothing to do", status="skipped"),
    "no_frames": Code("the video stream holds no frame that can be decoded", "upload it again"),
    "truncated": Code("the file ends early", "upload it again (the views hold what could be read, if anything)"),
    "corrupt": Code(
        "parts of the file can't be decoded", "upload it again (the views hold what could be read, if anything)"
    ),
    "decoder_crashed": Code("every decoder died on this file", "upgrade the decoders, or --exclude it"),
    "decoder_unsuited": Code("the decoder asked for can't be trusted with this file", "use --decoder auto"),
    "decoder_memory": Code(
        "decoding took more memory than allowed", "raise SHOTLOG_DECODE_MEMORY_MB and use --retry-failed"
    ),
    "too_large": Code(
        "the object is larger than the limit", "raise SHOTLOG_MAX_OBJECT_MB and use --retry-failed", status="skipped"
    ),
    "too_many_pixels": Code(
        "the picture has more pixels than the limit",
        "raise SHOTLOG_MAX_MEGAPIXELS and use --retry-failed",
        status="skipped",
    ),
    "bad_name": Code("the object's name is not valid UTF-8", "rename it"),
    "tagger_refused": Code("the tagger gave no usable answer for a frame", "try another tagger, or --retry-failed"),
    "answer_invalid": Code(
        "the model's answer to a frame didn't fit the schema, nor did its second",
        "try another model, or --retry-failed",
    ),
    "answer_cut": Code("the model's answer ran into the limit", "raise SHOTLOG_ANSWER_TOKENS and use --retry-failed"),
    "answer_refused": Code("the model refused to answer", "try another model, or --retry-failed"),
    "context_too_small": Code(
        "prompt and answer don't fit in the model's context",
        "say with SHOTLOG_CONTEXT_TOKENS what it holds, or lower SHOTLOG_MAX_PIXELS or SHOTLOG_ANSWER_TOKENS",
    ),
    "address_refused": Code(
        "the URL leads to a place that may not be asked",
        "give an http(s) URL on the open internet, or let the server allow its host (SHOTLOG_FETCH_ALLOW_HOSTS)",
    ),
    "out_of_memory": Code("the GPU's memory is too small for one frame", "lower SHOTLOG_MAX_PIXELS"),
    # passing: everything around the bytes
    "not_found": Code("the object was gone when it was read", "nothing to do", passing=True),
    "access_denied": Code("reading the object was refused", "check the credentials and the policy", passing=True),
    "unreadable": Code("the store gave no complete answer", "the next run tries again", passing=True),
    "object_changed": Code("the object changed while it was read", "the next run tries again", passing=True),
    "model_timeout": Code(
        "the model server took longer than allowed",
        "the next run tries again; raise SHOTLOG_OPENAI_DEADLINE_S",
        passing=True,
    ),
    "model_busy": Code(
        "the model server had no room", "the next run tries again; lower SHOTLOG_OPENAI_IN_FLIGHT", passing=True
    ),
    "model_failed": Code(
        "the model server gave no answer", "the next run tries again; look at the server's log", passing=True
    ),
    "gpu_failed": Code(
        "the GPU couldn't run the shot detector",
        "the next run tries again; free the GPU's memory, or set SHOTLOG_DEVICE=cpu",
        passing=True,
    ),
    "decode_timeout": Code(
        "decoding took longer than allowed", "the next run tries again; raise SHOTLOG_DECODE_DEADLINE_S", passing=True
    ),
}


class MediaError(Exception):
    """What is wrong with one media object, or with some of its frames. Never stops a run.

    code: a key of CODES. detail: what was seen, for the `error` column; never a secret.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        if code not in CODES:
            raise ValueError(f"unknown media error code {code!r}")
        self.code = code
        self.detail = detail
        super().__init__(describe(code, detail))


def describe(code: str, detail: str = "") -> str:
    """The sentence in the `error` column: what happened, what was seen, what to do.

    >>> describe("truncated", "41 of 250 frames")
    'the file ends early (41 of 250 frames): upload it again (the views hold what could be read, if anything)'
    """
    known = CODES[code]
    # what a server or a library says may hold anything: halves of characters, terminal codes
    legible = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in detail)
    seen = " ".join(legible.split())[:400]
    return f"{known.sentence}{f' ({seen})' if seen else ''}: {known.next_step}"


def without_next_step(code: str, sentence: str) -> str:
    """What `describe` says, less what to do: that is for who runs shotlog, not for who asked it over HTTP.

    >>> without_next_step("truncated", describe("truncated", "41 of 250 frames"))
    'the file ends early (41 of 250 frames)'
    """
    return sentence.removesuffix(f": {CODES[code].next_step}") if code in CODES else sentence


def passing_codes() -> list[str]:
    """Codes whose media the next run tries again by itself."""
    return [code for code, known in CODES.items() if known.passing]


def kept_codes() -> list[str]:
    """Codes that leave the answered frames as good as they are: what is passing, and what a model did to one frame.

    A trouble of the bytes may have spoilt what was decoded, so after it all is looked at again.
    """
    of_models = ("answer_invalid", "answer_cut", "answer_refused", "context_too_small", "out_of_memory")
    return [*passing_codes(), *of_models, "tagger_refused"]
