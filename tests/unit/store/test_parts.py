"""Parts of an object come at the same time, in any order, and end together."""

import hashlib
import os
import threading

import pytest

from pipeline.errors import MediaError
from pipeline.store import parts
from pipeline.store.base import unwatched

DATA = os.urandom(1000)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Parts of 100 bytes; and after each test none is left running."""
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("part")]


def chunks(start, stop, sink, size=30):
    for at in range(start, stop, size):
        sink(at, DATA[at : min(at + size, stop)])
    return {"part": str(start)}


@pytest.mark.parametrize("size", [1, 99, 100, 101, 250, 1000])
def test_the_file_has_the_bytes_and_the_answer_their_sha256(tmp_path, size):
    heard = []
    found = parts.fetch_parts(chunks, size, tmp_path / "a", heard.append)
    assert (tmp_path / "a").read_bytes() == DATA[:size]
    assert found == (hashlib.sha256(DATA[:size]).hexdigest(), {"part": "0"})
    assert heard[-1] == size


def test_parts_that_come_in_the_wrong_order_are_put_and_hashed_in_the_right_one(tmp_path):
    came = {start: threading.Event() for start in range(0, 1000, 100)}

    def backwards(start, stop, sink):
        """Of each four that run at once the last comes first."""
        if start % 400 != 300 and start + 100 in came:
            assert came[start + 100].wait(10)
        metadata = chunks(start, stop, sink)
        came[start].set()
        return metadata

    sha256, _ = parts.fetch_parts(backwards, 1000, tmp_path / "a", unwatched)
    assert (tmp_path / "a").read_bytes() == DATA
    assert sha256 == hashlib.sha256(DATA).hexdigest()


def test_a_part_that_breaks_off_and_begins_again_counts_once(tmp_path):
    heard = []

    def twice(start, stop, sink):
        sink(start, b"wrong" * 12)
        return chunks(start, stop, sink)

    parts.fetch_parts(twice, 1000, tmp_path / "a", heard.append)
    assert (tmp_path / "a").read_bytes() == DATA
    assert (heard[-1], max(heard)) == (1000, 1000)


def test_the_first_part_that_fails_ends_the_others(tmp_path):
    """Three parts would go on for ever, and end although who watches is busy; six more never begin."""
    begun, all_run, over = [], threading.Barrier(4), threading.Semaphore(0)

    def source(start, stop, sink):
        begun.append(start)
        all_run.wait(10)
        if start == 200:
            raise MediaError("object_changed")
        try:
            while True:
                chunks(start, stop, sink)
        finally:
            over.release()

    def watch(_bytes):
        assert all(over.acquire(timeout=10) for _ in range(3))
        over.release(3)

    with pytest.raises(MediaError) as caught:
        parts.fetch_parts(source, 1000, tmp_path / "a", watch)
    assert (caught.value.code, sorted(begun)) == ("object_changed", [0, 100, 200, 300])


def test_what_the_watch_raises_ends_all_parts(tmp_path):
    def endless(start, stop, sink):
        while True:
            chunks(start, stop, sink)

    def watch(got_bytes):
        if got_bytes > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.fetch_parts(endless, 1000, tmp_path / "a", watch)


def test_no_more_than_four_run_at_once(tmp_path):
    running, most, turn = set(), [], threading.Lock()

    def source(start, stop, sink):
        with turn:
            running.add(start)
            most.append(len(running))
        metadata = chunks(start, stop, sink)
        with turn:
            running.remove(start)
        return metadata

    parts.fetch_parts(source, 1000, tmp_path / "a", unwatched)
    assert max(most) <= parts.AT_ONCE == 4


def test_a_disk_that_is_full_ends_all_parts(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        parts.fetch_parts(chunks, 1000, tmp_path / "a", unwatched)
    assert (tmp_path / "a").read_bytes() == b""


def test_a_copy_that_somebody_cuts_short_is_noticed(tmp_path):
    def cut(start, stop, sink):
        metadata = chunks(start, stop, sink)
        os.truncate(tmp_path / "a", 10)
        return metadata

    with pytest.raises(MediaError, match="cut short"):
        parts.fetch_parts(cut, 100, tmp_path / "a", unwatched)
