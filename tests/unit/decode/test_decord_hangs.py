"""decord waits for ever for pictures that a container counts and that never come (dmlc/decord 269, 373, 375).

Measured with decord2 3.4.0 and decord 0.6.0 on three films (tests.media.damage.OVERCOUNTED). Of the same question
asked again and again some answers are wrong pictures, some are errors, and sooner or later one never comes, with the
interpreter's lock held: the thread that asks has taken all that the thread that decodes will ever give before that
one says so. On one processor a hang came within twenty questions, or not within five hundred.
"""

import os
import select
import subprocess
import sys
from itertools import cycle, islice

import numpy as np
import pytest

from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from tests.media.damage import OVERCOUNTED, overcounted
from tests.media.videos import RATE, picture

NOT_CODED = [name for name in OVERCOUNTED if "not_coded" in name]

QUESTIONS = [[0, 449], [0, 149, 299, 449], [449, 0, 448], [299, 449], [449]]
"""Numbers of frames as decord counts them; the second are those that the reporter of issue 375 asked for."""

STALLED_S = 5
"""Longer than ten of such answers take. On a machine so busy that a good answer takes as long, one more is
called a hang, and no less."""

ASK = """
import os, sys
import decord
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
decord.logging.set_level(decord.logging.QUIET)
for line in sys.stdin:
    try:
        pictures = decord.VideoReader(sys.argv[1], num_threads=1).get_batch([int(n) for n in line.split()]).asnumpy()
        sys.stdout.buffer.write(b"p" + pictures[:, 8, 10::20, 0].tobytes())
    except decord.DECORDError:
        sys.stdout.buffer.write(b"e")
    sys.stdout.flush()
"""


@pytest.fixture(params=OVERCOUNTED)
def film(request, tmp_path):
    return overcounted(tmp_path, request.param), OVERCOUNTED[request.param]


def numbers(blocks):
    """What the pictures say their own numbers are: eight blocks each, modulo 256."""
    return [sum(int(value > 128) << bit for bit, value in enumerate(row)) for row in blocks]


def test_decord_itself_gives_wrong_pictures_errors_or_no_answer_at_all(film):
    """That it hangs depends on how its threads race, so the test ends well without; what it says is never right."""
    path, _ = film
    command = [sys.executable, "-c", ASK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bare:
        try:
            for question in islice(cycle(QUESTIONS), 100):
                bare.stdin.write(" ".join(map(str, question)).encode() + b"\n")
                bare.stdin.flush()
                if not select.select([bare.stdout], [], [], STALLED_S)[0]:
                    break
                answer = os.read(bare.stdout.fileno(), 4096)
                assert answer, "it crashed"
                if answer[:1] == b"p":
                    said = numbers(np.frombuffer(answer[1:], np.uint8).reshape(len(question), 8))
                    assert said != [number % 256 for number in question]  # frame 449 is none: another passes for it
        finally:
            bare.kill()
            bare.wait()


@pytest.mark.parametrize("decoder", ["auto", "pyav", "decord"])
def test_shotlog_gives_every_frame_there_is_or_says_why_not(film, decoder):
    path, shown = film
    with DecodeChild(deadline_s=60, memory_mb=1500, max_megapixels=200) as child:
        info = child.probe(path)
        assert len(child.shots(path, info)) >= 1
        pid = child._process.pid
        wanted = [n / RATE for n in (0, 5, 120, 240, 298)]
        for _ in range(5):
            try:
                frames = list(child.frames(path, info, wanted, media_id="m", decoder=decoder))
            except MediaError as error:
                assert decoder == "decord"
                assert error.code == "decoder_unsuited"
                assert "it counts 450 frames, the packets 300" in error.detail
                assert shown == 300
                continue
            assert [round(frame.timestamp_s * RATE) for frame in frames] == [0, 5, 120, 240, 298]
            for frame, number in zip(frames, (0, 5, 120, 240, 298), strict=True):
                assert np.abs(frame.image.astype(int) - picture(number)).mean() < 20
        assert child._process.pid == pid


@pytest.mark.parametrize(
    ("name", "decoder"), [(name, "auto") for name in OVERCOUNTED] + [(name, "decord") for name in NOT_CODED]
)
def test_where_a_film_counts_more_than_it_has_the_last_picture_stays(name, decoder, tmp_path):
    path, shown = overcounted(tmp_path, name), OVERCOUNTED[name]
    with DecodeChild(deadline_s=60, memory_mb=1500, max_megapixels=200) as child:
        info = child.probe(path)
        assert info.duration_s == pytest.approx(shown / RATE, abs=0.05)
        beyond = [n / RATE for n in (298, 300, 312, 446, 449)]
        frames = list(child.frames(path, info, beyond, media_id="m", decoder=decoder))
        times = [frame.timestamp_s for frame in frames]
        assert times == sorted(times)
        assert len(frames) >= 2
        for frame in frames[1:]:
            assert np.abs(frame.image.astype(int) - picture(299)).mean() < 20
