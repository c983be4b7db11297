"""A decoder that dies, hangs or grows costs one media object at most, and what it still owed the other one gives.

The hangs and deaths are real ones: the decoder process is stopped or killed by its id while it is at work.
"""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from pipeline import decode
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError, UsageError
from tests.media import BAD, media
from tests.media.truth import true_frames

FILM = "bigbuckbunny.mp4"  # frames of 2.8 MB: a pipe holds none, so the process is always in the middle of one


@pytest.fixture
def child():
    with DecodeChild(deadline_s=20, memory_mb=1500, max_megapixels=200) as opened:
        yield opened


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_doesnt_end_one_that_is_starting(number, child):
    child.start()
    os.kill(pid_of(child), number)
    assert child.probe(media(FILM)).width == 1280


def pid_of(child):
    return child._process.pid


def targets(count=5):
    return [frame.timestamp_s for frame in true_frames(FILM)[5 : 5 + 20 * count : 20]]


def ask(child, decoder="auto", count=5):
    info = child.probe(media(FILM))
    return child.frames(media(FILM), info, targets(count), media_id="m", decoder=decoder)


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_ends_with_its_code(child, name):
    with pytest.raises(MediaError) as ended:
        info = child.probe(media(name))
        list(child.frames(media(name), info, [info.duration_s * n / 8 for n in range(8)], media_id="m", decoder="auto"))
        raise MediaError(info.fault, info.fault_detail)
    assert ended.value.code == BAD[name]
    assert str(media(name).parent) not in str(ended.value)
    assert child.probe(media("cfr.mp4")).codec == "h264"  # and the process is fit for the next file


def test_a_killed_decoder_is_replaced_by_the_other_for_the_missing_frames(child):
    frames = ask(child)
    got = [next(frames), next(frames)]
    os.kill(pid_of(child), signal.SIGKILL)
    got += frames
    assert [frame.timestamp_s for frame in got] == pytest.approx(targets(), abs=1e-6)
    assert child.decoder == f"{decode.label('pyav')}, {decode.label('decord')}"


def test_a_hanging_decoder_is_killed_at_its_deadline_and_replaced():
    with DecodeChild(deadline_s=3, memory_mb=1500, max_megapixels=200) as child:
        frames = ask(child)
        got = [next(frames)]
        hanging = pid_of(child)
        os.kill(hanging, signal.SIGSTOP)
        got += frames
        assert [frame.frame_index for frame in got] == [5, 25, 45, 65, 85]
        assert pid_of(child) != hanging
        assert not psutil.pid_exists(hanging)
        assert "decord" in child.decoder


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, "decoder_crashed"), (signal.SIGSTOP, "decode_timeout")])
def test_without_another_decoder_the_end_is_a_media_error(sent, code):
    with DecodeChild(deadline_s=1, memory_mb=1500, max_megapixels=200) as child:
        frames = ask(child, decoder="pyav")
        next(frames)
        os.kill(pid_of(child), sent)
        with pytest.raises(MediaError) as ended:
            list(frames)
        assert ended.value.code == code
        assert len(list(ask(child, decoder="pyav"))) == 5


def test_memory_past_the_limit_ends_the_process():
    with DecodeChild(deadline_s=60, memory_mb=256, max_megapixels=4000) as small:
        with pytest.raises(MediaError) as ended:
            small.probe(media("bomb.png"))
        assert ended.value.code == "decoder_memory"


def test_the_time_between_two_frames_is_the_callers_own():
    """Only waiting for the decoder counts against its deadline."""
    with DecodeChild(deadline_s=1, memory_mb=1500, max_megapixels=200) as child:
        frames = ask(child)
        next(frames)
        left_s = child._process.left_s
        subprocess.run([sys.executable, "-c", "pass"], check=True)  # time goes by
        assert child._process.left_s == left_s
        assert len(list(frames)) == 4


def test_frames_left_halfway_leave_no_answer_behind(child):
    frames = ask(child)
    next(frames)
    frames.close()
    assert [frame.frame_index for frame in ask(child, count=2)] == [5, 25]


def test_a_hanging_decoder_can_be_stopped_at_once():
    """What Ctrl-C does: no waiting for the deadline, and no other decoder begins."""
    with DecodeChild(deadline_s=10_000, memory_mb=1500, max_megapixels=200) as child:
        frames = ask(child)
        next(frames)
        os.kill(pid_of(child), signal.SIGSTOP)
        threading.Timer(0.1, child.stop).start()
        with pytest.raises(MediaError):
            list(frames)
        assert child.decoder == decode.label("pyav")


def test_every_frame_comes_once_however_often_it_is_asked_for(child):
    info = child.probe(media("cfr.mp4"))
    frames = child.frames(media("cfr.mp4"), info, [0.5, 0.501, 0.502, 1.0], media_id="m", decoder="auto")
    assert [(frame.frame_index, frame.media_id) for frame in frames] == [(12, "m"), (24, "m")]


def test_no_process_is_left_behind():
    with DecodeChild(deadline_s=20, memory_mb=1500, max_megapixels=200) as child:
        frames = ask(child)
        next(frames)
        process = psutil.Process(pid_of(child))
    assert not process.is_running()


def test_the_decoder_dies_with_a_parent_that_is_killed():
    """Linux: the kernel sends the signal; elsewhere a hanging decoder would stay."""
    code = (
        "import sys; from pathlib import Path; from pipeline.decode.worker import DecodeChild\n"
        "child = DecodeChild(deadline_s=60, memory_mb=1500, max_megapixels=200); child.probe(Path(sys.argv[1]))\n"
        "print(child._process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(media("cfr.mp4"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        decoder = psutil.Process(int(parent.stdout.readline()))
        os.kill(decoder.pid, signal.SIGSTOP)  # it can't end by itself
        parent.kill()
    assert decoder not in psutil.wait_procs([decoder], timeout=30)[1]


def test_the_decoder_sees_no_secrets(child, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    child.probe(media("cfr.mp4"))
    assert "s3cret" not in str(psutil.Process(pid_of(child)).environ())


def test_an_unknown_decoder_lists_the_known_ones(child):
    info = child.probe(media("cfr.mp4"))
    with pytest.raises(UsageError, match=r"unknown decoder 'decrod': known are auto, decord, pyav .* mean decord"):
        list(child.frames(media("cfr.mp4"), info, [0.5], media_id="m", decoder="decrod"))
