"""Files made to hurt: none crashes or holds up the worker, none makes it open another file, all end with a code."""

import re
import socket
from pathlib import Path

import av
import psutil
import pytest

from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from tests.media import media
from tests.media.hostile import HOSTILE, write
from tests.media.opens import opens
from tests.media.tricks import CANARY, PATTERNED, TRICKS, lay

MEMORY_MB = 1500


@pytest.fixture(scope="module")
def child():
    with DecodeChild(deadline_s=120, memory_mb=MEMORY_MB, max_megapixels=200) as opened:
        yield opened


@pytest.fixture(scope="module")
def listener():
    """A server that answers nobody, and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server, f"http://127.0.0.1:{server.getsockname()[1]}"


def connected(server):
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def look(child, path, decoder="auto"):
    """Everything a run asks of a file: (the code it ends with or None, the frames)."""
    got = []
    try:
        info = child.probe(path)
        if info.kind == "video":
            child.shots(path, info)
        targets_s = [0.0, info.duration_s / 4, info.duration_s * 0.7]
        for frame in child.frames(path, info, targets_s, media_id="m", decoder=decoder):
            got.append(frame)
    except MediaError as error:
        return error.code, got
    return info.fault, got


def check_fit(child):
    """The decoder process holds no more than it may and takes the next file, and that is a good one."""
    process = psutil.Process(child._process.pid) if child._process else None
    assert process is None or process.memory_info().rss < MEMORY_MB << 20
    assert look(child, media("cfr.mp4"))[0] is None


# --- bombs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_what_asks_for_all_memory_or_time_ends_with_its_code(child, name, tmp_path):
    code, frames = look(child, write(tmp_path, name))
    assert (code or "") in (HOSTILE[name] or ("",))
    assert frames or code
    check_fit(child)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("bomb") and not name.endswith(".avi")])
def test_a_bomb_is_refused_by_its_header(name, tmp_path):
    """Within a memory that one of its colours would not fit in, and without the process dying."""
    with DecodeChild(deadline_s=120, memory_mb=256, max_megapixels=200) as small:
        small.probe(media("still.bmp"))
        pid = small._process.pid
        assert look(small, write(tmp_path, name))[0] == "too_many_pixels"
        assert small._process.pid == pid


def test_bombs_are_small(tmp_path):
    assert write(tmp_path, "bomb.png").stat().st_size < 200_000


# --- files that name other files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["auto", "decord"])
@pytest.mark.parametrize("name", TRICKS)
def test_a_file_that_names_others_opens_none(child, listener, name, decoder, tmp_path):
    server, url = listener
    path = lay(tmp_path, name, url)
    code, frames = None, []
    with opens(tmp_path) as opened:
        code, frames = look(child, path, decoder)
        seen = opened.seen()
    assert seen == {name}
    assert not connected(server)
    assert {frame.image.shape for frame in frames} <= {(96, 160, 3)}  # its own pictures: the canary's are 640×272
    assert frames or code in ("not_media", "no_frames", "corrupt", "decoder_unsuited")


FOLLOWED = {  # what FFmpeg follows where nobody forbids it, and with which options
    "hls near.m3u8": ({}, {CANARY}),
    "concat.mkv": ({}, {CANARY}),
    "subtitles.idx": ({}, {"subtitles.sub"}),
    PATTERNED[0]: ({}, {"0.jpg"}),
    "alias.mov": ({"enable_drefs": "1", "use_absolute_path": "1"}, {CANARY}),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_same_tricks_work_on_an_open_without_limits(listener, name, tmp_path):
    """So the test above can fail: the kernel tells of every file opened, and these files are real baits."""
    options, bait = FOLLOWED[name]
    path = lay(tmp_path, name, listener[1])
    with opens(tmp_path) as opened:
        try:
            with av.open(str(path), options=options) as container:
                next(container.decode(video=0))
        except (av.error.FFmpegError, IndexError, StopIteration):
            pass
        assert bait <= opened.seen()


def test_external_tracks_of_a_film_are_off_unless_asked_for(tmp_path, listener):
    """FFmpeg's own default, on which the allow-list of demuxers relies."""
    path = lay(tmp_path, "alias.mov", listener[1])
    with opens(tmp_path) as opened, av.open(str(path)) as container:
        assert not [packet for packet in container.demux(video=0) if packet.size]
        assert opened.seen() == {"alias.mov"}


def test_nothing_else_on_the_machine_is_opened(child, listener, tmp_path):
    """By the decoder process's own open files, between two frames of a film that names another."""
    path = lay(tmp_path, "linked.mkv", listener[1])
    info = child.probe(path)
    frames = child.frames(path, info, [0.0, 1.0], media_id="m", decoder="auto")
    next(frames)
    links = [str(link.readlink()) for link in Path(f"/proc/{child._process.pid}/fd").iterdir()]
    frames.close()
    mine = [link for link in links if not re.match(r"(pipe|socket|anon_inode):|/dev/null|/memfd:|/dev/shm/", link)]
    assert set(mine) <= {str(path)}


# --- files that end early ------------------------------------------------------------------------------------------

KINDS = [
    "cfr.mp4",
    "faststart.mp4",
    "fragmented.mp4",
    "cfr.mov",
    "cfr.mkv",
    "live.mkv",
    "vp9.webm",
    "mpeg4.avi",
    "mpeg2.mpg",
    "at_36000.ts",
    "flash.flv",
    "animated.gif",
    "animated.webp",
    "still.tif",
    "heic.heic",
]


NEED_THEIR_END = ["cfr.mp4", "cfr.mov", "animated.webp", "still.tif", "heic.heic"]
"""Index at the end, or pictures that are only good whole."""


@pytest.mark.parametrize("name", KINDS)
def test_cut_at_every_tenth_a_file_ends_with_a_code(child, name, tmp_path):
    data = media(name).read_bytes()
    pid, counts = None, []
    for percent in range(0, 100, 10):
        path = tmp_path / f"{percent} {name}"
        path.write_bytes(data[: len(data) * percent // 100])
        code, frames = look(child, path)
        pid = pid or child._process.pid
        assert child._process is not None
        assert child._process.pid == pid  # it didn't die
        ends = ("empty_file",) if percent == 0 else ("truncated", "no_frames", "not_media", "no_video", "corrupt", None)
        assert code in ends, percent
        assert frames or code, percent
        counts.append(len(frames))
    assert counts[-1] or name in NEED_THEIR_END
    assert len(look(child, media(name))[1]) >= max(counts)
