"""The default tagger: an object detector and an image classifier on the CPU, nothing to download.

It counts what the detector knows (80 kinds), names what the classifier is sure of (1000), and says nothing
else: no actions ever, a scene only where the classifier recognised a place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, NoReturn, Self

import numpy as np

from pipeline.errors import UsageError
from pipeline.model import Frame, FrameTags, Label, Participant
from pipeline.settings import Settings
from pipeline.taggers import labels
from pipeline.taggers.base import Answer, Look, Question, TaggerIdentity, cannot_answer
from pipeline.taggers.engine import Prompt
from pipeline.taggers.networks import (
    CLASSIFIER_WEIGHTS,
    DETECTOR_WEIGHTS,
    SHA256,
    Classification,
    Detection,
    Networks,
    check_weights,
    require,
    weights_folder,
)
from pipeline.taggers.pool import answer_each

DETECTOR_THRESHOLD = 0.5
CLASSIFIER_THRESHOLD = 0.6

_KIND_ORDER = ("person", "animal", "object")
_PLURALS = {"person": "people", "knife": "knives", "computer mouse": "computer mice", "sheep": "sheep"}


class Builtin:
    """Looks with `threads` pairs of networks; the cores are divided among them."""

    looks = True
    summarises = False

    def __init__(self, _model: None, settings: Settings) -> None:
        """Raises ModuleNotFoundError where the extra isn't installed, UsageError for a vocabulary."""
        require("cv2", "ai_edge_litert")
        if settings.vocabulary:
            raise UsageError(
                "tagger 'builtin' has labels of its own: use a vocabulary with transformers:NAME or openai:MODEL"
            )
        self._folder = weights_folder()
        self._metadata = settings.metadata
        self._threads = settings.workers
        self._idle: SimpleQueue[Networks] = SimpleQueue()
        self._opened: ExitStack | None = None
        self.identity = TaggerIdentity(
            tagger="builtin",
            model="ssd-mobilenet-v2-coco + efficientnet-lite3",
            revision=f"{SHA256[DETECTOR_WEIGHTS][:8]}+{SHA256[CLASSIFIER_WEIGHTS][:8]}, labels {labels.VERSION}",
            thresholds=(("classifier", CLASSIFIER_THRESHOLD), ("detector", DETECTOR_THRESHOLD)),
        )

    def __enter__(self) -> Self:
        """Check the weights and load them once a thread: 0.5 s and 200 MB each. Raises TaggerError."""
        import cv2

        check_weights(self._folder)
        inner = max(1, _cores() // self._threads)
        with ExitStack() as opened:
            opened.callback(cv2.setNumThreads, cv2.getNumThreads())
            cv2.setNumThreads(inner)  # the process's, so it is put back
            self._idle = SimpleQueue()
            for _ in range(self._threads):
                self._idle.put(Networks(self._folder, threads=inner))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._opened:
            self._opened.close()
        self._opened, self._idle = None, SimpleQueue()

    def budget(self) -> None:
        return None

    def answer(self, _question: Question) -> NoReturn:
        raise cannot_answer("builtin")

    def converse(self, _prompt: Prompt) -> NoReturn:
        raise cannot_answer("builtin")

    def look(self, stream: Iterable[Look]) -> Generator[Answer]:
        """Answer frames as they finish; at most threads + 1 of the stream are held."""
        if self._opened is None:
            raise RuntimeError("the tagger isn't open: use it in a with statement")
        answers = answer_each(stream, self._answer, threads=self._threads)
        self._opened.callback(answers.close)  # a look that was left halfway ends with the tagger
        return answers

    def _answer(self, frame: Frame) -> Answer:
        networks = self._idle.get()
        started = time.perf_counter()
        try:
            image = np.ascontiguousarray(frame.image)
            detections = networks.detect(image, at_least=DETECTOR_THRESHOLD)
            whole = networks.classify(image, at_least=CLASSIFIER_THRESHOLD)
            tags = describe(detections, whole, self._metadata)
        except Exception as exc:
            detail = f"{type(exc).__name__}: {exc}"
            return Answer(frame, error_code="tagger_refused", detail=detail, model_s=time.perf_counter() - started)
        finally:
            self._idle.put(networks)
        return Answer(frame, tags, model_s=time.perf_counter() - started)


def _cores() -> int:
    """Cores this process may use; not every system can say, then all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(detections: list[Detection], whole: Classification | None, metadata: tuple[str, ...]) -> FrameTags:
    """What the two networks say together, in the metadata kinds that were asked for.

    detections: best first. whole: the classifier's answer, if it was sure.
    """
    participants = _participants(detections, whole)
    kinds = {p.label: p.kind for p in participants}
    scores = {p.label: p.score or 0.0 for p in participants}
    if whole:
        kinds.setdefault(whole.label, whole.kind)
        scores[whole.label] = max(scores.get(whole.label, 0.0), whole.score)
    categories: dict[str, float] = {}
    for label, score in scores.items():
        if category := labels.category_of(label, kinds[label]):
            categories[category] = max(categories.get(category, 0.0), score)
    place = whole if whole and whole.label in labels.SETTINGS else None
    seen: dict[str, Any] = {
        "categories": _labels(categories),
        "participants": tuple(participants),
        "scene": _labels({place.label: place.score} if place else {}),
        "tags": _labels(scores),
    }
    return FrameTags(
        caption=_caption(participants, whole),
        caption_source="template",
        **{kind: value for kind, value in seen.items() if kind in metadata},
    )


def _participants(detections: list[Detection], whole: Classification | None) -> list[Participant]:
    """Who and what is there: people, then animals, then objects, the most first.

    Where the classifier sees another animal than the detector, the classifier is right; how many there are
    it can't say. The same for an animal, or a person, that it alone sees.
    """
    seen: dict[str, list[float]] = {}
    for d in detections:
        seen.setdefault(d.label, []).append(d.score)
    uncounted: list[Participant] = []
    if whole and whole.kind != "object" and whole.common not in seen:
        if whole.kind == "animal":
            seen = {label: found for label, found in seen.items() if labels.coco_kind(label) != "animal"}
        uncounted.append(Participant(whole.common, whole.kind, None, round(whole.score, 4)))
    counted = [
        Participant(label, labels.coco_kind(label), len(found), round(max(found), 4)) for label, found in seen.items()
    ]
    return sorted(counted + uncounted, key=lambda p: (_KIND_ORDER.index(p.kind), -(p.count or 0), -(p.score or 0)))


def _labels(scores: dict[str, float]) -> tuple[Label, ...]:
    best_first = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Label(label, round(score, 4)) for label, score in best_first)


def _caption(participants: list[Participant], whole: Classification | None) -> str:
    """One sentence that claims no more than was seen.

    2 people and 1 bicycle.  ·  1 cat; looks like: egyptian cat.  ·  At least 1 lion.  ·  Nothing recognised.
    """
    parts = [_counted(p) for p in participants]
    named = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)
    also = whole.label if whole and whole.label not in {p.label for p in participants} else ""
    sentence = "; ".join(filter(None, (named, f"looks like: {also}" if also else ""))) or "nothing recognised"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _counted(participant: Participant) -> str:
    if participant.count is None:
        return f"at least 1 {participant.label}"
    return f"{participant.count} {participant.label if participant.count == 1 else _plural(participant.label)}"


def _plural(label: str) -> str:
    """The plural of a COCO label.

    >>> [_plural(label) for label in ("bus", "bench", "person", "scissors", "wine glass")]
    ['buses', 'benches', 'people', 'scissors', 'wine glasses']
    """
    if label in _PLURALS or label == "scissors":
        return _PLURALS.get(label, label)
    return f"{label}es" if label.endswith(("s", "ch", "sh", "x")) else f"{label}s"
