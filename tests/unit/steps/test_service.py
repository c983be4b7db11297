"""Which media a caller may name."""

import pytest

from pipeline.errors import UsageError
from pipeline.steps.service import _data, _lies_in


@pytest.mark.parametrize(
    ("url", "source", "may"),
    [
        ("s3://tapes/a.mp4", "s3://tapes", True),
        ("s3://tapes/a.mp4", "s3://tapes/", True),
        ("s3://tapes/2026/a.mp4", "s3://tapes/2026/", True),
        ("s3://tapes/a.mp4", "s3://tapes/a.mp4", True),
        ("s3://tapes-private/a.mp4", "s3://tapes", False),
        ("s3://tapes/2027/a.mp4", "s3://tapes/2026/", False),
        ("s3://tapes/2026-private/a.mp4", "s3://tapes/2026", False),
        ("s3://tapes", "https://example.com/a.mp4", False),
    ],
)
def test_an_object_lies_in_a_source_or_it_does_not(url, source, may):
    assert _lies_in(url, source) is may


def test_a_data_url_is_bytes_and_a_type():
    assert _data("data:image/png;charset=utf-8;base64,AAEC") == b"\x00\x01\x02"
    with pytest.raises(UsageError):
        _data("data:image/png" + ";a" * 4_000_000 + ",AAAA")
