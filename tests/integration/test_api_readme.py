"""What README shows of the HTTP API runs as it stands there, against a real server and a tiny model."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.integration.serving import serving
from tests.media import media

README = (Path(__file__).parents[2] / "README.md").read_text()
SHOWN = {
    name: re.search(
        rf"<!-- {name} begin -->\n```\w+\n(.*?)^```$\n<!-- {name} end -->", README, re.DOTALL | re.MULTILINE
    )
    for name in ("curl", "openai", "fetch")
}
COMMAND = {"curl": ["sh", "-c"], "openai": [sys.executable, "-c"], "fetch": ["node", "--input-type=module", "-e"]}
"""What runs each."""


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        http.expect_request("/coffee.png").respond_with_data(media("coffee.png").read_bytes())
        yield http


@pytest.fixture(scope="module")
def served(held_server, web, tmp_path_factory):
    settings = {
        "SHOTLOG_OPENAI_BASE_URL": held_server.url,
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_ANSWER_TOKENS": "64",
    }
    with serving(tmp_path_factory.mktemp("readme"), f"openai:{held_server.model}", settings) as server:
        yield server


@pytest.mark.parametrize(
    "name",
    [
        "curl",
        "openai",
        pytest.param("fetch", marks=pytest.mark.skipif(not shutil.which("node"), reason="no node here")),
    ],
)
def test_an_example_of_readme_runs(name, served, web):
    assert SHOWN[name], f"README has lost its comments '<!-- {name} begin -->' and end"
    text = SHOWN[name][1].replace("http://127.0.0.1:8000", served.url)
    text = text.replace("https://example.com/coffee.png", web.url_for("/coffee.png"))
    env = {**os.environ, "API_KEY": served.key(), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run([*COMMAND[name], text], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and '"error"' not in done.stdout


def test_the_server_of_readme_is_started_as_here():
    assert re.search(r"^shotlog serve --tagger openai:\S+$", README, re.MULTILINE)
