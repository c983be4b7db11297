"""Completions over HTTP: OpenAI's own client against a real server and a tiny model, whose words mean nothing."""

import base64
import json
import os
import signal
import socket
import subprocess
import time

import openai
import psutil
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from demo.services import wait_until
from tests.integration.serving import COMMAND, serving
from tests.media import media


def picture(name="coffee.png"):
    return f"data:image/png;base64,{base64.b64encode(media(name).read_bytes()).decode()}"


def asked(*urls, text="What is it?", role="user"):
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": role, "content": [*parts, {"type": "text", "text": text}]}]


class Web:
    """A server inside the network, which callers may name."""

    def __init__(self, http):
        self.http, self.netloc = http, f"{http.host}:{http.port}"
        for name in ("coffee.png", "bikes.mp4"):
            http.expect_request(f"/{name}").respond_with_data(media(name).read_bytes())
        http.expect_request("/large.bin").respond_with_data(bytes(3 << 20))
        http.expect_request("/page.html").respond_with_data("<html>", content_type="text/html")

    def url(self, name):
        return f"http://{self.netloc}/{name}"

    def redirecting(self, target):
        self.http.expect_request("/away").respond_with_response(Response(status=302, headers={"Location": target}))
        return self.url("away")


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        yield Web(http)


@pytest.fixture(scope="module")
def served(tiny_model, web, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    settings = {"SHOTLOG_FETCH_ALLOW_HOSTS": web.netloc, "SHOTLOG_MAX_PIXELS": "200000", "SHOTLOG_FETCH_MB": "2"}
    with serving(folder, f"transformers:{tiny_model}", settings) as server:
        yield server


@pytest.fixture(scope="module")
def key(served):
    return served.key()


@pytest.fixture
def http(served, key):
    with served.client(key) as client:
        yield client


@pytest.fixture
def client(served, key):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def complete(http, messages, **more):
    return http.post("/v2/media/completions", json={"messages": messages, "max_tokens": 8, **more})


# ---- the contract


def test_the_openai_client_gets_an_answer_and_what_it_took(client):
    (model,) = client.models.list().data
    told = client.chat.completions.create(model=model.id, messages=asked(picture()), max_tokens=8)
    (choice,) = told.choices
    assert told.object == "chat.completion" and told.model == model.id and told.id
    assert choice.message.role == "assistant" and choice.finish_reason == "length"
    assert told.usage.completion_tokens == 8 and told.usage.prompt_tokens > 100
    assert told.usage.total_tokens == told.usage.prompt_tokens + 8


def test_the_openai_client_gets_it_as_it_is_written(client):
    (model,) = client.models.list().data
    request = {"model": model.id, "messages": asked(picture()), "max_tokens": 12}
    whole = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "length"
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1 and len(chunks) > 4


def test_the_same_answer_lies_under_both_addresses(http):
    first, second = (http.post(path, json={"messages": asked(picture()), "max_tokens": 8}).json() for path in PATHS)
    assert first["choices"] == second["choices"] and first["usage"] == second["usage"]


PATHS = ("/v2/media/completions", "/v1/chat/completions")


def test_a_temperature_too_low_to_count_with_is_none(http):
    cold, colder = (complete(http, asked(picture()), temperature=heat).json() for heat in (0, 1e-40))
    assert cold["choices"] == colder["choices"]


def test_who_leaves_in_the_middle_of_a_stream_leaves_the_model_to_others(http):
    with http.stream("POST", PATHS[0], json={"messages": asked(picture()), "max_tokens": 5000, "stream": True}) as some:
        next(some.iter_lines())
    began = time.monotonic()
    assert complete(http, asked(picture())).status_code == 200
    assert time.monotonic() - began < 60, "5,000 tokens of the tiny model take minutes"


def test_the_stream_ends_as_openais_does(http):
    answer = complete(http, asked(picture()), stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event.removeprefix("data: ") for event in answer.text.strip().split("\n\n")]
    assert events[-1] == "[DONE]"
    assert all(json.loads(event)["object"] == "chat.completion.chunk" for event in events[:-1])


def test_a_conversation_has_turns_and_a_system_prompt_of_its_own(http):
    turns = [
        {"role": "system", "content": "Be brief."},
        *asked(picture()),
        {"role": "assistant", "content": "A cup."},
        {"role": "user", "content": "Of what?"},
    ]
    short, long = complete(http, turns[1:2]).json(), complete(http, turns).json()
    assert short["choices"][0]["message"]["content"] != long["choices"][0]["message"]["content"]


def test_an_image_and_a_video_are_fetched_from_the_web(http, web):
    image = complete(http, asked(web.url("coffee.png"))).json()["usage"]["prompt_tokens"]
    video = complete(http, asked(web.url("bikes.mp4"))).json()["usage"]["prompt_tokens"]
    assert video > image + 9 * len("at 00:00:01.000:"), "ten frames, each with its timecode; a token is a byte"


def test_more_pixels_than_the_tagger_takes_cost_no_more(http):
    small, large = (complete(http, asked(picture(name))).json()["usage"] for name in ("coffee.png", "astronaut.png"))
    assert small["prompt_tokens"] == large["prompt_tokens"], "the tiny model sees every picture in one size"


def test_the_model_may_be_named_and_another_is_unknown(http, tiny_model):
    assert complete(http, asked(picture()), model=f"transformers:{tiny_model}").status_code == 200
    refused = complete(http, asked(picture()), model="gpt-4o")
    assert refused.status_code == 404
    assert refused.json()["error"] | {"message": ""} == {
        "code": "model_not_found",
        "message": "",
        "param": "model",
        "type": "not_found_error",
    }


# ---- what is refused


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"[]", 422, "invalid_request", None),
        (b"{}", 422, "invalid_request", "messages"),
        (b'{"messages": []}', 422, "invalid_request", "messages"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', 422, "invalid_request", "messages.0.role"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', 422, "invalid_request", "messages"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', 422, "invalid_request", "max_tokens"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 9}', 422, "invalid_request", "temperature"),
    ],
)
def test_a_body_that_is_no_question_is_refused_with_what_is_wrong(http, body, status, code, param):
    answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert error["message"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:9/x.png", "address_refused"),
        ("http://[::ffff:169.254.169.254]/latest", "address_refused"),
        ("http://2130706433/", "address_refused"),
        ("http://no-such-host.invalid/x.png", "unreadable"),
        ("http://", "invalid_request"),
        ("ftp://example.com/x.png", "invalid_request"),
        ("file:///etc/passwd", "invalid_request"),
        ("/etc/passwd", "invalid_request"),
        ("s3://anyones/x.png", "invalid_request"),
        ("data:text/html;base64,AAAA", "invalid_request"),
        ("data:image/png;base64,@@@", "invalid_request"),
        ("data:image/png" + ";a=b" * 100_000 + ";base64,AAAA", "invalid_request"),
        ("data:image/png;base64,", "empty_file"),
        ("data:image/png;base64,AAAA", "not_media"),
    ],
)
def test_a_url_that_leads_nowhere_or_inside_is_refused(http, url, code):
    answer = complete(http, asked(url))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code), answer.text
    assert "/etc" not in answer.text or url.startswith("/etc")


