"""`forget` beside `serve`: jobs that go on are waited for, what came meanwhile is done afterwards."""

import subprocess
import threading
from contextlib import closing, contextmanager

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from demo.services import wait_until
from tests.faults.invariants import opened
from tests.integration.doors import SHOTLOG
from tests.integration.serving import serving
from tests.integration.test_api_categories import ended, post
from tests.media import media


class Slow:
    """A film that comes only once it `may_come`; `asked` once somebody wants it."""

    def __init__(self):
        self.asked, self.may_come = threading.Event(), threading.Event()

    def __call__(self, request):
        if request.method == "GET":
            self.asked.set()
            self.may_come.wait(60)
        return Response(media("bikes.mp4").read_bytes(), headers={"ETag": '"slow"'})


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def web(slow):
    with HTTPServer(threaded=True) as http:
        http.expect_request("/slow.mp4").respond_with_handler(slow)
        http.expect_request("/next.mp4").respond_with_data(media("bigbuckbunny.mp4").read_bytes())
        http.expect_request("/coffee.png").respond_with_data(media("coffee.png").read_bytes())
        yield http
        slow.may_come.set()


@contextmanager
def forgetting(served, folder, *named):
    """The command while it goes on, and a way to read what it has said."""
    said = folder / "said"
    with said.open("w") as log:
        command = [SHOTLOG, "forget", *named, "--yes"]
        process = subprocess.Popen(command, env=served.env, stdin=subprocess.DEVNULL, stderr=log, stdout=log)
    try:
        yield process, said.read_text
    finally:
        process.kill()
        process.wait()


def found(lake, catalog):
    """Names of what has been looked at."""
    with closing(opened(lake, catalog)) as mine:
        looks = mine.con.execute("SELECT parse_filename(uri) FROM log.taggings ORDER BY ALL").fetchall()
        return [name for (name,) in looks]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_job_that_goes_on_is_waited_for_and_those_asked_for_meanwhile_are_done(kind, slow, web, request, tmp_path):
    settings = {
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_WORKERS": "2",
        "SHOTLOG_MAX_FRAMES": "2",
    }
    catalog = request.getfixturevalue("postgres").url if kind == "postgres" else None
    if catalog:
        settings["SHOTLOG_CATALOG"] = catalog
    wanted = {"media_urls": [web.url_for("/slow.mp4")], "metadata": ["tags"]}
    with serving(tmp_path, "builtin", settings) as served, served.client(served.key("tag")) as http:
        first = http.post("/v2/media/batches", json=wanted).json()["job_id"]
        assert slow.asked.wait(60)
        with forgetting(served, tmp_path, web.url_for("/slow.mp4")) as (process, said):
            wait_until("it to say so", lambda: "jobs of `shotlog serve` go on" in said() or None, seconds=60)
            second = post(http, web.url_for("/next.mp4")).json()["job_id"]
            assert post(http, web.url_for("/coffee.png")).status_code == 200, "nobody waits for it with an image"
            slow.may_come.set()
            assert process.wait(120) == 0, said()
        assert "1 media forgotten" in said()
        for job_id in (first, second):
            assert ended(http, job_id)["status"] == "COMPLETED"
        expected = ["coffee.png", "next.mp4"]
        wait_until("the image", lambda: found(tmp_path / "lake", catalog) == expected or None, seconds=60)
