"""An object that is overwritten or deleted while it is read: nothing of it is kept, the next run has the new one."""

import random
from functools import partial
from pathlib import Path

import pytest

from pipeline.store.local import LocalStore
from tests.faults.invariants import check_whole, read_throughout
from tests.faults.places import Place, fill, made
from tests.integration.doors import ask, tag

NAMES = ("a.mp4", "b.png", "c.mp4", "d.mp4")
FAILED = "SELECT error_code, count(*) FROM failures GROUP BY error_code ORDER BY error_code"
SHOWN = "SELECT parse_filename(uri), size_bytes FROM media ORDER BY uri"


def changes(chance):
    """By name: its bytes after it was begun to be read, None: it is gone."""
    new = [made("another.mp4"), made("another.png"), made("more.mp4"), None]
    return dict(zip(NAMES, chance.sample(new, len(new)), strict=True))


def sizes(wanted):
    first = {"first.png": made("first.png")}
    return {name: len(data) for name, data in sorted({**first, **wanted}.items()) if data}


@pytest.mark.seeds(3, 20)
def test_on_s3(seed, s3, proxy, tmp_path, monkeypatch):
    """Before the server hears of the request for its bytes, or when half of them have come."""
    chance = random.Random(seed)
    place, coming = Place(s3, tmp_path), changes(chance)
    wanted = dict(coming)
    for name, value in {**place.env, **proxy.env}.items():
        monkeypatch.setenv(name, value)
    place.put("first.png")
    place.tag()
    place.put(*NAMES)

    def change(name, data):
        where = {"Bucket": place.bucket, "Key": f"in/{name}"}
        if data is None:
            s3.client().delete_object(**where)
        else:
            s3.client().put_object(**where, Body=data)

    def choose(method, path):
        name = path.rpartition("/")[2]
        if method != "GET" or "/in/" not in path or name not in coming:
            return None
        proxy.meanwhile = partial(change, name, coming.pop(name))
        if chance.random() < 0.5:
            return "change_midway"
        return proxy.meanwhile()

    proxy.choose = choose
    with read_throughout(place.lake, place.catalog):
        assert place.tag()["state"] == "finished"
        assert coming == {}
        assert ask(place.lake, FAILED) == [("not_found", 1), ("object_changed", 3)]
        proxy.go_right()
        assert place.tag()["state"] == "finished"
    assert dict(ask(place.lake, SHOWN)) == sizes(wanted)
    place.check_whole(sizes(wanted))


@pytest.mark.seeds(3, 20)
def test_in_a_folder(seed, tmp_path, monkeypatch):
    """Before it is read to be hashed, or after it and before it is decoded: a file is read where it lies."""
    chance = random.Random(seed)
    lake, source, coming = tmp_path / "lake", fill(tmp_path / "in", "first.png"), changes(chance)
    wanted = dict(coming)
    tag(lake, source)
    fill(source, *NAMES)
    fetch = LocalStore.fetch

    def change(path):
        data = coming.pop(path.name)
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)

    def fetch_and_change(store, media, *arguments):
        path = Path(media.uri)
        if before := chance.random() < 0.5:
            change(path)
        copy = fetch(store, media, *arguments)
        if not before:
            change(path)
        return copy

    with read_throughout(lake):
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "fetch", fetch_and_change)
            assert tag(lake, source)["state"] == "finished"
        assert coming == {}
        codes = {code for code, _ in ask(lake, FAILED)}
        assert codes and codes <= {"not_found", "object_changed"}
        assert ask(lake, SHOWN) == [("first.png", len(made("first.png")))]
        assert tag(lake, source)["state"] == "finished"
    assert dict(ask(lake, SHOWN)) == sizes(wanted)
    check_whole(lake, {f"{source}/{name}" for name in sizes(wanted)})
