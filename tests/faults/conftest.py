"""Where the battery's lakes lie."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.services import S3
from tests.servers.faulty_s3 import FaultyS3, faulty_s3


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultyS3]:
    """Between the real S3 server and who is led there by its `env`."""
    with faulty_s3(s3) as server:
        yield server
