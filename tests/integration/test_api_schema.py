"""Whatever the OpenAPI document allows is answered as it says, and nothing breaks the server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.serving import serving

EXAMPLES = {"few": 30, "many": 400}
"""Of each phase and route: a few hundred requests, and some thousand."""

REFUSED = [400, 401, 403, 404, 405, 413, 415, 422, 429]


@pytest.mark.timeout(1200)
def test_the_server_keeps_to_its_openapi_document(held_server, tmp_path, pytestconfig):
    settings = {
        "SHOTLOG_OPENAI_BASE_URL": held_server.url,
        "SHOTLOG_CALLS_A_MINUTE": "1000000",
        "SHOTLOG_ANSWER_TOKENS": "64",
    }
    many = pytestconfig.getoption("--all")
    with serving(tmp_path, f"openai:{held_server.model}", settings) as server:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {server.key('ask,tag')}", "--request-timeout", "120", "--no-color"),
            *("--max-examples", str(EXAMPLES["many" if many else "few"])),
            # a URL that the document allows may lead nowhere, and a model may be unknown here
            *("--exclude-checks", "positive_data_acceptance"),
        ]
        # some of what the document doesn't allow is too long to be read at all
        (tmp_path / "schemathesis.toml").write_text(
            f"[checks]\nnegative_data_rejection.expected-statuses = {REFUSED}\n"
        )
        env = {**os.environ, "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        log = server.log.read_text()
    assert done.returncode == 0, done.stdout
    generated = int(re.search(r"(\d+) generated", done.stdout)[1])
    assert generated >= (2000 if many else 200)
    assert not re.search(r"Traceback| 5\d\d \d+ ms", log)
