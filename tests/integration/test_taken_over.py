"""A run that another took over, or that is run again after its end, never passes for done where media are missing."""

from pathlib import PurePosixPath

import pytest

import pipeline
from pipeline.errors import LakeError
from pipeline.lake.journal import Journal
from pipeline.steps.desk import Desk
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches, read_batch
from pipeline.steps.publish import publish_run
from pipeline.steps.reading import Readers
from pipeline.steps.run import tag
from pipeline.steps.tag import tag_batch
from pipeline.steps.workplace import Workplace
from tests.integration.doors import fill
from tests.integration.quiet import Quiet


@pytest.fixture
def asked(tmp_path):
    fill(tmp_path / "in", "a.mp4=cfr.mp4", "b.mp4=vfr.mp4", "c.mp4=hevc.mp4")
    fill(tmp_path / "other", "d.mp4=cfr.mov")
    return {"sources": str(tmp_path / "in"), "lake": str(tmp_path / "lake"), "tagger": "null", "workers": 1}


def names(asked):
    rows = pipeline.connect(asked["lake"]).execute("SELECT parse_filename(uri) FROM media ORDER BY uri").fetchall()
    return [name for (name,) in rows]


def break_off(asked, run_id, batch_id):
    """What a task that is killed after its first media object leaves behind; returns what it finished."""
    work = Workplace.of(asked)
    lake = work.lake(read_only=False)
    batch, ended = read_batch(lake, run_id, batch_id), []
    with work.tagger() as tagger, work.decoders() as decoders:
        desk = Desk(run_id, work.recipe(tagger), Journal(lake, run_id), ended.append)
        frames = Readers(work, [batch], desk, tagger, decoders).stream()
        for answer in tagger.look(frames):
            desk.answered(answer)
            if ended:
                break
        frames.close()
    lake.close()
    assert len(ended) < 3
    return {PurePosixPath(tagging.object.uri).name for tagging in ended}


def test_a_batch_that_another_run_took_over_is_not_done(asked, tmp_path):
    run_id = list_media(asked, "scheduled-1")["run_id"]
    (batch_id,) = plan_batches(asked, run_id)["batches"]
    finished = break_off(asked, run_id, batch_id)
    tag({**asked, "sources": str(tmp_path / "other")}, Quiet())
    assert finished and finished < set(names(asked)), "what the dead run finished is kept"
    with pytest.raises(LakeError, match="a later run took over; start a new one"):
        tag_batch(asked, run_id, batch_id)
    with pytest.raises(LakeError, match="is incomplete"):
        publish_run(asked, run_id)
    summary = tag(asked, Quiet())
    assert summary["new"] + summary["unchanged"] == 3
    assert names(asked) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    taggings = pipeline.connect(asked["lake"]).execute("SELECT count(*) FROM log.taggings").fetchone()
    assert taggings == (4,), "nothing was looked at twice"


def test_a_run_cleared_after_its_end_lists_and_plans_anew(asked, tmp_path):
    for turn, expected in enumerate((["000000"], ["000001"], [])):
        if turn == 1:
            fill(tmp_path / "in", "new.mp4=cfr.mkv")
        run_id = list_media(asked, "scheduled-1")["run_id"]
        batches = plan_batches(asked, run_id)["batches"]
        assert batches == plan_batches(asked, run_id)["batches"] == expected
        for batch_id in batches:
            tag_batch(asked, run_id, batch_id)
        assert publish_run(asked, run_id)["state"] == "finished"
    assert names(asked) == ["a.mp4", "b.mp4", "c.mp4", "new.mp4"]
    row = pipeline.connect(asked["lake"]).execute("SELECT state, media_planned, media_done FROM runs").fetchall()
    assert row == [("finished", 4, 4)]


def test_a_run_that_was_taken_over_before_it_was_planned_says_so(asked, tmp_path):
    run_id = list_media(asked, "scheduled-1")["run_id"]
    tag({**asked, "sources": str(tmp_path / "other")}, Quiet())
    with pytest.raises(LakeError, match="no longer listed"):
        plan_batches(asked, run_id)


def test_no_more_batches_than_the_scheduler_can_map(asked):
    run_id = list_media({**asked, "batch_frames": 1}, "scheduled-1")["run_id"]
    assert len(plan_batches({**asked, "batch_frames": 1}, run_id, 2)["batches"]) == 2
