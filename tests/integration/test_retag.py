"""Another recipe: see what is stale, try it on a sample, compare, take it over, go back (DESIGN.md §5.5)."""

import json
import re
from dataclasses import replace

import pytest

from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.views import views
from pipeline.model import FrameTags, Label
from pipeline.store import open_store
from tests.integration.doors import ask, fill, rows, shotlog, tag
from tests.unit.lake.made import OTHER_RECIPE, RECIPE, media, tagging

FILMS = ("cfr.mp4", "vfr.mkv", "hevc.mp4")
VIEWS = [name for name in views() if name != "runs"]
SHOWN = "SELECT recipe_id, count(*) FROM media GROUP BY ALL ORDER BY ALL"


def recipes(lake):
    done = shotlog("recipes", "list", "--lake", "lake", "--format", "json", cwd=lake.parent)
    assert done.returncode == 0, done.stderr
    return {one["recipe_id"]: one for one in json.loads(done.stdout)}


def use(lake, recipe):
    done = shotlog("recipes", "use", recipe, "--lake", "lake", cwd=lake.parent)
    assert done.returncode == 0, done.stderr


def test_a_sample_stands_beside_what_is_there_and_the_whole_follows(tmp_path):
    archive = fill(tmp_path / "in", *(f"{number:02}-{name}={name}" for number in range(20) for name in FILMS))
    lake = tmp_path / "lake"
    tag(lake, archive)
    before = ask(lake, "FROM media ORDER BY uri")
    sample = tag(lake, archive, max_frames=1, retag=True, sample="20%")
    assert (sample["stale"], 4 <= sample["ok"] <= 24) == (60, True)
    assert ask(lake, "FROM media ORDER BY uri") == before, "the views stay as they are"
    again = tag(lake, archive, max_frames=1, retag=True, sample="20%")
    assert again["ok"] == 0, "the same share is the same media"
    old, new = recipes(lake)
    assert [recipes(lake)[one]["current"] for one in (old, new)] == [True, False]
    rest = tag(lake, archive, max_frames=1, retag=True)
    assert rest["ok"] == 60 - sample["ok"]
    assert ask(lake, SHOWN) == [(old, 60)]
    use(lake, "newest")
    assert ask(lake, SHOWN) == [(new, 60)]
    assert ask(lake, "SELECT count(*) FROM timestamps") == [(60,)]
    use(lake, old)
    assert ask(lake, "FROM media ORDER BY uri") == before
    use(lake, "none")
    assert ask(lake, SHOWN) == [(new, 60)]


def test_going_to_another_recipe_and_back_shows_what_was_shown_and_looks_at_nothing(tmp_path):
    archive = fill(tmp_path / "in", *FILMS, "still.webp", "copy.mp4=cfr.mp4", "text.mp4", "truncated.mp4")
    lake = tmp_path / "lake"
    tag(lake, archive)
    tag(lake, archive, max_frames=1, retag=True)
    fill(archive, "later.mp4=late_start.mp4")
    tag(lake, archive)  # what only one of them has looked at
    first, second = recipes(lake)

    def shown():
        return {view: ask(lake, f"FROM {view} ORDER BY ALL") for view in VIEWS}

    use(lake, first)
    before, history = shown(), rows(lake)
    use(lake, second)
    assert shown()["timestamps"] != before["timestamps"]
    use(lake, first)
    assert shown() == before
    assert rows(lake) | {"recipe_choices": 0, "hidden": 0} == history | {"recipe_choices": 0, "hidden": 0}
    again = tag(lake, archive)
    assert (again["ok"], again["partial"], again["failed"], again["stale"]) == (0, 0, 0, 0), "nothing is looked at"
    assert shown() == before


