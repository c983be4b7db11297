"""Every kind of catalog under the same tests."""

import pytest

from pipeline.lake.catalog import open_lake
from pipeline.store import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request):
    """SHOTLOG_CATALOG."""
    return request.getfixturevalue("postgres").url if request.param == "postgres" else None


@pytest.fixture
def open_it(tmp_path, catalog):
    """Opens the same new lake each time, in a folder, with that catalog."""
    uri = str(tmp_path / "lake")

    def opened(**options):
        return open_lake(uri, open_store(uri), catalog=catalog, **options)

    return opened


@pytest.fixture
def lake(open_it):
    opened = open_it(create=True, read_only=False)
    yield opened
    opened.close()
