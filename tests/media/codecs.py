"""Healthy videos, each showing one way in which a codec makes pictures from other pictures.

`CODECS` have two seconds, for everything that is tried on all files. `LONG` have so many groups of pictures that
a decoder may leave out most of what nobody asked for. Not there, for no encoder in PyAV's FFmpeg writes it: H.264
and MPEG-2 in single fields (x264 codes interlaced pictures as MBAFF, FFmpeg's MPEG-2 encoder as whole frames),
Theora, VC-1 and WMV3, RV30 and RV40.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.media import made
from tests.media.videos import RATE, X264, encode


def _x264(params: str) -> dict[str, Any]:
    return {"options": {"preset": "veryfast", "crf": "20", "x264-params": params}}


def _x265(params: str) -> dict[str, Any]:
    options = {"preset": "ultrafast", "x265-params": f"{params}:rc-lookahead=16:log-level=none"}
    return {"codec": "libx265", "options": options}


def _codec(name: str, **options: str) -> dict[str, Any]:
    return {"codec": name, "options": options}


_VP9 = {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5", "b": "200k"}
_VP8 = {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5", "b": "150k", "deadline": "good"}
_FIELDS = {"flags": "+ildct+ilme"}

CODECS: dict[str, dict[str, Any]] = {
    # H.264
    "open_gop.mp4": {"options": {**X264, "x264-params": "open-gop=1:keyint=12"}},  # B-frames look across keyframes
    "pyramid.mp4": _x264("keyint=24:bframes=8:b-pyramid=normal:b-adapt=0:ref=6"),  # B-frames made from B-frames
    "pyramid_strict.mkv": _x264("keyint=24:bframes=8:b-pyramid=strict:b-adapt=0:ref=4"),
    "open_pyramid.ts": _x264("keyint=12:open-gop=1:bframes=5:b-pyramid=normal:b-adapt=0") | {"format": "mpegts"},
    "weighted.mp4": _x264("keyint=24:bframes=3:weightb=1:weightp=2"),
    "references.mp4": _x264("keyint=48:bframes=3:ref=16:b-adapt=0"),
    "slices.mp4": _x264("keyint=12:bframes=3:slices=4"),
    "interlaced.mp4": _x264("keyint=12:bframes=3:tff=1") | {"interlaced": True},
    "one_key.mp4": _x264("keyint=infinite:bframes=3:scenecut=0"),
    "all_keys.mp4": _x264("keyint=1"),
    "refresh.mp4": _x264("keyint=12:intra-refresh=1:bframes=0"),  # one true keyframe, then points of recovery
    "refresh.ts": _x264("keyint=12:intra-refresh=1:bframes=2") | {"format": "mpegts"},
    "ten_bit.mp4": _x264("keyint=12:bframes=3") | {"pix_fmt": "yuv420p10le"},
    "h422.mp4": _x264("keyint=12:bframes=3") | {"pix_fmt": "yuv422p"},
    "h444.mp4": _x264("keyint=12:bframes=3") | {"pix_fmt": "yuv444p"},
    "h264.ts": {"options": X264, "format": "mpegts"},
    "h264.avi": {"options": X264},  # AVI has no presentation times, and nobody works them out for H.264
    # HEVC
    "hevc.mp4": _x265("keyint=12:open-gop=1"),  # open groups: CRA keyframes, RASL pictures behind them
    "hevc_closed.mp4": _x265("keyint=12:open-gop=0:bframes=4:b-adapt=0:b-pyramid=1"),
    "hevc_open.ts": _x265("keyint=12:open-gop=1:bframes=4:b-adapt=0:b-pyramid=1") | {"format": "mpegts"},
    "hevc_layers.mp4": _x265("keyint=24:bframes=7:b-adapt=0:temporal-layers=3"),
    "hevc_refresh.mp4": _x265("keyint=12:intra-refresh=1:bframes=0"),
    "hevc_ten_bit.mp4": _x265("keyint=12:bframes=4") | {"pix_fmt": "yuv420p10le"},
    "hevc_fields.mp4": _x265("keyint=12:bframes=4:interlace=tff") | {"interlaced": True},
    # MPEG
    "mpeg1.mpg": _codec("mpeg1video", g="12", bf="2") | {"format": "mpeg"},
    "mpeg2.mpg": _codec("mpeg2video", g="12", bf="2") | {"format": "mpeg"},
    "mpeg2_interlaced.ts": _codec("mpeg2video", g="12", bf="2", **_FIELDS) | {"format": "mpegts", "interlaced": True},
    "mpeg2_h422.mov": _codec("mpeg2video", g="12", bf="2") | {"pix_fmt": "yuv422p"},
    "mpeg4.avi": _codec("mpeg4", g="12"),
    "asp.avi": _codec("mpeg4", g="12", bf="2"),
    "asp.mp4": _codec("mpeg4", g="12", bf="2"),
    "asp_quarters.mkv": _codec("mpeg4", g="12", bf="3", flags="+qpel+mv4"),
    "asp_interlaced.mp4": _codec("mpeg4", g="12", bf="2", **_FIELDS) | {"interlaced": True},
    # VP8, VP9, AV1: frames that are made from and never shown
    "vp8.webm": _codec("libvpx", g="24", **_VP8),
    "vp8_layers.webm": _codec(
        "libvpx",
        **{"g": "24", "deadline": "realtime", "b": "150k"},
        **{
            "ts-parameters": "ts_number_layers=3:ts_target_bitrate=40,80,150:ts_rate_decimator=4,2,1:ts_periodicity=4"
            ":ts_layer_id=0,2,1,2"
        },
    ),
    "vp9.webm": _codec("libvpx-vp9", g="12", deadline="realtime", **{"cpu-used": "8"}),
    "hidden_vp9.webm": _codec("libvpx-vp9", g="24", **_VP9),
    "hidden_vp9.mp4": _codec("libvpx-vp9", g="24", **_VP9),
    "av1.mp4": _codec("libsvtav1", g="24", preset="10"),
    "av1_forward.mkv": _codec("libsvtav1", g="16", preset="10", **{"svtav1-params": "irefresh-type=1"}),
    # the rest of an archive
    "wmv2.wmv": _codec("wmv2", g="12") | {"format": "asf"},
    "msmpeg4.avi": _codec("msmpeg4", g="12"),
    "h263.avi": _codec("h263p", g="12"),
    "flv1.flv": _codec("flv", g="12"),
    "motion_jpeg.mov": _codec("mjpeg") | {"pix_fmt": "yuvj420p"},
    "prores.mov": _codec("prores_ks") | {"pix_fmt": "yuv422p10le"},
    "dnxhr.mov": _codec("dnxhd", profile="dnxhr_lb") | {"pix_fmt": "yuv422p", "size": (256, 120)},
    "ffv1.mkv": _codec("ffv1", g="12"),
    "rv20.rm": _codec("rv20", g="12") | {"format": "rm"},
}

LONG: dict[str, dict[str, Any]] = {
    "long.mp4": _x264("keyint=24:bframes=2:b-adapt=0") | {"ticks": range(30 * RATE), "size": (160, 96)},
    "long_pyramid.mp4": _x264("keyint=48:bframes=8:b-pyramid=normal:b-adapt=0:weightb=1:weightp=2:ref=6"),
    "long_open_gop.mp4": _x264("keyint=24:open-gop=1:bframes=5:b-pyramid=normal:b-adapt=0"),
    "long_interlaced.mp4": _x264("keyint=24:bframes=3:tff=1") | {"interlaced": True},
    "long_refresh.mp4": _x264("keyint=24:intra-refresh=1:bframes=0"),
    "long_one_key.mp4": _x264("keyint=infinite:bframes=3:scenecut=0"),
    "long_live.mkv": {"options": {**X264, "g": "24"}, "mux": {"live": "1"}, "format": "matroska"},
    "long.ts": {"options": {**X264, "g": "24"}, "format": "mpegts", "first_s": 36_000, "mux": {"mpegts_copyts": "1"}},
    "long_open_gop.ts": _x264("keyint=24:open-gop=1:bframes=5:b-adapt=0") | {"format": "mpegts"},
    "long.flv": {"options": {**X264, "g": "24"}},
    "long.avi": {"options": {**X264, "g": "24"}},
    "long_hevc.mp4": _x265("keyint=24:open-gop=1:bframes=4:b-adapt=0"),
    "long_hevc_closed.mp4": _x265("keyint=72:open-gop=0:bframes=8:b-pyramid=1"),
    "long_hevc_layers.mp4": _x265("keyint=24:bframes=7:b-adapt=0:temporal-layers=3"),
    "long_hevc.ts": _x265("keyint=24:open-gop=1:bframes=4:b-adapt=0") | {"format": "mpegts"},
    "long.mpg": _codec("mpeg2video", g="24", bf="2") | {"format": "mpeg"},
    "long_mpeg1.mpg": _codec("mpeg1video", g="24", bf="2") | {"format": "mpeg"},
    "long_mpeg2.ts": _codec("mpeg2video", g="24", bf="2", **_FIELDS) | {"format": "mpegts", "interlaced": True},
    "long_asp.mp4": _codec("mpeg4", g="24", bf="2"),
    "long_asp.avi": _codec("mpeg4", g="24", bf="2"),
    "long_asp_interlaced.mp4": _codec("mpeg4", g="24", bf="2", **_FIELDS) | {"interlaced": True},
    "long_vp8.webm": _codec("libvpx", g="24", **_VP8),
    "long.webm": _codec("libvpx-vp9", g="24", **_VP9),
    "long_av1.mp4": _codec("libsvtav1", g="24", preset="10"),
    "long_wmv2.wmv": _codec("wmv2", g="24") | {"format": "asf"},
}

for _name, _how in CODECS.items():
    made(_name)(lambda path, how=_how: encode(path, **how))  # type: ignore[misc]
for _name, _how in LONG.items():
    made(_name)(lambda path, how=_how: encode(path, **{"ticks": range(10 * RATE), "size": (128, 80), **how}))  # type: ignore[misc]

_VOP, _NOT_CODED = b"\0\0\1\xb6", b"\0\0\1\xb6\x54\0\0"  # ISO/IEC 14496-2, 6.2.5; a P-VOP that repeats the picture


@made("packed.avi")
def packed_avi(path: Path) -> None:
    """As DivX 5 wrote AVI: a B-frame lies in one chunk with the frame that it looks ahead to, and an empty frame
    follows, so that every chunk has the time of one picture and none its own."""
    asp = path.with_name("unpacked.avi")
    encode(asp, codec="mpeg4", options={"g": "12", "bf": "1", "b_strategy": "0"})
    with av.open(str(asp)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        chunks: list[bytes] = []
        for body in (bytes(packet) for packet in source.demux(video=0) if packet.size):
            if body[body.index(_VOP) + 4] >> 6 == 2:
                chunks[-1:] = [chunks[-1] + body, _NOT_CODED]
            else:
                chunks.append(body)
        chunks[0] = chunks[0].replace(b"\0\0\1\xb2Lavc", b"\0\0\1\xb2DivX503b1393p\0\0\1\xb2Lavc")
        for number, body in enumerate(chunks):
            packet = av.Packet(body)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, RATE), number, number
            packet.is_keyframe = body[body.index(_VOP) + 4] >> 6 == 0
            out.mux(packet)
