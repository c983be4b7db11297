"""The clock is set back between two runs and within one: what came last is shown, whatever it says."""

import random
from datetime import timedelta

import pytest

from pipeline.lake import freeze, recipes
from pipeline.lake.frozen import frozen_catalogs
from tests.faults.clock import Clock
from tests.faults.invariants import check_whole, opened, read_throughout
from tests.integration.doors import ask, fill, tag

BACK = (timedelta(seconds=-1), timedelta(hours=-1), timedelta(days=-400))
LATEST = "SELECT parse_filename(uri), etag FROM media ORDER BY uri"


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def etags(lake):
    return dict(ask(lake, LATEST))


@pytest.mark.seeds(3, 20)
def test_set_back_between_runs(seed, clock, tmp_path):
    chance, lake, source = random.Random(seed), tmp_path / "lake", tmp_path / "in"
    clock.ahead = timedelta(days=1000)

    def run(**settings):
        clock.ahead += chance.choice(BACK)
        assert tag(lake, source, **settings)["state"] == "finished"

    fill(source, "a.mp4=cfr.mp4", "b.webp=still.webp", "c.jpg=cmyk.jpg")
    run()
    before = etags(lake)
    fill(source, "a.mp4=vfr.mp4", "copy.mp4=vfr.mp4")
    (source / "b.webp").rename(tmp_path / "b.webp")
    run()
    assert sorted(etags(lake)) == ["a.mp4", "c.jpg", "copy.mp4"]
    assert etags(lake)["a.mp4"] != before["a.mp4"]
    (tmp_path / "b.webp").rename(source / "b.webp")
    run(retag=True, max_frames=1)
    assert sorted(etags(lake)) == ["a.mp4", "b.webp", "c.jpg", "copy.mp4"]
    assert ask(lake, "SELECT count(*), count(DISTINCT recipe_id), sum(frames) FROM media") == [(4, 1, 4)]
    assert ask(lake, "SELECT count(*), min(seconds) >= 0 FROM runs WHERE state = 'finished'") == [(3, True)]
    check_whole(lake, {f"{source}/{name}" for name in etags(lake)})


@pytest.mark.seeds(3, 20)
def test_set_back_within_a_run(seed, clock, tmp_path):
    chance, lake, source = random.Random(seed), tmp_path / "lake", tmp_path / "in"
    clock.ahead = timedelta(days=1000)
    fill(source, *(f"{number}.webp=still.webp" for number in range(2)), "film.mp4=cfr.mp4")
    tag(lake, source, batch_frames=1)
    with read_throughout(lake):
        clock.jumps = {clock.asked + chance.randint(1, 25): chance.choice(BACK) for _ in range(3)}
        assert tag(lake, source, batch_frames=1, retag=True, max_frames=1)["state"] == "finished"
    assert ask(lake, "SELECT count(*), count(DISTINCT recipe_id), sum(frames) FROM media") == [(3, 1, 3)]
    assert ask(lake, "SELECT min(seconds) >= 0 FROM runs") == [(True,)]
    check_whole(lake, {f"{source}/{path.name}" for path in source.iterdir()})


def test_the_last_choice_counts_and_the_last_frozen_catalog_is_the_newest(clock, tmp_path):
    lake, source = tmp_path / "lake", fill(tmp_path / "in", "still.webp")
    clock.ahead = timedelta(days=1000)
    tag(lake, source)
    clock.ahead = timedelta(0)
    tag(lake, source, max_frames=1, retag=True)
    mine = opened(lake, read_only=False)
    first, second = (one["recipe_id"] for one in recipes.known(mine.con))
    for ahead, recipe_id in ((timedelta(days=1), first), (timedelta(0), second), (timedelta(days=-1), first)):
        clock.ahead = ahead
        mine.transaction(lambda con, chosen=recipe_id: recipes.choose(con, chosen))
        mine.transaction(lambda con, chosen=recipe_id: recipes.name(con, chosen, "ours"))
        assert ask(lake, "SELECT recipe_id FROM media") == [(recipe_id,)]
        assert recipes.find(mine.con, "ours") == recipe_id
        published = freeze.publish(mine)
        assert frozen_catalogs(mine.uri, mine.store)[-1].uri == published
    assert recipes.find(mine.con, "newest") == second
    mine.close()
