"""S3 refuses for a while, hangs up, gives half a body or other bytes, forgets who is asking, dies and comes back."""

import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from demo import keeper
from demo.services import s3_server
from tests.faults.invariants import read_throughout
from tests.faults.places import Place
from tests.integration.doors import ask, shotlog
from tests.servers.faulty_s3 import faulty_s3

SMALL = {"SHOTLOG_WORKERS": "1", "SHOTLOG_TAGGER": "null"}
SLOW_S = 30
FAULTS = {
    "slow down": ["slow_down"],
    "hangs up": ["reset", "lose_answer"],
    "half a body": ["half"],
    "other bytes": ["garble"],
    "expired": ["expired"],
}


def lead_there(monkeypatch, env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)


def tag_through(proxy, place, cwd):
    """The command, whatever comes of it: a sentence and no traceback where it can't go on."""
    command = ["tag", place.source, "--lake", place.lake]
    settings = {**SMALL, "SHOTLOG_CATALOG": place.catalog, "SHOTLOG_FREEZE": place.freeze}
    done = shotlog(*command, cwd=cwd, **settings, **proxy.env)
    assert done.returncode in (0, 3), done.stderr
    return done


def go_wrong(proxy, what, chance):
    """Let requests of the next run meet a fault, by the time it has come to something or from the start."""
    after = chance.choice([0, chance.randint(1, 40)])
    how = {"share": chance.choice([0.3, 0.6]), "times": chance.randint(1, 30), "after": after}
    if what == "slow down":  # each request for a while
        how |= {"share": 1.0}
    if what == "expired":  # for good
        how |= {"share": 1.0, "times": 1 << 30}
    if what == "other bytes":  # of media: what DuckDB reads of Parquet has no checksum
        how |= {"share": 1.0, "times": chance.randint(1, 6), "after": 0, "only": "/in/"}
    proxy.go_wrong(chance.random(), *FAULTS[what], **how)


@pytest.mark.seeds(3, 15)
def test_whatever_it_does_the_next_run_completes(seed, s3, proxy, tmp_path, monkeypatch):
    chance = random.Random(seed)
    place = Place(s3, tmp_path, freeze=("on", "off")[seed % 2])
    lead_there(monkeypatch, place.env)
    place.put("first.png", "text.mov")
    place.tag()
    good = ["first.png"]
    with read_throughout(place.lake, place.catalog):
        for number, what in enumerate(chance.sample(list(FAULTS), len(FAULTS))):
            names = f"{number}.png", f"{number}.mp4"
            place.put(*names)
            good += names
            go_wrong(proxy, what, chance)
            done = tag_through(proxy, place, tmp_path)
            assert sum(proxy.met[fault] for fault in FAULTS[what]), what
            assert s3.secret_key not in done.stderr
            proxy.go_right()
            assert place.tag()["state"] == "finished", what
            shown = "SELECT parse_filename(uri) FROM media ORDER BY uri"
            assert [name for (name,) in ask(place.lake, shown)] == sorted(good), what
            if place.freeze == "on":
                place.check_frozen()
    place.check_whole(good, ["text.mov"])


@pytest.mark.seeds(1, 7)
def test_thirty_seconds_of_slow_down_whenever_they_begin(seed, s3, tmp_path, monkeypatch):
    """By the clock on the wall: three archives at the same time, one meets them at once and two in the midst of it."""
    chance = random.Random(seed)
    lead_there(monkeypatch, s3.env)
    moments = [0, chance.randint(1, 15), chance.randint(16, 60)]
    places = [Place(s3, tmp_path / str(after)) for after in moments]
    for place in places:
        place.folder.mkdir()
        place.put("first.png", "text.mov")
        place.tag()
        place.put("later.png", "film.mp4")
    with ThreadPoolExecutor(len(places)) as at_once:
        list(at_once.map(tag_while_slow, places, moments))
    for place in places:
        place.check_whole(["first.png", "later.png", "film.mp4"], ["text.mov"])


def tag_while_slow(place, after):
    """Runs follow each other while S3 refuses everything, once so many requests have come, and one comes after that."""
    with faulty_s3(place.s3) as proxy, read_throughout(place.lake, place.catalog):
        still_slow = proxy.slow_down_for(SLOW_S, after=after)
        while still_slow():
            done = tag_through(proxy, place, place.folder)
            if done.returncode:
                assert re.search("S3 answered (SlowDown|503) for .*: try again", done.stderr), done.stderr
        assert proxy.met["slow_down"]
        assert tag_through(proxy, place, place.folder).returncode == 0


def test_other_bytes_never_pass_for_the_object(s3, proxy, tmp_path, monkeypatch):
    place = Place(s3, tmp_path)
    lead_there(monkeypatch, place.env)
    place.put("still.png")
    proxy.go_wrong(0, "garble", share=1.0, times=1 << 30, only="/in/")
    tag_through(proxy, place, tmp_path)
    ((status, code, error),) = ask(place.lake, "SELECT status, error_code, error FROM failures")
    assert (status, code) == ("failed", "unreadable")
    assert error == "the store gave no complete answer (ChecksumMismatch): the next run tries again"
    place.tag()
    place.check_whole(["still.png"])


@pytest.mark.seeds(3, 10)
def test_killed_and_started_again_while_a_run_goes_on(seed, tmp_path, monkeypatch):
    chance, folder = random.Random(seed), tmp_path / "server"
    with ExitStack() as first, ExitStack() as second:
        server = first.enter_context(s3_server(folder))
        proxy = second.enter_context(faulty_s3(server))
        lead_there(monkeypatch, proxy.env)
        place = Place(server, tmp_path)
        place.put("first.png")
        place.tag()
        place.put("later.png", "film.mp4")
        left, over = chance.randint(1, 60), threading.Event()

        def count(_method, _path):
            nonlocal left
            left -= 1
            if not left:
                over.set()
            return "reset" if left <= 0 and restarting.is_alive() else None

        def restart():
            assert over.wait(60)
            keeper.send(keeper.offspring(server.service.process.pid), keeper.signal.SIGKILL)
            proxy.behind = second.enter_context(s3_server(folder))

        restarting = threading.Thread(target=restart, daemon=True)
        restarting.start()
        proxy.choose = count
        tag_through(proxy, place, tmp_path)
        over.set()
        restarting.join(90)
        assert not restarting.is_alive()
        proxy.go_right()
        assert place.tag()["state"] == "finished"
        place.check_whole(["first.png", "later.png", "film.mp4"])
