"""`shotlog keys`: made once, listed without showing them, revoked for good."""

import json
import subprocess
import sys

import pytest

from demo.services import plain_environment


@pytest.fixture
def keys(tmp_path):
    def run(*arguments, code=0):
        env = {**plain_environment(), "SHOTLOG_KEYS_FILE": str(tmp_path / "folder/keys.json")}
        command = [sys.executable, "-m", "pipeline.cli.main", "keys", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_a_key_is_shown_once_and_its_file_is_its_owners(keys, tmp_path):
    made = keys("create", "--name", "newsroom", "--scopes", "ask")
    key = made.stdout.strip()
    assert key.startswith("shotlog_") and "shown this once" in made.stderr
    listed = json.loads(keys("list", "--format", "json").stdout)
    assert [(row["name"], row["scopes"], row["state"]) for row in listed] == [("newsroom", "ask", "valid")]
    file = tmp_path / "folder/keys.json"
    assert key not in file.read_text() and file.stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_stays_listed(keys):
    keys("create", "--name", "newsroom", "--scopes", "ask,tag", "--expires", "30d")
    assert json.loads(keys("revoke", "--name", "newsroom", "--format", "json").stdout)["name"] == "newsroom"
    assert json.loads(keys("list", "--format", "json").stdout)[0]["state"] == "revoked"
    assert json.loads(keys("list", "--format", "json").stdout)[0]["expires_at"]


def test_as_json_a_key_is_one_document(keys):
    made = json.loads(keys("create", "--name", "newsroom", "--scopes", "admin", "--format", "json").stdout)
    assert set(made) == {"name", "key", "scopes", "expires_at"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "--name", "a b", "--scopes", "ask"], "can't name a key"),
        (["create", "--name", "a", "--scopes", "aks"], "unknown scope 'aks'"),
        (["create", "--name", "a", "--scopes", ""], "a key without scopes opens nothing"),
        (["create", "--name", "a", "--scopes", "ask", "--expires", "soon"], "'soon' is no time"),
        (["revoke", "--name", "nobody"], "unknown key 'nobody'"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(keys, arguments, sentence):
    assert sentence in keys(*arguments, code=2).stderr
