"""What every suite shares: a real S3 server, a tiny model and a server of it, and how many seeds a battery runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.services import S3, s3_server
from tests.models import FAMILIES
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.started import ModelServer, held

pytest.register_assert_rewrite("tests.contract", "tests.faults", "tests.integration", "tests.unit")
"""What the suites' helpers assert says what it met, too."""

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""For torch, here and in every process the tests start: threads that wait for each other in a spin, beside decoders
that want the same cores, make a tiny model twenty times as slow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--family", choices=FAMILIES, default="llava", help="whose tiny model is looked with")
    parser.addoption("--all", action="store_true", help="run the slow batteries whole (`make test-all`)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `seeds(few, many)` gets an argument `seed`: few of them, or with --all many."""
    if marker := metafunc.definition.get_closest_marker("seeds"):
        few, many = marker.args
        metafunc.parametrize("seed", range(many if metafunc.config.getoption("--all") else few))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "seeds(few, many): run for so many seeds, with --all for many")


@pytest.fixture(scope="session")
def tiny_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision-language model of random weights in a folder: what it says means nothing."""
    family = request.config.getoption("--family")
    return FAMILIES[family](tmp_path_factory.mktemp("models") / f"tiny-{family}")


@pytest.fixture(scope="session")
def held_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """The tests' own OpenAI-compatible server over that model, which holds answers to their schema."""
    with held(tiny_model, tmp_path_factory.mktemp("held")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Postgres for the whole session; every lake has a schema of its own there."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """SeaweedFS on a free port of 127.0.0.1 for the whole session; every test makes buckets of its own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
