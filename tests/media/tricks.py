"""Files that name other files, each by one of the ways that some media program follows.

`TRICKS`: the name the file is stored under → what writes its bytes, given a canary film beside it and a URL that
somebody listens at. Nothing may open the one or connect to the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.media import media, real
from tests.media.videos import FRAMES, HEIGHT, RATE, WIDTH, avi, jpeg

Trick = Callable[[Path, str], bytes]

CANARY = "canary.mp4"
"""Name of the film beside every trick; copies of it lie at 0.jpg to 3.jpg, for names that are patterns."""

PATTERNED = ("%d.jpg", "%01d.jpg", "[0-3].jpg", "?.jpg")

TRICKS: dict[str, Trick] = {}


def _text(name: str, template: str) -> None:
    """A trick in plain text. {canary}: absolute path; {near}: name in the same folder; {url}."""

    def written(canary: Path, url: str) -> bytes:
        return template.replace("{canary}", str(canary)).replace("{near}", canary.name).replace("{url}", url).encode()

    TRICKS[name] = written


def _hls(address: str, more: str = "") -> str:
    return f"#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:10\n{more}#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n"


_text("hls.mp4", _hls("file://{canary}"))
_text("hls.ts", _hls("{canary}"))
_text("hls near.m3u8", _hls("{near}"))
_text("hls http.mp4", _hls("{url}/film.ts"))
_text("hls concat.mp4", _hls("concat:{url}/header.m3u8|subfile,,start,0,end,64,,:{canary}"))
_text("hls crypto.mp4", _hls("{near}", '#EXT-X-KEY:METHOD=AES-128,URI="{canary}",IV=0x0\n'))
_text("hls data.mp4", _hls("data:text/plain;base64,I0VYVE0zVQ=="))
_text("hls map.mp4", _hls("{near}", '#EXT-X-MAP:URI="{near}"\n'))
_text("hls master.mp4", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}/low.m3u8\n")
_text("concat.mkv", "ffconcat version 1.0\nfile '{near}'\n")
_text("concat.ffconcat", "ffconcat version 1.0\nfile 'file:{canary}'\nduration 2\n")
_text(
    "dash.mp4",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{canary}</BaseURL>'
    '<SegmentList><Initialization sourceURL="{url}/i.mp4"/><SegmentURL media="{near}"/></SegmentList>'
    "</Representation></AdaptationSet></Period></MPD>",
)
_text(
    "asx.wmv", '<asx version="3.0"><entry><ref href="{canary}"/></entry><entry><ref href="{url}/a.wmv"/></entry></asx>'
)
_text("reference.asf", "[Reference]\r\nRef1={url}/a.asf?MSWMExt=.asf\r\nRef2=file://{canary}\r\n")
_text("real.rm", "{url}/film.rm\nfile://{canary}\n")
_text("pls.mp4", "[playlist]\nFile1={canary}\nFile2={url}/a.mp4\nNumberOfEntries=2\nVersion=2\n")
_text("session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n")
_text("subtitles.idx", "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\nid: en, index: 0\n")
_text("script.avs", 'AviSource("{canary}")\n')
_text(
    "vector.png", '<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{canary}" width="9" height="9"/></svg>'
)
_text(
    "script.png",
    '<?xml version="1.0"?><image><read filename="{canary}"/><write filename="{near}.out"/></image>',
)
_text("drawing.jpg", "push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 '{url}/x.png'\npop graphic-context\n")
_text("postscript.jpg", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({canary}) (r) file run\nshowpage\n")
for _name in (*PATTERNED, "concat:canary.mp4|canary.mp4", "data:video,x.mp4", "crypto:canary.mp4", "http:canary.mp4"):
    _text(_name, "This is a letter, and its name is an address.\n")
_text("subfile,,start,0,end,0,,:canary.mp4", "This is a letter, and its name is an address.\n")


def trick(name: str) -> Callable[[Trick], Trick]:
    def register(writer: Trick) -> Trick:
        TRICKS[name] = writer
        return writer

    return register


@trick("nested.avi")
def playlist_in_a_subtitle(canary: Path, url: str) -> bytes:
    """An AVI whose text stream holds a playlist (GAB2), which a demuxer opens a second demuxer for."""
    playlist = _hls(f"file://{canary}").encode() + url.encode()
    name = b"a\0\0\0"
    gab2 = b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(playlist)) + playlist
    return with_text_stream(avi([jpeg(i) for i in range(FRAMES)], header_frames=FRAMES), gab2)


@trick("alias.mov")
def alias(canary: Path, _url: str) -> bytes:
    """A QuickTime film whose pictures are said to lie in another file, by absolute and relative alias."""
    return _with_data_reference(_alias(canary))


@trick("reference url.mov")
def url_reference(_canary: Path, url: str) -> bytes:
    return _with_data_reference(box(b"url ", b"\0\0\0\0" + f"{url}/film.mov".encode() + b"\0"))


@trick("linked.mkv")
def linked(canary: Path, _url: str) -> bytes:
    """Matroska that goes on in another file: next and previous file's names, and chapters out of another segment."""
    data = media("live.mkv").read_bytes()
    at = data.index(b"\x15\x49\xa9\x66")  # Info
    length_bytes = 9 - data[at + 4].bit_length()
    body_at = at + 4 + length_bytes
    length = int.from_bytes(data[at + 4 : body_at], "big") & ((1 << 7 * length_bytes) - 1)
    names = b"".join(element(tag, canary.name.encode()) for tag in (b"\x3e\x83\xbb", b"\x3c\x83\xab"))
    uids = b"".join(element(tag, bytes(range(1, 17))) for tag in (b"\x3e\xb9\x23", b"\x3c\xb9\x23"))
    atom = element(b"\xb6", element(b"\x91", b"\0") + element(b"\x6e\x67", bytes(range(1, 17))))
    chapters = element(b"\x10\x43\xa7\x70", element(b"\x45\xb9", element(b"\x45\xdd", b"\1") + atom))
    info = element(b"\x15\x49\xa9\x66", data[body_at : body_at + length] + names + uids)
    return data[:at] + info + chapters + data[body_at + length :]


