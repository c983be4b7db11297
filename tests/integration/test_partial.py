"""A look that broke off is completed by the next run, which asks only for the missing frames (DESIGN.md §4, `partial`).

What breaks off is the desk's own report of two answered frames and a trouble; everything else is a real run.
"""

import shutil
from pathlib import Path

import pytest

import pipeline
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from pipeline.lake import writer
from pipeline.lake.journal import Journal
from pipeline.model import FrameTags
from pipeline.sampling import choose
from pipeline.steps.desk import Desk
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches, read_batch
from pipeline.steps.publish import publish_run
from pipeline.steps.run import tag
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Answer
from tests.integration.quiet import Quiet
from tests.media import media

KEPT = "answered before it broke off"


@pytest.fixture
def request_(tmp_path):
    (tmp_path / "archive").mkdir()
    shutil.copy(media("bigbuckbunny.mp4"), tmp_path / "archive")
    return {"sources": str(tmp_path / "archive"), "lake": str(tmp_path / "lake"), "tagger": "null"}


def break_off(request, code):
    """A first run whose one video is answered at two of its five moments when `code` happens."""
    run_id = list_media(request)["run_id"]
    (batch_id,) = plan_batches(request, run_id)["batches"]
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    batch = read_batch(lake, run_id, batch_id)
    desk = Desk(run_id, work.recipe(work.tagger()), Journal(lake, run_id), lambda _: None)
    desk.begin(batch)
    (film,) = batch.objects
    opened = desk.open(batch_id, film, ())
    with DecodeChild(deadline_s=60, memory_mb=2000, max_megapixels=200) as child:
        opened.info = child.probe(media("bigbuckbunny.mp4"))
        targets_s = choose("uniform", opened.info, (), 60)[:2]
        for frame in child.frames(Path(film.uri), opened.info, targets_s, media_id=film.media_id, decoder="auto"):
            assert desk.wants(opened, frame, None)
            desk.answered(Answer(frame, FrameTags(caption=KEPT, caption_source="template")))
        opened.decoder = child.decoder
    desk.read_to_end(opened, MediaError(code))
    ((_, taggings),) = desk.take_whole()
    writer.commit_batch(lake, run_id, batch_id, taggings)
    publish_run(request, run_id)
    lake.close()


def ask(request, query):
    return pipeline.connect(request["lake"]).execute(query).fetchall()


def test_a_passing_trouble_is_made_good_by_the_next_run_without_asking_twice(request_):
    break_off(request_, "decode_timeout")
    assert ask(request_, "SELECT status, error_code FROM failures") == [("partial", "decode_timeout")]
    assert ask(request_, "SELECT count(*) FROM timestamps") == [(2,)]
    assert tag(request_, Quiet())["retried"] == 1
    assert ask(request_, "SELECT status, frames FROM media") == [("ok", 5)]
    captions = ask(request_, "SELECT caption FROM timestamps ORDER BY timestamp_s")
    assert captions == [(KEPT,), (KEPT,), (None,), (None,), (None,)]
    assert ask(request_, "SELECT count(*) FROM failures") == [(0,)]
    assert tag(request_, Quiet())["retried"] == 0


def test_a_lasting_trouble_waits_until_it_is_asked_for(request_):
    break_off(request_, "corrupt")
    summary = tag(request_, Quiet())
    assert (summary["retried"], summary["waiting"], summary["frames"]) == (0, 1, 0)
    summary = tag({**request_, "retry_failed": True}, Quiet())
    assert (summary["retried"], summary["ok"], summary["frames"]) == (1, 1, 5)
    captions = ask(request_, "SELECT DISTINCT caption FROM timestamps")
    assert captions == [(None,)], "a lasting trouble may have spoilt what was answered, so all is asked again"
