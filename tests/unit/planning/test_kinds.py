"""What an object is by its name is the same whether Python says it (a listing) or DuckDB (an inventory)."""

import doctest

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import MediaObject
from pipeline.planning import listing
from pipeline.planning.listing import kind_of, kind_sql

NAMES = st.text(st.sampled_from("ab.mp4JPG/[]!*?^-\\ \n+'\"|(>ßéİKſ日\U0001f3ac"), max_size=12)
PATTERNS = st.lists(st.text(st.sampled_from("abmp4.*?[]!^-\\/\n+'|(?>:=é日"), min_size=1, max_size=8), max_size=3)
ENDINGS = st.sampled_from(["", ".mp4", ".JPG", ".Mov", ".mKv", ".mp4/.", ".txt", "..mp4", ".", ".jpg.bak"])

AWKWARD = [
    *("*.mp4", "*.MP4", "a[", "a[b", "[!", "[]", "[]a]", "[!]a]", "[a-c]*", "[c-a]", "[!c-a]", "[a-]", "[-a]", "[--a]"),
    *("[a-b-c]", "[[:alpha:]]*", "[^a]", "[\\d]", "\\", "a\\*", "(?>a)", "a|b", "?", "??", "*/x/*", "é*", "[à-ü]*"),
    *("+", "{2}"),
]
URIS = [
    f"s3://b/{name}"
    for name in ("a", "b", "x/a", "a[", "a[b", "]", "[]", "-", "c", "^", "d", "\\", "a\\x", "é", "日本.mp4")
]


@pytest.fixture(scope="module")
def con():
    return duckdb.connect()


def by_sql(con, uris, include, exclude, named=()):
    query = f"SELECT {kind_sql(include, exclude, named)} FROM (SELECT unnest($uris::VARCHAR[]) AS uri)"
    return [row[0] for row in con.execute(query, {"uris": uris}).fetchall()]


def by_python(uris, include, exclude, named=()):
    return [kind_of(MediaObject(uri, "", 0), include, exclude, named=uri in named) for uri in uris]


@settings(max_examples=400, deadline=None)
@given(uris=st.lists(st.tuples(NAMES, ENDINGS), min_size=1, max_size=8), include=PATTERNS, exclude=PATTERNS)
def test_both_agree_on_any_names_and_patterns(con, uris, include, exclude):
    uris = [f"s3://b/{name}{ending}" for name, ending in uris]
    assert by_sql(con, uris, include, exclude, uris[:1]) == by_python(uris, include, exclude, uris[:1])


@pytest.mark.parametrize("pattern", AWKWARD)
def test_both_agree_on_patterns_that_are_hard_to_read(con, pattern):
    uris = [uri + ending for uri in URIS for ending in ("", ".mp4", ".PNG", "1.x")]
    for include, exclude in (([pattern], []), ([], [pattern]), ([f"*{pattern}*", "b"], [])):
        assert by_sql(con, uris, include, exclude) == by_python(uris, include, exclude), pattern


def test_every_ending_is_known_to_both_in_any_case(con):
    uris = [
        f"s3://b/a{case(ending)}"
        for ending in listing.IMAGE_SUFFIXES | listing.VIDEO_SUFFIXES
        for case in (str, str.upper)
    ]
    found = by_sql(con, uris, [], [])
    assert found == by_python(uris, [], [])
    assert set(found) == {"image", "video"}


def test_the_example_in_the_code_is_true():
    assert doctest.testmod(listing).failed == 0