def box(kind: bytes, body: bytes) -> bytes:
    """A box of an ISO file."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def element(tag: bytes, body: bytes) -> bytes:
    """An element of Matroska, its length in eight bytes."""
    return tag + (1 << 56 | len(body)).to_bytes(8, "big") + body


def replaced(data: bytes, path: list[bytes], change: Callable[[bytes], bytes]) -> bytes:
    """data (boxes in a row) with the body of every box at path changed, and all lengths around it right."""
    out, at = b"", 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        length = length or len(data) - at
        body = data[at + 8 : at + length]
        if kind == path[0]:
            body = change(body) if len(path) == 1 else replaced(body, path[1:], change)
        out += box(kind, body)
        at += length
    return out


def with_text_stream(film: bytes, body: bytes) -> bytes:
    """An AVI of videos.avi with a second stream of text, and one packet of it before the pictures."""
    strh = struct.pack(
        "<4s4sIHHIIIIIIII4H", b"txts", b"\0" * 4, 0, 0, 0, 0, 1, RATE, 0, 1, 0, 0, 0, 0, 0, WIDTH, HEIGHT
    )
    strl = _chunk(b"LIST", b"strl" + _chunk(b"strh", strh) + _chunk(b"strf", b""))
    header_at, movi_at = film.index(b"hdrl"), film.index(b"movi")
    header = film[header_at : movi_at - 8] + strl
    (movi_bytes,) = struct.unpack_from("<I", film, movi_at - 4)
    movi = b"movi" + _chunk(b"01tx", body) + film[movi_at + 4 : movi_at + movi_bytes]
    return _chunk(b"RIFF", b"AVI " + _chunk(b"LIST", header) + _chunk(b"LIST", movi))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _with_data_reference(reference: bytes) -> bytes:
    dref = b"\0\0\0\0" + struct.pack(">I", 1) + reference
    return replaced(
        media("cfr.mov").read_bytes(), [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"], lambda _: dref
    )


def _alias(canary: Path) -> bytes:
    """An alias record, after Apple's "Alias Manager": the parts that lead to a file by its name and by its path."""
    volume, name, path = b"Disk", canary.name.encode(), str(canary).encode()
    path += b"\0" * (len(path) % 2)
    fixed = bytes(10) + bytes([len(volume)]) + volume.ljust(27, b"\0") + bytes(12)
    fixed += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    paths = struct.pack(">HH", 2, len(path)) + path + struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", b"\0\0\0\0" + fixed + paths)


def lay(folder: Path, name: str, url: str) -> Path:
    """Write one trick and its canaries into a folder; the path of the trick."""
    film = real("bikes.mp4").read_bytes()
    for other in (CANARY, *(f"{n}.jpg" for n in range(4)), "subtitles.sub", "film.ts"):
        (folder / other).write_bytes(film)
    path = folder / name
    path.write_bytes(TRICKS[name](folder / CANARY, url))
    return path
