"""Jobs under SIGKILL: server and worker die at random moments, and are started anew until every job has ended."""

import os
import random
import re
import signal
import time
from contextlib import suppress

import httpx
import psutil
import pytest
from pytest_httpserver import HTTPServer

import pipeline
from demo.services import wait_until
from tests.integration.serving import serving
from tests.integration.test_api_categories import ended
from tests.integration.test_api_webhooks import OLD, SECRET, Receiver
from tests.media import media

FRAMES = 3


@pytest.fixture
def receiver():
    with HTTPServer(threaded=True) as http:
        receiver = Receiver(http)
        http.expect_request("/hook", method="POST").respond_with_handler(receiver.take)
        http.expect_request(re.compile(r"/\d+\.mp4")).respond_with_data(media("bikes.mp4").read_bytes())
        yield receiver


@pytest.fixture
def settings(receiver, tmp_path):
    endpoints, netloc = tmp_path / "webhooks.toml", f"{receiver.http.host}:{receiver.http.port}"
    endpoints.touch(mode=0o600)
    endpoints.write_text(f'[news]\nurl = "http://{netloc}/hook"\nsecrets = ["{SECRET}", "{OLD}"]\n')
    return {
        "SHOTLOG_FETCH_ALLOW_HOSTS": netloc,
        "SHOTLOG_LAKE": str(tmp_path / "lake"),
        "SHOTLOG_WEBHOOKS_FILE": str(endpoints),
        "SHOTLOG_MAX_FRAMES": str(FRAMES),
        "HOME": str(tmp_path),
    }


def begin(client, receiver, number):
    """A job's id; None where the server died on the way, so that nobody has heard of it."""
    url = f"http://{receiver.http.host}:{receiver.http.port}/{number}.mp4"
    body = {"media_url": url, "metadata": ["participants"], "webhook": "news", "store": number % 3 > 0}
    with suppress(httpx.TransportError):
        answer = client.post("/v2/media/categories", json=body)
        assert answer.status_code in (202, 503), answer.text
        return answer.json().get("job_id")
    return None


def kill(pid, chance):
    """The server, or its worker."""
    server = psutil.Process(pid)
    victim = chance.choice([server, *server.children()])
    with suppress(ProcessLookupError):
        os.kill(victim.pid, signal.SIGKILL)


@pytest.mark.seeds(1, 3)
def test_every_job_ends_once_and_is_told(receiver, settings, tmp_path, request, seed):
    chance, key, jobs = random.Random(seed), None, []
    count = 50 if request.config.getoption("--all") else 5
    while len(jobs) < count:
        with serving(tmp_path, "builtin", settings) as served:
            key = key or served.key("tag")
            with served.client(key) as client:
                until = time.monotonic() + chance.uniform(0.3, 6)
                while time.monotonic() < until:
                    if len(jobs) < count and (job_id := begin(client, receiver, len(jobs))):
                        jobs.append(job_id)
                kill(served.pid, chance)
                time.sleep(chance.uniform(0, 1))
    with serving(tmp_path, "builtin", settings) as served, served.client(key) as client:
        for job_id in jobs:
            status = ended(client, job_id, seconds=300)
            assert status["status"] == "COMPLETED"
            assert len({row["timestamp"] for row in status["results"]}) == len(status["results"]) == FRAMES
        for job_id in jobs:
            wait_until("the message", lambda job_id=job_id: receiver.about(job_id) or None, seconds=120)
    with pipeline.connect(settings["SHOTLOG_LAKE"]) as lake:
        twice = "SELECT run_id, count(*) FROM log.taggings GROUP BY run_id, media_id HAVING count(*) > 1"
        assert lake.execute(twice).fetchall() == []
        kept = lake.execute("SELECT count(*) FROM runs WHERE list_contains(?, run_id) AND state = 'finished'", [jobs])
        assert kept.fetchone() == (sum(number % 3 > 0 for number in range(count)),)
