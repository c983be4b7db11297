"""The process that works for the API: python -m pipeline.api.worker SOCKET PARENT_PID, settings as JSON on stdin.

It loads the tagger, then answers HTTP on a Unix socket that only its user can reach. It ends with the gate that
started it; another one starts a new one.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from pipeline.api.app import create_app
from pipeline.api.crowd import Crowd
from pipeline.api.log import log_to_stderr
from pipeline.api.outermost import Outermost
from pipeline.errors import ShotlogError
from pipeline.steps.deliveries import Deliveries
from pipeline.steps.jobs import Jobs
from pipeline.steps.recorder import Recorder
from pipeline.steps.service import Service
from pipeline.steps.spool import Spool

_log = logging.getLogger("shotlog.api")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_LOOK_EVERY_S = 0.2

END_S = 5
"""What answers that are being given have left once it is told to end."""


def main(path: Path, parent_pid: int) -> None:
    """Serve until told to end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit()
    log_to_stderr()
    with (
        Service(json.load(sys.stdin)) as service,
        Spool(spool_folder(service)) as spool,
        Recorder(service, spool) as recorder,
        Deliveries(service) as deliveries,
        Jobs(service, spool, deliveries) as jobs,
    ):
        app = create_app(service, recorder, jobs, deliveries)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))  # its folder is its user's alone
            config = uvicorn.Config(
                Outermost(Crowd(app)),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=END_S,
            )
            server = uvicorn.Server(config)
            # the server ends on this signal, then sends it again to who heard it before: what is in hand is to be kept
            signal.signal(signal.SIGTERM, lambda *_: None)
            threading.Thread(target=_end_with, args=(service, jobs, server, parent_pid), daemon=True).start()
            server.run(sockets=[listening])


def _end_with(service: Service, jobs: Jobs, server: uvicorn.Server, parent_pid: int) -> None:
    """Make way for another process once the tagger has given up; end with the gate, should the system not see to it.

    Jobs are left off at once: what ends this process may have ended others that they need.
    """
    while not service.taggers.is_broken and os.getppid() == parent_pid and not server.should_exit:
        time.sleep(_LOOK_EVERY_S)
    jobs.stop()
    if service.taggers.is_broken:
        _log.error("the tagger has given up: another worker process is to try")
    server.should_exit = True


def spool_folder(service: Service) -> Path:
    """Where this machine's servers of this lake keep what they have in hand."""
    return Path.home() / ".local" / "share" / "shotlog" / f"{service.lake().lake_id}.jobs"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]))
    except ShotlogError as error:
        print(f"shotlog: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
