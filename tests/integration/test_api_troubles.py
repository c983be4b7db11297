"""What goes wrong over HTTP, and what is said of it: bad media, impatient callers, odd bodies, an end in the middle."""

import base64
import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress

import httpx
import psutil
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

import pipeline
from demo.services import free_ports, wait_until
from tests.integration.serving import COMMAND, serving
from tests.integration.test_api_categories import ended, post
from tests.media import media

FRAMES = 4


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        for name in ("coffee.png", "bikes.mp4", "truncated.mp4"):
            http.expect_request(f"/{name}").respond_with_data(media(name).read_bytes(), headers={"ETag": f'"{name}"'})
        http.expect_request("/page.mp4").respond_with_data("<html>", headers={"ETag": '"1"'})
        http.expect_request("/gone.mp4").respond_with_response(Response(status=404))
        odd = {"Last-Modified": "Mon, 26 Oct 2026 00:00:00 +9999999999999999"}
        http.expect_request("/odd.png").respond_with_data(media("coffee.png").read_bytes(), headers=odd)
        over = threading.Event()
        http.expect_request("/never.mp4").respond_with_handler(lambda _: over.wait(120) and Response())
        yield http
        over.set()


def settings_for(web):
    return {
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_MAX_FRAMES": str(FRAMES),
        "SHOTLOG_WORKERS": "1",
    }


@pytest.fixture(scope="module")
def served(web, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder, "builtin", settings_for(web)) as server:
        yield server


@pytest.fixture(scope="module")
def http(served):
    with served.client(served.key("ask,tag")) as client:
        yield client


@pytest.fixture
def url(web):
    return lambda name: f"http://{web.host}:{web.port}/{name}"


def batch(http, *urls):
    wanted = {"media_urls": list(urls), "metadata": ["participants"]}
    return ended(http, http.post("/v2/media/batches", json=wanted).json()["job_id"])


def test_a_job_says_of_each_media_object_what_is_wrong(http, url):
    bad = {"gone.mp4": "not_found", "page.mp4": "not_media", "truncated.mp4": "truncated"}
    status = batch(http, url("bikes.mp4"), "http://no-such-host.invalid/x.png", *(url(name) for name in bad))
    assert (status["status"], status["error"]) == ("COMPLETED", None)
    failures = {one["media_url"].rpartition("/")[2]: one["code"] for one in status["failures"]}
    assert failures == {**bad, "x.png": "unreadable"}
    assert {row["media_url"] for row in status["results"]} == {url("bikes.mp4"), url("truncated.mp4")}
    assert not any("--" in one["message"] for one in status["failures"])  # that is for who runs shotlog


def test_the_same_bad_file_is_told_of_each_time(http, url):
    told = [ended(http, post(http, url("page.mp4")).json()["job_id"]) for _ in range(2)]
    assert [(status["status"], status["error"]["code"]) for status in told] == [("FAILED", "not_media")] * 2


def test_of_a_url_with_a_query_the_same_is_found_again(http, url):
    first, again = (ended(http, post(http, url("bikes.mp4?v=2")).json()["job_id"]) for _ in range(2))
    assert first["results"] == again["results"] and len(first["results"]) == FRAMES


def test_two_urls_that_differ_in_their_query_are_two_media(served, http, url):
    for query in ("", "?x=1", ""):
        ended(http, post(http, url(f"bikes.mp4{query}")).json()["job_id"])
    with pipeline.connect(served.env["SHOTLOG_LAKE"]) as lake:
        query = "SELECT count(*) FROM log.sightings WHERE state = 'gone' AND uri = ?"
        assert lake.execute(query, [url("bikes.mp4")]).fetchone() == (0,)


def test_a_date_that_is_none_is_no_date(http, url):
    assert post(http, url("odd.png")).status_code == 200


def test_a_cancelled_job_frees_its_place_and_stays_as_it_was(http, url):
    wanted = {"media_urls": [url("bikes.mp4"), url("never.mp4"), url("coffee.png")], "metadata": ["tags"]}
    job_id = http.post("/v2/media/batches", json=wanted).json()["job_id"]
    status = http.delete(f"/v2/media/categories/{job_id}").json()
    assert (status["status"], status["error"]["code"]) == ("FAILED", "cancelled")
    assert status["percent_complete"] < 100
    assert http.delete(f"/v2/media/categories/{job_id}").json()["status"] == "FAILED"
    assert http.get(f"/v2/media/categories/{job_id}").json()["error"]["code"] == "cancelled"


