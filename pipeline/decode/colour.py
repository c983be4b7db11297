"""How decoded frames become RGB pictures for a screen: HDR is brought to the brightness and colours of SDR.

An HDR picture is taken to be mastered for a screen of 1,000 cd/m², and what lies above is white. Up to about a
tenth of that it keeps its brightness; highlights are pressed together, so that clouds and faces in the sun stay
distinct, where cutting at reference white would leave one white patch.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

Hdr = Literal["pq", "hlg"]

PEAK_NITS = 1000.0
"""The screen on which HDR was mastered: the nominal peak of ITU-R BT.2100 for HLG, and what is usual in PQ."""

WHITE_NITS = 203.0
"""Reference white of HDR (ITU-R BT.2408, table 1), which becomes the white that SDR can show."""

_CODES = 1 << 12  # HDR has 10 or 12 bits
_LEVELS = 1 << 16  # of linear light: fewer would show as steps in the shadows
_ROWS = 64  # turned at a time: floats of a whole 8K frame would take a gigabyte

# Report ITU-R BT.2407: linear BT.2020 to linear BT.709. What lies outside is clipped.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)  # ITU-R BT.2020, table 4

_UNSAID = 2  # matrix coefficients of ITU-T H.273, table 4
_NAMES: dict[int, Hdr] = {ColorTrc.SMPTE2084: "pq", ColorTrc.ARIB_STD_B67: "hlg"}


def hdr(frame: VideoFrame) -> Hdr | None:
    """Which of the two HDR transfer functions the frame is coded with; None for SDR and where nothing is said."""
    return _NAMES.get(frame.color_trc)


def rgb(frame: VideoFrame) -> np.ndarray:
    """The frame as uint8 (height, width, 3). SDR is what swscale makes of it; HDR comes as BT.709.

    Rows may lie apart in memory, as swscale has them.
    """
    name = hdr(frame)
    if name is None:
        plane = frame.reformat(format="rgb24").planes[0]
        strides = (plane.line_size, 3, 1)
        return np.ndarray((frame.height, frame.width, 3), np.uint8, buffer=memoryview(plane), strides=strides)
    # Where the file doesn't say which matrix made YUV of its RGB, HDR means BT.2020; swscale would take BT.601.
    matrix = Colorspace.BT2020 if frame.colorspace == _UNSAID else None
    coded = frame.to_ndarray(format="rgb48le", src_colorspace=matrix)
    wide = frame.color_primaries in (ColorPrimaries.BT2020, ColorPrimaries.UNSPECIFIED)
    out = np.empty(coded.shape, np.uint8)
    for top in range(0, len(coded), _ROWS):
        out[top : top + _ROWS] = _sdr(coded[top : top + _ROWS], name, wide)
    return out


def _sdr(coded: np.ndarray, name: Hdr, wide: bool) -> np.ndarray:
    """16-bit R'G'B' of HDR → 8-bit R'G'B' of SDR. wide: whether its primaries are those of BT.2020."""
    light = _light(name)[coded >> 4]
    if name == "hlg":  # the OOTF of BT.2100 makes the light of a screen from that of the scene; gamma 1.2 at 1,000 nits
        light *= (light @ _BT2020_LUMINANCE)[..., np.newaxis] ** np.float32(0.2)
    light = _toned()[_level(light)]
    if wide:
        light = light @ _TO_BT709.T
    return _shown()[_level(light)]


def _level(light: np.ndarray) -> np.ndarray:
    """Index into a table of _LEVELS entries."""
    return (np.clip(light, 0, 1) * (_LEVELS - 1) + 0.5).astype(np.uint16)


@functools.cache
def _light(name: Hdr) -> np.ndarray:
    """Code → linear light by PEAK_NITS, float32 0–1: of the screen for PQ, of the scene for HLG."""
    code = np.arange(_CODES) / (_CODES - 1)
    light = np.minimum(_pq_nits(code) / PEAK_NITS, 1) if name == "pq" else _hlg_scene(code)
    return light.astype(np.float32)


@functools.cache
def _toned() -> np.ndarray:
    """Light of HDR by PEAK_NITS → light of SDR by WHITE_NITS, both linear.

    The EETF of Report ITU-R BT.2408, annex 5 (earlier in BT.2390): below the knee nothing changes, above it a
    Hermite spline in PQ brings the peak to white.
    """
    peak = _pq_code(PEAK_NITS)
    code = _pq_code(np.arange(_LEVELS) / (_LEVELS - 1) * PEAK_NITS) / peak
    white = _pq_code(WHITE_NITS) / peak
    knee = 1.5 * white - 0.5
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return (_pq_nits(np.where(code < knee, code, spline) * peak) / WHITE_NITS).astype(np.float32)


@functools.cache
def _shown() -> np.ndarray:
    """Linear light of SDR → 8-bit code, for a screen of gamma 2.4 (ITU-R BT.1886)."""
    return np.round(255 * (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / 2.4)).astype(np.uint8)


# PQ: SMPTE ST 2084 and ITU-R BT.2100, table 4.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_NITS = 10_000.0


def _pq_nits(code: np.ndarray) -> np.ndarray:
    """PQ code 0–1 → light in cd/m²."""
    root = np.asarray(code) ** (1 / _M2)
    return _PQ_NITS * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _pq_code(nits: np.ndarray | float) -> np.ndarray:
    """Light in cd/m² → PQ code 0–1."""
    power = (np.asarray(nits) / _PQ_NITS) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _hlg_scene(code: np.ndarray) -> np.ndarray:
    """HLG code 0–1 → light of the scene 0–1: the inverse OETF of ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
