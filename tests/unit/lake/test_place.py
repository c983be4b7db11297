"""What SHOTLOG_CATALOG may name, and that nothing of a password is shown where it names neither."""

import pytest

from pipeline.errors import UsageError
from pipeline.lake.place import database_of
from pipeline.lake.postgres import PostgresCatalog


@pytest.mark.parametrize(
    "setting",
    [
        "postgresql://u:p@h/db",
        "host=db dbname=lake",
        " dbname = lake",
        "connect_timeout=5 host=db dbname=x",
        "application_name=shotlog host=db",
        "target_session_attrs=any host=h",
    ],
)
def test_a_database_by_a_url_or_by_any_of_libpqs_words(setting):
    assert database_of(setting) == setting
    assert PostgresCatalog(setting, "x").kind == "postgres"


def test_the_name_of_a_database_shows_no_password():
    words = "host=db user=u password=geheim sslkey=key.pem sslpassword=geheim"
    assert "geheim" not in PostgresCatalog(words, "x").name


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg2", "POSTGRESQL", " postgresql"])
def test_the_scheme_as_others_write_it(scheme):
    assert database_of(f"{scheme}://u:p@h/db") == "postgresql://u:p@h/db"


@pytest.mark.parametrize(
    "setting",
    [
        "/mnt/host=3/catalog.sqlite",
        "catalog-user=anna.sqlite",
        "./user=anna.sqlite",
        "~/my lake/c.sqlite",
        "postgres.db",
    ],
)
def test_a_file_whatever_it_is_called(setting):
    assert database_of(setting) is None


@pytest.mark.parametrize(
    "setting",
    [
        *("postgresql:/u:geheim@h/db", "postgres:u:geheim@h", " postgresql+psycopg2:/u:geheim@h/db"),
        *("mysql://u:geheim@h/x", "/mnt/x.sqlite password=geheim", "x.sqlite\tpassword = geheim", "'password=geheim'"),
    ],
)
def test_what_is_neither_is_refused_and_not_shown(setting):
    with pytest.raises(UsageError, match="is neither a Postgres database's nor a file's: give") as told:
        database_of(setting)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize("password", ["Ge@heim", "Geh/eim", "12/heim", "@heim", "Geh@/eim", "Geh@ei/m"])
def test_a_password_that_wants_encoding_is_refused_and_no_part_of_it_shown(password):
    with pytest.raises(UsageError, match="write @ as %40, / as %2F and : as %3A there") as told:
        PostgresCatalog(f"postgresql://shotlog:{password}@127.0.0.1:1/lake", "x")
    assert "eim" not in str(told.value)


def test_what_is_encoded_is_taken_and_only_the_password_kept_back():
    mine = PostgresCatalog("postgresql://me%40work:Ge%40h%2Feim@/lake?host=%2Ftmp%2Fsockets,db&port=1,2", "x")
    assert "eim" not in mine.name
    assert "user=me@work" in mine.name
