"""Messages about jobs: a real receiver that verifies them, is down for a while, and hears from the next server."""

import base64
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field

import psutil
import pytest
import standardwebhooks
import svix.webhooks
from pytest_httpserver import HTTPServer
from werkzeug import Response

import pipeline
from demo.services import wait_until
from tests.integration.serving import COMMAND, serving
from tests.integration.test_api_categories import ended
from tests.media import media

SECRET, OLD = ("whsec_" + base64.b64encode(os.urandom(32)).decode() for _ in range(2))


@dataclass
class Receiver:
    """statuses: what it answers first; then 204."""

    http: HTTPServer
    statuses: list[int] = field(default_factory=list)
    came: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request):
        body, headers = request.get_data(), dict(request.headers.items())
        told = standardwebhooks.Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
        svix.webhooks.Webhook(OLD).verify(body, headers)
        with self.lock:
            status = self.statuses.pop(0) if self.statuses else 204
            self.came.append({"id": headers["Webhook-Id"], "status": status, **told})
        return Response(status=status)

    def about(self, job_id, delivered=True):
        with self.lock:
            return [
                one for one in self.came if one["data"].get("job_id") == job_id and (one["status"] == 204) == delivered
            ]

    def arrived(self, job_id):
        return wait_until("the message", lambda: self.about(job_id) or None, seconds=60)


@pytest.fixture(scope="module")
def receiver():
    with HTTPServer(threaded=True) as http:
        receiver = Receiver(http)
        http.expect_request("/hook", method="POST").respond_with_handler(receiver.take)
        http.expect_request("/bikes.mp4").respond_with_data(media("bikes.mp4").read_bytes())
        yield receiver


@pytest.fixture(scope="module")
def served(receiver, tmp_path_factory):
    folder, netloc = tmp_path_factory.mktemp("serve"), f"{receiver.http.host}:{receiver.http.port}"
    endpoints = folder / "webhooks.toml"
    endpoints.touch(mode=0o600)
    endpoints.write_text(f'[news]\nurl = "http://{netloc}/hook"\nsecrets = {json.dumps([SECRET, OLD])}\n')
    settings = {
        "SHOTLOG_FETCH_ALLOW_HOSTS": netloc,
        "SHOTLOG_WEBHOOKS_FILE": str(endpoints),
        "SHOTLOG_API_URL": "https://tags.example/",
        "SHOTLOG_MAX_FRAMES": "3",
    }
    with serving(folder, "builtin", settings) as server:
        yield server


@pytest.fixture(scope="module")
def http(served):
    with served.client(served.key("tag")) as client:
        yield client


@pytest.fixture
def begun(http, receiver):
    def begin(**more):
        url = f"http://{receiver.http.host}:{receiver.http.port}/bikes.mp4"
        body = {"media_url": url, "metadata": ["tags"], "webhook": "news", **more}
        return http.post("/v2/media/categories", json=body).json()["job_id"]

    return begin


def test_the_end_of_a_job_is_told_as_both_libraries_verify(http, begun, receiver, served):
    job_id = begun(custom_payload={"tape": 12})
    status = ended(http, job_id)
    (told,) = receiver.arrived(job_id)
    assert (told["event_type"], told["id"]) == ("media.completed", f"msg_{job_id}")
    data = told["data"]
    assert (data["status"], data["custom_payload"]) == ("completed", {"tape": 12})
    assert data["results"] == status["results"] and len(data["results"]) == 3
    assert data["status_url"] == f"https://tags.example/v2/media/categories/{job_id}"
    assert data["media_url"].endswith("/bikes.mp4")
    with pipeline.connect(served.env["SHOTLOG_LAKE"]) as lake:
        query = "SELECT endpoint, attempt, status, delivered FROM log.deliveries WHERE run_id = ?"
        rows = wait_until("the row", lambda: lake.execute(query, [job_id]).fetchall() or None, seconds=10)
    assert rows == [("news", 1, 204, True)]


def test_a_receiver_that_is_down_hears_later(begun, receiver):
    receiver.statuses[:] = [503, 500]
    job_id = begun(store=False)
    receiver.arrived(job_id)
    assert [one["status"] for one in receiver.about(job_id, delivered=False)] == [503, 500]
    assert {one["id"] for one in receiver.came if one["data"].get("job_id") == job_id} == {f"msg_{job_id}"}


def test_a_message_outlives_the_worker(http, begun, receiver, served):
    receiver.statuses[:] = [503]
    job_id = begun(use_scenes=True)
    ended(http, job_id)
    wait_until("the first try", lambda: receiver.about(job_id, delivered=False) or None, seconds=30)
    (worker,) = psutil.Process(served.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    ended(http, job_id)  # who asks finds a worker again
    assert receiver.arrived(job_id)


def test_an_unknown_webhook_is_refused(http, receiver):
    url = f"http://{receiver.http.host}:{receiver.http.port}/bikes.mp4"
    answer = http.post("/v2/media/categories", json={"media_url": url, "metadata": ["tags"], "webhook": "nwes"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("unknown_webhook", "webhook")
    assert "news" not in error["message"].replace("nwes", "")  # whom else the server tells is nobody's business


def command(served, *arguments):
    return subprocess.run([*COMMAND, "webhooks", *arguments], env=served.env, capture_output=True, text=True)


def test_the_command_line_shows_and_tries_messages(http, begun, receiver, served):
    job_id = begun()
    ended(http, job_id)
    receiver.arrived(job_id)
    rows = {row["run_id"]: row for row in json.loads(command(served, "list", "--format", "json").stdout)}
    assert (rows[job_id]["state"], rows[job_id]["endpoint"], rows[job_id]["attempts"]) == ("arrived", "news", 1)
    again = command(served, "retry", job_id, "--format", "json")
    assert json.loads(again.stdout) == {
        "run_id": job_id,
        "endpoint": "news",
        "delivered": True,
        "attempts": 1,
        "error": None,
    }
    unknown = command(served, "retry", "0" * 32)
    assert (unknown.returncode, "there is no job" in unknown.stderr) == (2, True)


def test_the_command_line_tries_an_endpoint(receiver, served):
    receiver.statuses[:] = []
    before = len(receiver.came)
    assert command(served, "test", "news").returncode == 0
    assert [one["event_type"] for one in receiver.came[before:]] == ["shotlog.test"]
    receiver.statuses[:] = [500]
    refused = command(served, "test", "news")
    assert (refused.returncode, "HTTP 500" in refused.stderr) == (3, True)
    assert command(served, "test", "nwes").returncode == 2
