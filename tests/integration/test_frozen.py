"""Who reads the frozen catalog sees what the lake shows, however a run ended, and whoever changed it."""

import pytest
from pytest_httpserver import HTTPServer

from demo.services import wait_until
from pipeline.lake.connection import connect
from pipeline.lake.frozen import FrozenCatalog, frozen_catalogs
from pipeline.steps import run
from pipeline.steps.recipes import use_recipe
from pipeline.store import open_store
from tests.integration.doors import ask, fill, tag
from tests.integration.quiet import Quiet
from tests.integration.serving import serving
from tests.integration.test_api_categories import ended, post
from tests.media import media


def frozen(lake, query="SELECT parse_filename(uri) FROM media ORDER BY uri"):
    """What the newest frozen catalog says; None where there is none."""
    uri = str(lake)
    published = frozen_catalogs(uri, open_store(uri))
    if not published:
        return None
    with connect(uri, open_store(uri), FrozenCatalog(published[-1]), read_only=True) as con:
        return con.execute(query).fetchall()


class Breaking(Quiet):
    """Breaks the run off after its first media object."""

    def __init__(self, error):
        self._error = error

    def tagged(self, _):
        raise self._error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()], ids=["interrupted", "broken"])
def test_what_a_run_that_was_broken_off_has_found_is_published(error, tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4"), tmp_path / "lake"
    tag(lake, archive, freeze="on")
    fill(archive, "still.webp")
    request = {"sources": str(archive), "lake": str(lake), "tagger": "null", "workers": 1, "freeze": "on"}
    with pytest.raises(type(error)):
        run.tag(request, Breaking(error))
    assert frozen(lake, "SELECT count(*) FROM log.sightings") == [(2,)]
    assert frozen(lake) == ask(lake, "SELECT parse_filename(uri) FROM media ORDER BY uri")


def test_a_recipe_that_is_chosen_is_published(tmp_path):
    archive, lake = fill(tmp_path / "in", "cfr.mp4"), tmp_path / "lake"
    tag(lake, archive)
    tag(lake, archive, max_frames=1, retag=True, freeze="on")
    assert frozen(lake, "SELECT frames FROM media") == [(1,)]
    ((first,),) = ask(lake, "SELECT arg_min(recipe_id, first_used_at) FROM log.recipes")
    use_recipe({"lake": str(lake), "freeze": "on"}, first)
    assert frozen(lake, "SELECT frames FROM media") == [(2,)]


def test_what_a_job_has_found_is_published(tmp_path):
    with HTTPServer(threaded=True) as web:
        web.expect_request("/bikes.mp4").respond_with_data(media("bikes.mp4").read_bytes())
        settings = {"SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}", "SHOTLOG_FREEZE": "on"}
        with serving(tmp_path, "builtin", settings) as served, served.client(served.key("tag")) as http:
            job_id = post(http, web.url_for("/bikes.mp4")).json()["job_id"]
            assert ended(http, job_id)["status"] == "COMPLETED"
            found = wait_until("it to be published", lambda: frozen(tmp_path / "lake"), seconds=60)
            assert found == [("bikes.mp4",)]