def test_what_a_job_had_found_is_there_after_the_worker_died(served, http, url):
    urls = [url(f"bikes.mp4?n={number}") for number in range(6)]
    wanted = {"media_urls": urls, "metadata": ["participants"], "store": False}
    job_id = http.post("/v2/media/batches", json=wanted).json()["job_id"]

    def status():
        answer = http.get(f"/v2/media/categories/{job_id}")
        return answer.json() if answer.status_code == 200 else None

    wait_until("some of it", lambda: ((told := status()) and told["percent_complete"] > 40) or None, seconds=60)
    (worker,) = psutil.Process(served.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    after = wait_until("the next worker", status, seconds=60)
    assert after["percent_complete"] > 0 and len(after["results"]) >= 2 * FRAMES  # of media that were done
    assert len(ended(http, job_id)["results"]) == 6 * FRAMES


def test_keys_take_turns(served, http, url):
    with served.client(served.key("tag")) as other:
        many = [post(http, url(f"bikes.mp4?turn={number}")).json()["job_id"] for number in range(6)]
        (few,) = [post(other, url("bikes.mp4?turn=7")).json()["job_id"]]
        ended(other, few)
        states = [http.get(f"/v2/media/categories/{job_id}").json()["status"] for job_id in many]
    assert states[-1] == "CREATED" and states.count("COMPLETED") <= 3
    for job_id in many:
        http.delete(f"/v2/media/categories/{job_id}")


@pytest.mark.parametrize(
    "payload",
    ['{"a": NaN}', '{"a": 1e999}', r'{"a": "\ud800"}', '{"a":' * 60 + "1" + "}" * 60, '{"a": "' + "x" * 70_000 + '"}'],
)
def test_a_payload_that_cannot_be_handed_back_is_refused(http, url, payload):
    body = f'{{"media_url": "{url("bikes.mp4")}", "metadata": ["tags"], "custom_payload": {payload}}}'
    answer = http.post("/v2/media/categories", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert http.get("/v2/media/jobs").status_code == 200


def test_a_body_of_very_many_values_is_not_read(http):
    body = b'{"messages": [' + b"[]," * 200_000 + b"[]]}"
    answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "too_many_values")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_is_not_said_to_be_json_is_refused(http, kind):
    headers = {"Content-Type": kind} if kind else {}
    answer = http.post("/v2/media/categories", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "wrong", [{"temperature": False}, {"max_tokens": True}, {"stream": "yes"}, {"temperature": "1"}]
)
def test_no_value_is_taken_for_another(http, wrong):
    answer = http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "?"}], **wrong})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, next(iter(wrong)))


def test_an_item_of_a_batch_is_named(http, url):
    wanted = {"media_urls": [url("coffee.png"), "ftp://somewhere/a.mp4"], "metadata": ["tags"]}
    error = http.post("/v2/media/batches", json=wanted).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "media_urls.1")


def test_a_tagger_that_answers_no_questions_says_so(http):
    asked = {"messages": [{"role": "user", "content": "What is this?"}], "temperature": None, "stream": None}
    answer = http.post("/v1/chat/completions", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "answers_no_questions")


def test_a_key_to_tag_learns_whom_it_can_name(served):
    with served.client(served.key("tag")) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["builtin"]
        assert client.post("/v1/chat/completions", json={}).status_code in (403, 422)


@pytest.mark.parametrize("job_id", ["a%00b", "..", "%2e%2e", "a" * 300, "serve-x"])
def test_what_is_no_jobs_id_is_404(http, job_id):
    assert http.get(f"/v2/media/categories/{job_id}").status_code == 404
    assert http.delete(f"/v2/media/categories/{job_id}").status_code == 404


def test_who_needs_no_key_has_nothing_to_send(served):
    with served.client(None) as stranger:
        assert stranger.post("/docs", content=b"x" * 100).status_code == 401
        assert stranger.request("GET", "/healthz", content=b"x" * 5000).status_code == 413


def test_impatient_callers_do_not_keep_a_worker_from_starting(served, http):
    (worker,) = psutil.Process(served.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    pids = set()
    for _ in range(10):
        with suppress(httpx.TimeoutException):
            http.get("/v1/models", timeout=0.1)
        pids |= {child.pid for child in psutil.Process(served.pid).children()} - {worker.pid}
    assert http.get("/v1/models").status_code == 200
    assert pids == {child.pid for child in psutil.Process(served.pid).children()} and len(pids) == 1


def test_the_end_of_a_server_is_in_the_lake(web, tmp_path):
    picture = base64.b64encode(media("coffee.png").read_bytes()).decode()
    with serving(tmp_path, "builtin", settings_for(web)) as server, server.client(server.key("tag")) as http:
        assert post(http, f"data:image/png;base64,{picture}").status_code == 200
        os.kill(server.pid, signal.SIGTERM)
        wait_until("its end", lambda: True if not psutil.pid_exists(server.pid) else None, seconds=30)
    with pipeline.connect(str(tmp_path / "lake")) as lake:
        assert lake.execute("SELECT kind, state, frames FROM runs").fetchall() == [("serve", "finished", 1)]


def test_a_signal_to_all_its_processes_fails_no_job(web, url, tmp_path):
    """As systemd and Ctrl-C send it: to server, worker and decoders at once."""
    with serving(tmp_path, "builtin", settings_for(web)) as server, server.client(server.key("tag")) as http:
        key = server.keys["test-0"]
        urls = [url(f"bikes.mp4?n={number}") for number in range(4)]
        wanted = {"media_urls": urls, "metadata": ["participants"]}
        job_id = http.post("/v2/media/batches", json=wanted).json()["job_id"]
        status = f"/v2/media/categories/{job_id}"
        wait_until("its begin", lambda: http.get(status).json()["results"] or None, seconds=60)
        tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in reversed(tree):  # decoders first
            os.kill(process.pid, signal.SIGTERM)
        psutil.wait_procs(tree, timeout=30)
    with serving(tmp_path, "builtin", settings_for(web)) as server, server.client(key) as http:
        status = ended(http, job_id)
        assert (status["status"], status["failures"]) == ("COMPLETED", [])
        assert len(status["results"]) == 4 * FRAMES


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(tmp_path):
    (port,) = free_ports(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        command = [*COMMAND, "serve", "--port", str(port), "--lake", str(tmp_path / "lake")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, f"can't listen on 127.0.0.1 port {port}" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "lake").exists()
