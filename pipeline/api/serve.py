"""The API alone: gate and worker, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import Any

import uvicorn

from pipeline.api.gate import Gate
from pipeline.api.log import log_to_stderr
from pipeline.errors import UsageError

_log = logging.getLogger("shotlog.api")


def serve(request: dict[str, Any], host: str, port: int) -> None:
    """Listen once the tagger is loaded. Raises ShotlogError where it can't be, UsageError where the port is taken."""
    log_to_stderr()
    gate = Gate(request)
    with _bound(host, port) as listening:
        config = uvicorn.Config(gate, lifespan="off", access_log=False, log_config=None, server_header=False)
        server = uvicorn.Server(config)

        async def run() -> None:
            _log.info("loading %s", gate.tagger)
            await gate.worker.ready()
            signal.signal(signal.SIGTERM, lambda *_: None)  # the server ends on it, then the worker
            _log.info("listening on http://%s:%d", host, listening.getsockname()[1])
            await server.serve(sockets=[listening])

        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(run())
        finally:
            gate.worker.end()


def _bound(host: str, port: int) -> socket.socket:
    """Before anything is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise UsageError(
            f"can't listen on {host} port {port} ({error.strerror}): give another --host or --port"
        ) from None
    return listening
