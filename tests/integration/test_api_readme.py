"""What README shows of the HTTP API runs as it stands there, against a real server and a tiny model."""

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from demo.services import free_ports, wait_until
from tests.integration.serving import serving
from tests.media import media

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
README = (Path(__file__).parents[2] / "README.md").read_text()
SHOWN = {
    name: re.search(
        rf"<!-- {name} begin -->\n```\w+\n(.*?)^```$\n<!-- {name} end -->", README, re.DOTALL | re.MULTILINE
    )
    for name in ("curl", "openai", "fetch", "image", "video", "receiver")
}
SHELL, PYTHON = ["sh", "-c"], [sys.executable, "-c"]
COMMAND = {
    "curl": SHELL,
    "openai": PYTHON,
    "fetch": ["node", "--input-type=module", "-e"],
    "image": SHELL,
    "video": PYTHON,
    "receiver": PYTHON,
}
"""What runs each."""


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        for name in ("coffee.png", "bikes.mp4"):
            http.expect_request(f"/{name}").respond_with_data(media(name).read_bytes())
        yield http


@pytest.fixture(scope="module")
def asked(held_server, web, tmp_path_factory):
    """A server with a model, for questions."""
    settings = {
        "HOME": str(folder := tmp_path_factory.mktemp("asked")),
        "SHOTLOG_LAKE": str(folder / "lake"),
        "SHOTLOG_OPENAI_BASE_URL": held_server.url,
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_ANSWER_TOKENS": "64",
    }
    with serving(folder, f"openai:{held_server.model}", settings) as server:
        yield server


@pytest.fixture(scope="module")
def tags(web, tmp_path_factory):
    """A server that tags."""
    folder, (port,) = tmp_path_factory.mktemp("readme"), free_ports(1)
    endpoints = folder / "webhooks.toml"
    endpoints.touch(mode=0o600)
    endpoints.write_text(f'[newsroom]\nurl = "http://127.0.0.1:{port}/"\nsecrets = ["{SECRET}"]\n')
    settings = {
        "HOME": str(folder),
        "SHOTLOG_LAKE": str(folder / "lake"),
        "SHOTLOG_WEBHOOKS_FILE": str(endpoints),
        "SHOTLOG_MAX_FRAMES": "3",
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
    }
    with serving(folder, "builtin", settings) as server:
        server.env["RECEIVER"] = f"127.0.0.1:{port}"
        yield server


def shown(name, served, web):
    """An example, with this server's addresses."""
    assert SHOWN[name], f"README has lost its comments '<!-- {name} begin -->' and end"
    text = SHOWN[name][1].replace("http://127.0.0.1:8000", served.url)
    for media_name in ("coffee.png", "bikes.mp4"):
        text = text.replace(f"https://example.com/{media_name}", web.url_for(f"/{media_name}"))
    return text


@pytest.mark.parametrize(
    "name",
    [
        "curl",
        "openai",
        "image",
        "video",
        pytest.param("fetch", marks=pytest.mark.skipif(not shutil.which("node"), reason="no node here")),
    ],
)
def test_an_example_of_readme_runs(name, request, web):
    served = request.getfixturevalue("tags" if name in ("image", "video") else "asked")
    env = {**os.environ, "API_KEY": served.key("ask,tag"), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [*COMMAND[name], shown(name, served, web)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and '"error"' not in done.stdout


def test_the_receiver_of_readme_verifies_what_it_is_sent(tags, web):
    served = tags
    netloc = served.env["RECEIVER"]
    text = shown("receiver", served, web).replace("9000", netloc.partition(":")[2])
    env = {**os.environ, "WEBHOOK_SECRET": SECRET}
    with subprocess.Popen([*PYTHON, text], env=env, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            wait_until("the receiver", lambda: _listens(netloc), seconds=30)
            with served.client(served.key("tag")) as client:
                wanted = {"media_url": web.url_for("/bikes.mp4"), "metadata": ["scene"], "webhook": "newsroom"}
                job_id = client.post("/v2/media/categories", json=wanted).json()["job_id"]
            assert receiver.stdout.readline().split() == ["media.completed", job_id, "completed"]
        finally:
            receiver.kill()


def _listens(netloc):
    host, _, port = netloc.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return None
    return True


def test_the_server_of_readme_is_started_as_here():
    assert re.search(r"^shotlog serve --tagger openai:\S+$", README, re.MULTILINE)
