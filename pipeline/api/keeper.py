"""The worker process: found, started, started again when it has died, and ended."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from pipeline.errors import ShotlogError, TaggerError, UsageError
from pipeline.settings import Settings

START_S = 600.0
"""What a worker may take to load its tagger."""

END_S = 10.0
"""What it may take to end, before it is killed."""

_log = logging.getLogger("shotlog.api")

REST_S = 5.0
"""For so long after a start that failed none is tried again."""

_LOOK_EVERY_S = 0.05


class Worker:
    """The worker process of these settings on this machine, whoever started it."""

    def __init__(self, request: dict[str, Any], settings: Settings) -> None:
        """request: settings by their names, as the command line gives them; settings: what came of them."""
        said = json.dumps([settings.model_dump(mode="json", exclude={"openai_api_key"}), str(Path.cwd())])
        self._request = json.dumps(request).encode()
        self.socket = _folder() / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: asyncio.Future[None] | None = None
        self._failed: tuple[float, ShotlogError] | None = None

    async def ready(self) -> None:
        """Return once it takes requests; start it where it doesn't run. Raises ShotlogError."""
        if await self._listens():
            return
        if not self._starting or self._starting.done():
            self._starting = asyncio.ensure_future(self._started())
            self._starting.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # there may be no waiter
        await asyncio.shield(self._starting)  # it goes on also where nobody waits so long

    async def _started(self) -> None:
        with self.socket.with_suffix(".lock").open("a") as lock:
            while not _held(lock):  # of several gates one starts it
                await asyncio.sleep(_LOOK_EVERY_S)
            if await self._listens():
                return
            if self._failed and time.monotonic() < self._failed[0] + REST_S:
                raise self._failed[1]
            try:
                await self._start()
            except ShotlogError as error:
                self._failed = time.monotonic(), error
                raise

    async def _start(self) -> None:
        if self._process:
            _log.warning("the worker process has died (exit code %s): starting another", self._process.poll())
        await asyncio.to_thread(self.end)
        command = [sys.executable, "-P", "-m", "pipeline.api.worker", str(self.socket), str(os.getpid())]
        # in this thread, which is the server's main one: the system ends the worker with it; in a session of its own,
        # for Ctrl-C isn't its to hear
        self._process = process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert process.stdin
        process.stdin.write(self._request)
        process.stdin.close()
        until = time.monotonic() + START_S
        while not await self._listens():
            if process.poll() is not None:
                kind = UsageError if process.returncode == UsageError.exit_code else TaggerError
                raise kind("the worker process can't start: its last words are above")
            if time.monotonic() > until:
                raise TaggerError(f"the worker process isn't ready after {START_S:g} s: see its log")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.socket))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:  # of this process, as too many open files
            raise TaggerError(f"the worker process can't be asked: {error.strerror}") from error
        writer.close()
        return True

    def end(self) -> None:
        """End the process, if this one started it."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def _held(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    """Where sockets lie: a folder that only this user can look into. Raises ShotlogError where it is another's."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"shotlog-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    stat = folder.lstat()
    if stat.st_uid != os.getuid() or stat.st_mode & 0o077 or folder.is_symlink():
        raise ShotlogError(f"'{folder}' is open to others: remove it, or set XDG_RUNTIME_DIR")
    return folder
