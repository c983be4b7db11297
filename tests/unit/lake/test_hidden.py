"""What the views show follows from the history, whatever the order in which it came."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.batch import Batch
from pipeline.lake import hidden, writer
from tests.unit.lake.made import OTHER_RECIPE, RECIPE, media, tagging

START = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = ("ok", "partial")
KEPT = """
SELECT tagging_id, reason FROM log.hidden UNION ALL SELECT tagging_id, 'overtaken' FROM log.overtaken ORDER BY ALL
"""


def see(lake, name, state, at):
    row = {"media_id": media(name).media_id, "run_id": "r", "uri": name, "etag": "", "state": state, "seen_at": at}

    def work(con):
        writer.insert(con, {"sightings": [row]})
        hidden.refresh(con, [row["media_id"]])

    lake.transaction(work)


def choose(lake, recipe, at):
    def work(con):
        writer.insert(con, {"recipe_choices": [{"recipe_id": recipe.recipe_id, "chosen_at": at}]})
        hidden.refresh(con)

    lake.transaction(work)


def expected(looks, gone, chosen):
    """The ids that `media` and `failures` show, by the words of DESIGN and nothing else."""
    shown, failures = set(), set()
    for name in {look.object.uri for look in looks} - gone:
        of_it = sorted((look for look in looks if look.object.uri == name), key=lambda look: look.tagged_at)
        latest = of_it[-1]
        good = [look for look in of_it if look.status in GOOD and look.object.etag == latest.object.etag]
        wished = [look for look in good if chosen and look.recipe_id == chosen.recipe_id]
        if good:
            shown.add((wished or good)[-1].tagging_id)
        if latest.status != "ok":
            failures.add(latest.tagging_id)
    return shown, failures


@pytest.mark.seeds(1, 30)
def test_the_views_show_what_the_history_says(seed, lake):
    chance, looks, gone, chosen = random.Random(seed), [], set(), None
    for step in range(20):
        at, name = START + timedelta(seconds=step), chance.choice("abc")
        what = chance.choice(["look", "look", "look", "gone", "back", "choose"])
        if what == "look":
            status = chance.choice(["ok", "ok", "partial", "failed"])
            look = tagging(
                media(name, etag=chance.choice("12")),
                status=status,
                code=None if status == "ok" else "unreadable",
                recipe=chance.choice([RECIPE, OTHER_RECIPE]),
                batch_id=f"{step:06}",
            )
            looks.append(replace(look, tagged_at=at))
            writer.commit_batch(lake, "run-1", look.batch_id, looks[-1:])
        elif what == "choose":
            chosen = chance.choice([RECIPE, OTHER_RECIPE])
            choose(lake, chosen, at)
        else:
            see(lake, name, what.replace("back", "new"), at)
            gone = gone | {media(name).uri} if what == "gone" else gone - {media(name).uri}
        shown, failures = expected(looks, gone, chosen)
        assert {row[0] for row in lake.con.execute("SELECT tagging_id FROM media").fetchall()} == shown, step
        assert {row[0] for row in lake.con.execute("SELECT tagging_id FROM failures").fetchall()} == failures, step
        for view in ("tags", "thumbnails"):
            assert {row[0] for row in lake.con.execute(f"SELECT tagging_id FROM {view}").fetchall()} == shown, view
        kept = lake.con.execute(KEPT).fetchall()
        lake.transaction(lambda con: hidden.refresh(con))
        assert lake.con.execute(KEPT).fetchall() == kept


def planned(looks, *, looked_at=(), others=0):
    objects = tuple(look.object for look in looks)
    return Batch("000000", "run-1", objects, looked_at=tuple(one.media_id for one in looked_at), others=others)


def test_a_batch_of_new_media_hides_nothing(lake):
    looks = [tagging(media("a.mp4")), tagging(media("b.mp4"))]
    writer.commit_batch(lake, "run-1", "000000", looks, planned=planned(looks))
    assert lake.con.execute("SELECT count(*) FROM log.hidden").fetchone() == (0,)


def test_what_another_run_looked_at_meanwhile_is_found(lake):
    looks = [tagging(media("a.mp4"))]
    plan = planned(looks)  # before the other run has committed
    writer.commit_batch(lake, "run-2", "000000", [tagging(media("a.mp4"), run_id="run-2")])
    writer.commit_batch(lake, "run-1", "000000", looks, planned=plan)
    assert lake.con.execute("SELECT count(*) FROM media").fetchone() == (1,)


def test_a_planned_second_look_takes_the_place_of_the_first(lake):
    first, second = tagging(), tagging(run_id="run-2")
    writer.commit_batch(lake, "run-1", "000000", [first])
    plan = planned([second], looked_at=[media()], others=1)
    writer.commit_batch(lake, "run-2", "000000", [second], planned=plan)
    assert lake.con.execute("SELECT tagging_id FROM media").fetchall() == [(second.tagging_id,)]
