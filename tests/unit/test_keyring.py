"""Keys of the HTTP API: shown once, kept as hashes, useless once revoked or expired."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import UsageError
from pipeline.keyring import PREFIX, Keyring


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "keys.json"


def test_a_key_has_its_name_and_scopes(path):
    secret, _ = Keyring(path).create("newsroom", ("ask",))
    key = Keyring(path).find(secret)
    assert key
    assert (key.name, key.scopes) == ("newsroom", ("ask",))
    admin, _ = Keyring(path).create("boss", ("admin",))
    found = Keyring(path).find(admin)
    assert found
    assert (found.name, found.scopes) == ("boss", ("admin",))


def test_the_file_holds_no_key_and_is_for_its_owner_alone(path):
    secret, _ = Keyring(path).create("newsroom", ("ask", "tag"))
    assert secret.startswith(PREFIX)
    assert secret.removeprefix(PREFIX) not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        Keyring(path).find(secret)


@pytest.mark.parametrize("text", ["", "shotlog_", "x" * 10_000, "shotlog_é", "\udcff"])
def test_any_other_text_is_no_key(path, text):
    keyring = Keyring(path)
    secret, _ = keyring.create("newsroom", ("ask",))
    assert keyring.find(text) is None
    assert keyring.find(secret[:-1]) is None
    assert keyring.find(secret + "x") is None


def test_a_revoked_key_is_refused_at_once_where_it_was_known(path):
    here, there = Keyring(path), Keyring(path)
    secret, _ = here.create("newsroom", ("ask",))
    assert there.find(secret)
    here.revoke("newsroom")
    assert there.find(secret) is None
    assert [key.state for key in there.all()] == ["revoked"]


def test_an_expired_key_is_refused(path):
    keyring = Keyring(path)
    secret, key = keyring.create("newsroom", ("ask",), "12h")
    assert keyring.find(secret)
    assert key.is_valid(datetime.now(UTC) + timedelta(hours=11))
    assert not key.is_valid(datetime.now(UTC) + timedelta(hours=13))
    rows = json.loads(path.read_text())
    rows["keys"][0]["expires_at"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    path.write_text(json.dumps(rows))
    assert keyring.find(secret) is None
    assert [key.state for key in keyring.all()] == ["expired"]


@pytest.mark.parametrize(
    ("name", "scopes", "expires", "said"),
    [
        ("", ("ask",), None, "can't name a key"),
        ("a/b", ("ask",), None, "can't name a key"),
        ("a", (), None, "without scopes"),
        ("a", ("aks",), None, "did you mean ask"),
        ("a", ("ask",), "soon", "30d, 12h or"),
        ("a", ("ask",), "0d", "a time to come"),
        ("a", ("ask",), "2020-01-01", "a time to come"),
        ("taken", ("ask",), None, "choose another name"),
    ],
)
def test_what_makes_no_key_is_said(path, name, scopes, expires, said):
    keyring = Keyring(path)
    keyring.create("taken", ("ask",))
    with pytest.raises(UsageError, match=said):
        keyring.create(name, scopes, expires)
    assert [key.name for key in Keyring(path).all()] == ["taken"]


def test_a_date_of_another_zone_is_kept_in_utc(path):
    _, key = Keyring(path).create("a", ("ask",), "2099-01-31T01:00+02:00")
    assert key.expires_at == "2099-01-30T23:00:00+00:00"


def test_to_revoke_an_unknown_one_lists_the_known(path):
    Keyring(path).create("newsroom", ("ask",))
    with pytest.raises(UsageError, match="known are newsroom"):
        Keyring(path).revoke("newsrom")


def test_a_file_of_something_else_is_left_alone(path):
    path.parent.mkdir()
    path.write_text("[]")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="SHOTLOG_KEYS_FILE"):
        Keyring(path).create("a", ("ask",))
    assert path.read_text() == "[]"


def test_of_many_made_at_once_none_is_lost(path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: Keyring(path).create(f"key-{number}", ("tag",))[0], range(24)))
    assert all(Keyring(path).find(secret) for secret in made)
    assert len(Keyring(path).all()) == 24
