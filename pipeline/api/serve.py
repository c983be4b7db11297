"""The API alone: gate and worker, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import uvicorn

from pipeline.api.gate import Gate


def serve(request: dict[str, Any], host: str, port: int) -> None:
    """Listen once the tagger is loaded. Raises ShotlogError where it can't be."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    gate = Gate(request)
    config = uvicorn.Config(gate, host=host, port=port, lifespan="off", access_log=False, server_header=False)
    server = uvicorn.Server(config)

    async def run() -> None:
        await gate.worker.ready()
        await server.serve()

    try:
        asyncio.run(run())
    finally:
        gate.worker.end()
