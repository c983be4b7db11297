"""Films that say more than their pictures: subtitles, languages, a tape's timecode, HDR.

They aren't registered with `media`: what every decoder does with every file is tried on plainer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet

from tests.media.videos import HEIGHT, RATE, WIDTH, X264, _silence, picture

SAID = {
    "eng": ((0.5, 1.25, r"Look, a {\i1}bicycle{\i0}!"), (1.5, 2.0, r"Where?\NOver there.")),
    "ger": ((0.5, 1.25, "Schau, ein Fahrrad!"), (1.5, 2.0, "Wo? — Da drüben.")),
}
"""Language → (start_s, end_s, ASS text) of each line."""

_STYLES = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""Without a header of this form libavcodec's encoders of subtitles don't open."""

VP9 = {"g": "12", "deadline": "realtime", "cpu-used": "8"}


def film(
    path: Path,
    *,
    subtitles: str = "subrip",
    said: dict[str | None, Sequence[tuple[float, float, str]]] | None = None,
    sound: Sequence[str | None] = (),
    codec: str = "libx264",
    first_s: int = 0,
    metadata: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write two seconds of film, with a subtitle track for each language of `said` (default: none) and sound tracks.

    subtitles: codec of the former. A language None isn't written. first_s: seconds added to all times.
    """
    with av.open(str(path), "w", format=format) as out:
        out.metadata.update(metadata or {})
        video = out.add_stream(codec, rate=RATE, options=X264 if codec == "libx264" else VP9)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = [_track(out, "aac", language, rate=48_000) for language in sound]
        texts = [(_track(out, subtitles, language), lines) for language, lines in (said or {}).items()]
        packets = [packet for track in audio for packet in _silence(track, first_s, first_s + 2)]
        for track, lines in texts:
            track.codec_context.subtitle_header = _STYLES
            packets += [_line(track, start_s + first_s, end_s + first_s, text) for start_s, end_s, text in lines]
        for i in range(2 * RATE):
            frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
            frame.pts, frame.time_base = i + first_s * RATE, Fraction(1, RATE)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _track(out: av.container.OutputContainer, codec: str, language: str | None, **options: Any) -> Any:
    track = out.add_stream(codec, **options)
    if language is not None:
        track.metadata["language"] = language
    return track


def _line(track: Any, start_s: float, end_s: float, text: str) -> av.Packet:
    ms = [round(start_s * 1000), round((end_s - start_s) * 1000)]
    packet = track.codec_context.encode_subtitle(SubtitleSet.create(f"0,0,Default,,0,0,0,,{text}".encode(), 0, ms[1]))
    packet.stream, packet.time_base = track, Fraction(1, 1000)
    packet.pts, packet.dts, packet.duration = ms[0], ms[0], ms[1]
    return packet


# ── HDR ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

PATCH = 32
"""Side of each of the grey or coloured squares of an HDR frame, in pixels."""

TRC = {"pq": 16, "hlg": 18, "sdr": 14}  # ITU-T H.273, table 3
BT2020 = 9  # its tables 2 and 4


def hdr_frame(light: Sequence[Sequence[float]], transfer: str, *, primaries: int = BT2020) -> av.VideoFrame:
    """A 10-bit frame of squares side by side, each of one light: (R, G, B) in cd/m² of linear BT.2020.

    Made with exact formulas and no table; a square that HLG can't show (over 1,000 cd/m²) is white.
    """
    lights = np.array(light, float)
    codes = _pq(lights) if transfer == "pq" else _hlg(lights)
    red, green, blue = codes.T
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue  # ITU-R BT.2020, table 4
    planes = (64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746)
    frame = av.VideoFrame(PATCH * len(lights), PATCH, "yuv420p10le")
    for plane, values, side in zip(frame.planes, planes, (PATCH, PATCH // 2, PATCH // 2), strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
        rows[:, : side * len(lights)] = np.round(values).repeat(side)
        plane.update(rows.tobytes())
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = TRC[transfer], primaries, BT2020, 1
    return frame


def _pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, table 5, for a screen of 1,000 cd/m²: the inverse OOTF, then the OETF."""
    shown = np.minimum(nits / 1000, 1)
    luminance = (shown @ [0.2627, 0.6780, 0.0593])[:, np.newaxis]
    scene = shown * np.maximum(luminance, 1e-9) ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(12 * scene.clip(1 / 12) - 0.28466892) + 0.55991073
    )


def hdr_film(path: Path, light: Sequence[Sequence[float]], transfer: str) -> Path:
    """Write such a frame as HEVC, twelve times over."""
    frame = hdr_frame(light, transfer)
    x265 = f"log-level=none:colorprim=bt2020:colormatrix=bt2020nc:range=limited:transfer={TRC[transfer]}"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx265", rate=RATE, options={"preset": "ultrafast", "crf": "4", "x265-params": x265})
        video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv420p10le"
        context = video.codec_context
        context.color_trc, context.color_primaries, context.colorspace = TRC[transfer], BT2020, BT2020
        for i in range(12):
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path