def test_recipes_have_names_and_what_nobody_knows_is_refused(tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4"), tmp_path / "lake"
    tag(lake, archive)
    tag(lake, archive, max_frames=1, retag=True)
    old, new = recipes(lake)
    for recipe, name in ((old, "first"), (new, "second"), (new, "first")):
        assert shotlog("recipes", "name", recipe, name, "--lake", "lake", cwd=tmp_path).returncode == 0
    assert [recipes(lake)[one]["name"] for one in (old, new)] == [None, "first"]
    use(lake, "first")
    assert recipes(lake)[new]["current"]
    for verb in (["recipes", "use", "third"], ["compare", "first", "third"]):
        done = shotlog(*verb, "--lake", "lake", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.search(rf"no recipe is called 'third': this lake has {old}, {new} \(first\)", done.stderr)
    done = shotlog("recipes", "use", "", "--lake", "lake", cwd=tmp_path)
    assert "more than one recipe is called ''" in done.stderr


@pytest.fixture
def lake(tmp_path):
    """Two recipes over the same two moments of two films: one label kept, one lost, one gained, at each."""
    uri = str(tmp_path / "lake")
    opened = open_lake(uri, open_store(uri), catalog=None, create=True, read_only=False)

    def look(name, recipe, labels):
        made = tagging(media(name), recipe=recipe, batch_id=f"{name}-{recipe.max_frames}")
        frames = tuple(replace(one, tags=FrameTags(tags=tuple(map(Label, labels)))) for one in made.frames)
        writer.commit_batch(opened, "run-1", made.batch_id, [replace(made, frames=frames)])

    opened.transaction(lambda con: [writer.know_recipe(con, recipe) for recipe in (RECIPE, OTHER_RECIPE)])
    for name in ("a.mp4", "b.mp4"):
        look(name, RECIPE, ("dog", "hat"))
        look(name, OTHER_RECIPE, ("dog", "cat"))
    look("only_one.mp4", RECIPE, ("bird",))
    opened.close()
    return tmp_path / "lake"


def test_a_view_lists_what_another_look_changed(lake):
    found = ask(
        lake, "SELECT parse_filename(uri), timestamp_s, kind, label, before, after FROM tag_changes ORDER BY ALL"
    )
    assert found == [
        (name, moment, "tags", label, label == "hat", label == "cat")
        for name in ("a.mp4", "b.mp4")
        for moment in (0.0, 1.0)
        for label in ("cat", "hat")
    ]


def test_compare_says_how_far_two_recipes_agree_and_shows_it(lake):
    ids = [RECIPE.recipe_id, OTHER_RECIPE.recipe_id]
    page = lake.parent / "page.html"
    command = ["compare", *ids, "--lake", "lake", "--html", "page.html"]
    done = shotlog(*command, "--format", "json", cwd=lake.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "media": 2,
        "moments": 4,
        "kinds": [{"kind": "tags", "both": 4, "only_first": 4, "only_second": 4, "agreement": 0.3333}],
        "gained": [{"kind": "tags", "label": "cat", "moments": 4}],
        "lost": [{"kind": "tags", "label": "hat", "moments": 4}],
        "left_out": [],
    }
    text = page.read_text()
    assert text.count("data:image/webp;base64,") == 2
    for piece in ("gained: cat", "lost: hat", "33.3%", "a.mp4 00:00:00.000", "4 moments of 2 media"):
        assert piece in text
    shown = shotlog(*command, cwd=lake.parent)
    assert "gained: cat (tags, 4)" in shown.stderr
    assert shown.stdout.splitlines()[1].split() == ["tags", "4", "4", "4", "0.333"]
    same = json.loads(shotlog("compare", ids[0], ids[0], "--lake", "lake", "--format", "json", cwd=lake.parent).stdout)
    assert (same["moments"], same["gained"], same["kinds"][0]["agreement"]) == (6, [], 1.0)


def test_a_kind_that_only_one_recipe_asks_for_is_no_change(tmp_path):
    archive = fill(tmp_path / "in", "coffee.png")
    for metadata, retag in (("participants,categories,tags", False), ("tags", True)):
        tag(tmp_path / "lake", archive, tagger="builtin", metadata=metadata, retag=retag)
    ids = recipes(tmp_path / "lake")
    assert ask(tmp_path / "lake", "SELECT count(*) > 0 FROM log.participants") == [(True,)]
    assert ask(tmp_path / "lake", "SELECT count(*) FROM tag_changes") == [(0,)]
    command = ["compare", *ids, "--lake", "lake", "--html", "page.html"]
    found = json.loads(shotlog(*command, "--format", "json", cwd=tmp_path).stdout)
    assert (found["gained"], found["lost"], found["left_out"]) == ([], [], ["categories", "participants"])
    for said in (shotlog(*command, cwd=tmp_path).stderr, (tmp_path / "page.html").read_text().lower()):
        assert "left out: categories, participants, which only one of them asks for" in said


def test_a_name_that_means_something_else_is_refused(lake):
    done = shotlog("recipes", "name", RECIPE.recipe_id, "none", "--lake", "lake", cwd=lake.parent)
    assert (done.returncode, "a recipe can't be called 'none'" in done.stderr) == (2, True)


def test_a_sample_of_nothing_is_refused(lake):
    done = shotlog("tag", "in", "--sample", "1%", "--lake", "lake", "--tagger", "null", cwd=lake.parent)
    assert (done.returncode, "give --retag or --only stale with it" in done.stderr.replace("\n", " ")) == (2, True)


def test_recipes_without_a_moment_of_both_say_what_to_do(tmp_path):
    archive = fill(tmp_path / "in", "cfr.mp4")
    for sampling, retag in (("uniform", False), ("every:700ms", True)):
        tag(tmp_path / "lake", archive, sampling=sampling, retag=retag, max_frames=1)
    done = shotlog("compare", *recipes(tmp_path / "lake"), "--lake", "lake", cwd=tmp_path)
    assert "0 moments of 0 media that both looked at" in done.stderr
    assert "shotlog tag URI… --retag --sample 1%" in done.stderr


def test_names_in_the_page_are_text_and_no_markup(lake):
    with open_lake(str(lake), open_store(str(lake)), catalog=None, read_only=False).con as con:
        con.execute("UPDATE log.tags SET label = '<script>alert(1)</script>' WHERE label = 'cat'")
    command = ["compare", RECIPE.recipe_id, OTHER_RECIPE.recipe_id, "--lake", "lake", "--html", "page.html"]
    assert shotlog(*command, cwd=lake.parent).returncode == 0
    assert "<script>" not in (lake.parent / "page.html").read_text()
    done = shotlog(*command[:-1], "none/page.html", cwd=lake.parent)
    assert (done.returncode, "give another --html" in done.stderr) == (2, True)
