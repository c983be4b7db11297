"""One decoder process decodes while the next media object is fetched, and none starts that isn't needed."""

import shutil
import threading

import psutil
import pytest

from pipeline.decode.process import Process
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from pipeline.settings import Settings
from pipeline.steps.decoders import Decoders
from pipeline.steps.run import tag
from pipeline.store.local import LocalStore
from tests.integration.quiet import Quiet
from tests.media import media

PATIENCE_S = 30.0


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(3):
        shutil.copy(media("bikes.mp4"), folder / f"{number}.mp4")
    return folder


def test_the_next_is_fetched_while_one_is_decoded(archive, tmp_path, monkeypatch):
    fetched, second, in_time = [], threading.Event(), []
    fetch, probe = LocalStore.fetch, DecodeChild.probe

    def noted(self, media, *more):
        fetched.append(media.uri)
        if len(fetched) == 2:
            second.set()
        return fetch(self, media, *more)

    def waiting(self, path):
        in_time.append(second.wait(PATIENCE_S))
        return probe(self, path)

    monkeypatch.setattr(LocalStore, "fetch", noted)
    monkeypatch.setattr(DecodeChild, "probe", waiting)
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "tagger": "null", "workers": 1}
    assert tag(request, Quiet())["ok"] == 3
    assert in_time == [True] * 3


def test_who_comes_when_all_are_lent_waits():
    order = []
    with Decoders(Settings(), 2) as decoders:

        def third():
            with decoders.lend():
                order.append("lent")

        with decoders.lend():
            with decoders.lend():
                thread = threading.Thread(target=third)
                thread.start()
                thread.join(0.2)  # all the time it needs, were it let in
                order.append("given back")
            thread.join(PATIENCE_S)
    assert order == ["given back", "lent"]


def test_the_same_process_serves_one_after_the_other(archive):
    with Decoders(Settings(), 4) as decoders:
        lent = []
        for path in sorted(archive.iterdir()):
            with decoders.lend() as child:
                child.probe(path)
                lent.append(child)
        assert len(set(map(id, lent))) == 1


def test_who_is_told_to_stop_answers_nothing_more(archive):
    with Decoders(Settings(), 1) as decoders:
        decoders.stop()
        with decoders.lend() as child, pytest.raises(MediaError):
            child.probe(archive / "0.mp4")


def below():
    return {process.pid for process in psutil.Process().children()}


def test_those_that_are_started_ahead_are_lent_first(archive):
    others = below()
    with Decoders(Settings(), 3) as decoders:
        decoders.start(2)
        started = below() - others
        with decoders.lend() as one, decoders.lend() as two:
            assert one.probe(archive / "0.mp4") == two.probe(archive / "0.mp4")
            assert below() - others == started and len(started) == 2
    assert below() == others


def test_who_is_told_to_stop_while_it_starts_is_no_broken_installation():
    process = Process(1000, 1 << 20)
    process.end()
    with pytest.raises(MediaError):
        process.ready()
    process.kill()


def test_a_run_without_media_starts_none(tmp_path, monkeypatch):
    monkeypatch.setattr(DecodeChild, "start", lambda _: pytest.fail("started"))
    (tmp_path / "archive").mkdir()
    request = {"sources": str(tmp_path / "archive"), "lake": str(tmp_path / "lake"), "tagger": "null"}
    assert tag(request, Quiet())["listed"] == 0
