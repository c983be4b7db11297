"""The HTTP API and a real Airflow: jobs that its DAG carries out, and the API inside its own server."""

import base64
import json
import os
import subprocess

import httpx
import openai
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Response

import pipeline
from demo.airflow import airflow
from demo.services import wait_until
from tests.integration.serving import COMMAND, serving
from tests.integration.test_api_categories import ended, post
from tests.media import media

FRAMES = 3
SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        http.expect_request("/bikes.mp4").respond_with_data(media("bikes.mp4").read_bytes())
        http.expect_request("/page.mp4").respond_with_data("<html>")
        yield http


@pytest.fixture(scope="module")
def told(web, tiny_model, tmp_path_factory):
    """What Airflow's tasks, the API within its server, and a server beside it are all told."""
    folder = tmp_path_factory.mktemp("api")
    endpoints = folder / "webhooks.toml"
    endpoints.touch(mode=0o600)
    endpoints.write_text(f'[news]\nurl = "{web.url_for("/hook")}"\nsecrets = ["{SECRET}"]\n')
    return {
        "SHOTLOG_LAKE": str(folder / "lake"),
        "SHOTLOG_KEYS_FILE": str(folder / "keys.json"),
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_MAX_FRAMES": str(FRAMES),
        "SHOTLOG_WORKERS": "1",
        "SHOTLOG_SCHEDULE": "none",
        "SHOTLOG_WEBHOOKS_FILE": str(endpoints),
        "SHOTLOG_MODELS": f"transformers:{tiny_model}",
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
    }


@pytest.fixture(scope="module")
def running(told, tmp_path_factory):
    env = {**told, "AIRFLOW__CORE__PLUGINS_FOLDER": str(pipeline.__path__[0]).removesuffix("pipeline") + "plugins"}
    with airflow(tmp_path_factory.mktemp("airflow"), env) as started:
        yield started


@pytest.fixture(scope="module")
def served(running, told, tmp_path_factory):
    settings = {**told, "SHOTLOG_JOBS": "airflow", "SHOTLOG_AIRFLOW_URL": running.url}
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder, "builtin", {**settings, "XDG_RUNTIME_DIR": str(folder)}) as server:
        yield server


def test_a_job_is_a_run_of_airflows(served, running, web, told):
    with served.client(served.key("tag")) as http:
        job_id = post(http, web.url_for("/bikes.mp4"), custom_payload={"a": 1}).json()["job_id"]
        status = ended(http, job_id, seconds=180)
        assert status["error"] is None
        assert (status["status"], len(status["results"]), status["custom_payload"]) == ("COMPLETED", FRAMES, {"a": 1})
        assert running.state("tag_media", job_id) == "success"
        with pipeline.connect(told["SHOTLOG_LAKE"]) as lake:
            assert lake.execute("SELECT kind, state, frames FROM runs WHERE run_id = ?", [job_id]).fetchall() == [
                ("job", "finished", FRAMES)
            ]
        failed = ended(http, post(http, web.url_for("/page.mp4")).json()["job_id"], seconds=180)
        assert (failed["status"], failed["error"]["code"]) == ("FAILED", "not_media")


def test_what_isnt_to_be_stored_stays_on_the_server(served, running, web):
    with served.client(served.key("tag")) as http:
        job_id = post(http, web.url_for("/bikes.mp4"), store=False).json()["job_id"]
        assert len(ended(http, job_id)["results"]) == FRAMES
        with pytest.raises(Exception, match="404"):
            running.state("tag_media", job_id)


def test_the_api_lies_inside_airflows_server(running, web, told, served):
    env = {**served.env, "SHOTLOG_KEYS_FILE": told["SHOTLOG_KEYS_FILE"]}
    command = [*COMMAND, "keys", "create", "--name", "inside", "--scopes", "ask,tag", "--format", "json"]
    made = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    base = f"{running.url}/shotlog"
    assert httpx.get(f"{base}/healthz", trust_env=False).json() == {"status": "ok"}
    assert httpx.post(f"{base}/v2/media/categories", json={}, trust_env=False).status_code == 401
    headers = {"Authorization": f"Bearer {made['key']}"}
    with httpx.Client(base_url=base, headers=headers, timeout=180, trust_env=False) as http:
        wait_until("the worker", lambda: True if http.get("/readyz").status_code == 200 else None, seconds=120)
        picture = base64.b64encode(media("coffee.png").read_bytes()).decode()
        answer = post(http, f"data:image/png;base64,{picture}")
        assert "cup" in answer.json()["metadata"]["participants"]
        status = ended(http, post(http, web.url_for("/bikes.mp4"), ["scene"]).json()["job_id"])
        assert status["status"] == "COMPLETED"
        assert http.get("/v2/media/categories/nonsense").status_code == 404
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=made["key"], http_client=httpx.Client(trust_env=False))
    names = [model.id for model in client.models.list()]
    assert names == ["builtin", told["SHOTLOG_MODELS"]]
    asked = [{"role": "user", "content": "What is this?"}]
    with pytest.raises(openai.UnprocessableEntityError, match="answers no questions"):
        client.chat.completions.create(model="builtin", messages=asked)
    whole = client.chat.completions.create(model=names[1], messages=asked, max_tokens=8)
    assert (whole.model, whole.usage.completion_tokens) == (names[1], 8)
    stream = client.chat.completions.create(model=names[1], messages=asked, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole.choices[0].message.content
    assert "/shotlog/openapi.json" in httpx.get(f"{base}/docs", trust_env=False).text


def test_a_run_tells_a_webhook_how_it_ended_until_it_has_heard(running, told, web):
    came = []

    def take(request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        came.append((headers["webhook-id"], Webhook(SECRET).verify(request.get_data(), headers)))
        return Response(status=503 if len(came) == 1 else 204)

    web.expect_request("/hook", method="POST").respond_with_handler(take)
    run = running.trigger("tag_media", {"sources": [str(media("coffee.png"))], "webhook": "news"})
    wait_until("the run", lambda: True if running.state("tag_media", run) == "success" else None, seconds=180)
    wait_until("the message", lambda: True if len(came) == 2 else None, seconds=120)
    (first, body), (second, again) = came
    assert (first, body) == (second, again)
    data = body["data"]
    assert (body["event_type"], data["status"], data["media_url"]) == ("media.completed", "completed", None)
    assert data["job_id"] == run.translate(str.maketrans(":+.", "---"))
    assert [row["media_url"].rpartition("/")[2] for row in data["results"]] == ["coffee.png"]
    assert {"cup", "dining table"} <= set(data["results"][0]["participants"])

    broken = running.trigger("tag_media", {"sources": ["/nowhere/at/all"], "webhook": "news"})
    wait_until("its end", lambda: True if running.state("tag_media", broken) == "failed" else None, seconds=180)
    wait_until("the message", lambda: True if len(came) == 3 else None, seconds=120)
    assert came[2][1]["data"]["status"] == "failed"
    with pipeline.connect(told["SHOTLOG_LAKE"]) as lake:
        rows = lake.execute("SELECT attempt, status, delivered FROM log.deliveries ORDER BY tried_at").fetchall()
    assert rows == [(1, 503, False), (2, 204, True), (1, 204, True)]
