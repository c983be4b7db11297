"""Pictures out of files: probing and decoding, always inside a child process that may be killed.

The tagging process uses `decode.worker.DecodeChild` and nothing else of this package: the native libraries
are loaded in the child only.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import cast

from pipeline.decode.base import Decoder
from pipeline.errors import unknown_name
from pipeline.model import MediaInfo

DECODERS = {"pyav": "pipeline.decode.pyav:PyavDecoder", "decord": "pipeline.decode.decord:DecordDecoder"}
"""Name as `--decoder` takes it → where its class is. The order is the order in which `auto` asks them."""

IMAGES = "pillow"
"""What decodes stills and animated GIF, WebP, PNG, whatever decoder is asked for; no choice there."""

PROBER = "pyav"
"""What reads the packets and finds the shots of every video, whichever decoder gives the frames."""

ANIMATED = frozenset({"gif", "webp", "png", "avif"})
"""Containers of moving pictures that IMAGES decodes."""

_CLASSES = {**DECODERS, IMAGES: "pipeline.decode.image:ImageDecoder"}
_DISTRIBUTIONS = {"pyav": "av", "decord": "decord2", IMAGES: "pillow"}


def installed() -> list[str]:
    """Every decoder with its version, for example ["pyav 18.1.0", "decord 3.4.0", …]. Loads no native code."""
    return [label(name) for name in _CLASSES]


@functools.cache
def label(name: str) -> str:
    """Name and version of one decoder, as the `decoder` column shows it."""
    from importlib.metadata import version  # slow to import, and nothing for the decoder process

    return f"{name} {version(_DISTRIBUTIONS[name])}"


def is_picture(info: MediaInfo) -> bool:
    """Whether IMAGES gives the frames."""
    return info.kind == "image" or info.container in ANIMATED


def order(decoder: str, info: MediaInfo) -> list[str]:
    """Names to ask for the frames of a file, in turn: the one that is asked for; with `auto` all that are exact on it.

    decord proves by itself that it is (see there), but maps no HDR.

    Raises UsageError for an unknown name.
    """
    if decoder not in ("auto", *DECODERS):
        raise unknown_name("decoder", decoder, ["auto", *DECODERS])
    if is_picture(info):
        return [IMAGES]
    if decoder != "auto":
        return [decoder]
    return [PROBER] if info.hdr else list(DECODERS)


def load(name: str) -> Decoder:
    """The decoder itself, with its native library: for the child process."""
    module, _, attribute = _CLASSES[name].partition(":")
    return cast(Decoder, getattr(import_module(module), attribute)())
