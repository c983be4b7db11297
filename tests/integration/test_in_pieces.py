"""A large film in S3 is read in pieces: the frames are those of the whole file, from a few of its bytes."""

from __future__ import annotations

import uuid
from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.store.sparse import SparseCopy
from tests.integration.doors import ask, tag

SECONDS, RATE = 60, 12


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A minute of noise in 160×96 with a keyframe every 5 s: 20 MB, and none of it like any other."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(5)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE, options={"g": "60", "preset": "ultrafast", "crf": "1"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        for tick in range(SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (96, 160, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    assert path.stat().st_size > 10 << 20
    return path


@pytest.fixture
def bucket(film, s3, monkeypatch):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    name = f"pieces-{uuid.uuid4().hex[:12]}"
    s3.client().create_bucket(Bucket=name)
    s3.client().upload_file(str(film), name, "film.mp4")
    return name


def looks(lake):
    return ask(lake, "SELECT round(timestamp_s, 6), frame_index FROM timestamps ORDER BY 1")


def test_the_same_frames_from_fewer_bytes(bucket, film, tmp_path):
    tag(tmp_path / "whole", film.parent, sampling="uniform", max_frames=4)
    tag(tmp_path / "pieces", f"s3://{bucket}/", sampling="uniform", max_frames=4, pieces_from_mb=0)
    assert looks(tmp_path / "pieces") == looks(tmp_path / "whole")
    ((status, content_id, bytes_read, size_bytes),) = ask(
        tmp_path / "pieces", "SELECT status, content_id, bytes_read, size_bytes FROM media"
    )
    assert (status, content_id) == ("ok", None)
    assert bytes_read < 0.4 * size_bytes


def test_an_object_that_changes_between_two_pieces_is_never_a_mix(bucket, film, s3, tmp_path, monkeypatch):
    """The film is replaced once its index has come: the next piece is refused, and the run says so."""
    bring = SparseCopy.bring
    seen = []

    def replaced(self, wanted):
        seen.append(wanted)
        if len(seen) == 3:
            s3.client().put_object(Bucket=bucket, Key="film.mp4", Body=film.read_bytes()[::-1])
        bring(self, wanted)

    monkeypatch.setattr(SparseCopy, "bring", replaced)
    tag(tmp_path / "lake", f"s3://{bucket}/", max_frames=4, pieces_from_mb=0)
    assert ask(tmp_path / "lake", "SELECT error_code FROM failures") == [("object_changed",)]
    assert looks(tmp_path / "lake") == []


def test_keyframes_need_least(bucket, tmp_path):
    summary = tag(tmp_path / "lake", f"s3://{bucket}/", sampling="keyframes", pieces_from_mb=0)
    assert summary["frames"] == 12
    ((bytes_read, size_bytes),) = ask(tmp_path / "lake", "SELECT bytes_read, size_bytes FROM media")
    assert bytes_read < 0.05 * size_bytes
    assert [moment for moment, _ in looks(tmp_path / "lake")] == [5.0 * n for n in range(12)]


def test_where_pieces_do_not_suffice_all_is_fetched(bucket, film, s3, tmp_path):
    """Noise among the packets of one group: what comes of it front to back is taken, and said to be partial."""
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400_000] = np.random.default_rng(1).bytes(400_000)
    s3.client().put_object(Bucket=bucket, Key="film.mp4", Body=bytes(data))
    tag(tmp_path / "lake", f"s3://{bucket}/", max_frames=8, pieces_from_mb=0)
    ((code, bytes_read, size_bytes),) = ask(
        tmp_path / "lake", "SELECT error_code, bytes_read, size_bytes FROM failures"
    )
    assert code == "corrupt"
    assert bytes_read > size_bytes
