"""What the server's two processes say, on stderr."""

from __future__ import annotations

import logging
import sys

_CHATTY = ("botocore", "httpx", "httpx2", "uvicorn")


def log_to_stderr() -> None:
    """One line an event: when, and what."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