def test_a_redirect_inside_is_refused(http, web):
    answer = complete(http, asked(web.redirecting("http://169.254.169.254/latest/meta-data")))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "address_refused")


def test_more_than_a_caller_may_name_is_refused(http, web):
    assert complete(http, asked(web.url("large.bin"))).json()["error"]["code"] == "too_large"
    assert complete(http, asked(*[picture()] * 21)).json()["error"]["code"] == "invalid_request"
    large = http.post("/v1/chat/completions", content=b"x" * (65 << 20))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")


def test_text_in_place_of_an_image_is_no_media(http, web):
    assert complete(http, asked(web.url("page.html"))).json()["error"]["code"] == "not_media"


# ---- keys


def test_who_shows_no_key_is_told_so_before_the_body_is_there(served):
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/%E2%82%AC", "/%C3%A9", "/%0a", "/v1/models/", "/v1/models%3Fx", "//docs"])
def test_a_path_that_leads_nowhere_is_not_found_with_a_key_and_refused_without(served, http, path):
    with served.client(None) as stranger:
        assert stranger.get(path).status_code == 401
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_stranger_cannot_say_what_the_gate_says_to_the_worker(served):
    with served.client(served.key("tag")) as client:
        assert client.get("/metrics", headers={"X-Shotlog-Scopes": "admin"}).status_code == 403


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic Zm9v", "shotlog_x"])
@pytest.mark.parametrize("path", ["/v1/models", *PATHS])
def test_without_a_key_nothing_is_told(served, header, path):
    with served.client(None) as client:
        headers = {"Authorization": header} if header else {}
        answer = client.request("GET" if path.endswith("models") else "POST", path, headers=headers, json={})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"


