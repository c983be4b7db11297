"""What every suite shares: a real S3 server, and how many seeds a battery runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.services import S3, s3_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow batteries whole (`make test-all`)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `seeds(few, many)` gets an argument `seed`: few of them, or with --all many."""
    if marker := metafunc.definition.get_closest_marker("seeds"):
        few, many = marker.args
        metafunc.parametrize("seed", range(many if metafunc.config.getoption("--all") else few))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "seeds(few, many): run for so many seeds, with --all for many")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """SeaweedFS on a free port of 127.0.0.1 for the whole session; every test makes buckets of its own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
