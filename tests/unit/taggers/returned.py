"""What a generator returns once it has given everything."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def returned(pieces: Generator[object, None, T]) -> T:
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