def test_health_needs_no_key(served):
    with served.client(None) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}


def test_a_revoked_key_and_one_for_something_else_open_nothing(served):
    with served.client(served.key()) as client:
        assert client.get("/v1/models").status_code == 200
        name = list(served.keys)[-1]
        subprocess.run([*COMMAND, "keys", "revoke", "--name", name], env=served.env, check=True)
        assert client.get("/v1/models").status_code == 401
    with served.client(served.key("tag")) as client:
        refused = complete(client, asked())
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")


def test_the_log_names_the_key_and_holds_none(served, http):
    http.get("/v1/models")
    assert "test-0 'GET /v1/models' 200" in served.log.read_text()
    assert not any(secret in served.log.read_text() for secret in served.keys.values())


# ---- the server itself


def test_answers_carry_headers_that_keep_browsers_from_guessing(http):
    headers = http.get("/v1/models").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_the_openapi_document_tells_of_every_route_and_of_no_secret(served, http):
    document = http.get("/openapi.json").json()
    media_paths = {f"/v2/media/{name}" for name in ("categories", "categories/{job_id}", "jobs", "batches")}
    assert {"/v1/models", *PATHS} | media_paths == set(document["paths"])
    assert served.env["SHOTLOG_KEYS_FILE"] not in json.dumps(document)


def test_a_worker_that_dies_is_started_again(served, http):
    (worker,) = (p for p in psutil.Process(served.pid).children() if "pipeline.api.worker" in p.cmdline())
    os.kill(worker.pid, signal.SIGKILL)
    wait_until("its end", lambda: worker.status() == psutil.STATUS_ZOMBIE or None, seconds=60)
    # what comes while its last threads end is told to come again
    wait_until("a new one", lambda: complete(http, asked(picture())).status_code == 200 or None, seconds=120)
    assert worker.pid not in {process.pid for process in psutil.Process(served.pid).children()}


def test_the_worker_ends_with_the_server(tiny_model, tmp_path):
    with serving(tmp_path, f"transformers:{tiny_model}") as server:
        below = psutil.Process(server.pid).children(recursive=True)
        assert any("pipeline.api.worker" in process.cmdline() for process in below)
        os.kill(server.pid, signal.SIGKILL)
        wait_until("the worker's end", lambda: not psutil.wait_procs(below, timeout=0)[1], seconds=60)


def test_a_tagger_that_cannot_be_had_is_said_at_the_start(tmp_path):
    command = [*COMMAND, "serve", "--tagger", "transformers:./nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "nowhere" in done.stderr and "Traceback" not in done.stderr


# ---- limits


@pytest.fixture(scope="module")
def strict(held_server, tmp_path_factory):
    """One that allows three calls a minute, bodies of 1 MB, and one web page."""
    settings = {
        "SHOTLOG_OPENAI_BASE_URL": held_server.url,
        "SHOTLOG_CALLS_A_MINUTE": "3",
        "SHOTLOG_BODY_MB": "1",
        "SHOTLOG_CORS_ORIGINS": "https://app.example",
    }
    with serving(tmp_path_factory.mktemp("strict"), f"openai:{held_server.model}", settings) as server:
        yield server


def test_a_fourth_call_within_a_minute_is_told_when_to_come_again(strict):
    with strict.client(strict.key()) as client, strict.client(strict.key()) as another:
        answers = [client.get("/v1/models") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].json()["error"]["type"] == "rate_limit_error"
        assert another.get("/v1/models").status_code == 200, "a limit is a key's own"


def test_wrong_keys_open_nothing_and_hinder_nobody(strict, pytestconfig):
    count = 10_000 if pytestconfig.getoption("--all") else 300
    with strict.client(None) as client:
        told = {client.get("/v1/models", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(count)}
    assert told == {401}
    with strict.client(strict.key()) as client:
        assert client.get("/v1/models").status_code == 200


def test_a_body_that_grows_past_the_limit_is_refused_though_nobody_said_how_long_it_is(strict):
    with strict.client(strict.key()) as client:
        answer = client.post("/v1/chat/completions", content=(b"x" * 100_000 for _ in range(20)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_pages_of_the_allowed_origin_may_call_and_others_may_not(strict):
    with strict.client(None) as client:
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = client.options("/v1/chat/completions", headers=headers)
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
