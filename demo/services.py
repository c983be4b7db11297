"""A real S3 server as a context manager, and what it and Airflow share: ports, waiting, processes that end."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx
from botocore.config import Config
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from demo import keeper

T = TypeVar("T")

WEED_GRPC = 10_000
"""Each of weed's ports P also takes P + 10000, for gRPC."""


class ServiceError(RuntimeError):
    """A service didn't start or died: which, why, and the log that says more."""


@dataclass
class Service:
    """One running command under its keeper. `log` gets all that it prints."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raises ServiceError where it has ended."""
        if (code := self.process.poll()) is not None:
            raise ServiceError(f"{self.name} ended with code {code}: {last_lines(self.log)}\n  log: {self.log}")

    def stop_soon(self) -> None:
        """Begin to end it, without waiting: of several, none has to wait for the others."""
        if self.process.stdin:
            self.process.stdin.close()


@contextmanager
def running(
    name: str, command: list[str], log: Path, env: dict[str, str] | None = None, grace_s: float = 5.0
) -> Iterator[Service]:
    """Run a command until the block ends, however it ends; then neither it nor anything below it is left."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    process = subprocess.Popen(
        [sys.executable, keeper.__file__, str(log), str(grace_s), *command],
        stdin=subprocess.PIPE,
        env=env,
        start_new_session=True,  # Ctrl-C in the terminal is for us alone to hear
    )
    try:
        yield Service(name, log, process)
    finally:
        _end(process, grace_s)


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Tell the keeper to stop; where it can't any more (killed itself), end what was in its session."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(grace_s + 10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    keeper.send(keeper.offspring(process.pid), keeper.signal.SIGKILL)


def wait_until(what: str, ask: Callable[[], T | None], *, seconds: float, services: tuple[Service, ...] = ()) -> T:
    """Poll until `ask` gives something other than None. Raises ServiceError when a service dies or time is up."""

    def attempt() -> T | None:
        for service in services:
            service.check()
        return ask()

    waiting = Retrying(
        stop=stop_after_delay(seconds), wait=wait_fixed(0.1), retry=retry_if_result(lambda got: got is None)
    )
    try:
        return waiting(attempt)  # type: ignore[return-value]
    except RetryError as error:
        logs = "".join(f"\n  log: {service.log}: {last_lines(service.log)}" for service in services)
        raise ServiceError(f"{what} didn't happen within {seconds:g} s{logs}") from error


def answers(url: str, code: int) -> bool | None:
    """True when a GET is answered with this status, None for anything else."""
    try:
        return True if httpx.get(url, timeout=5, trust_env=False).status_code == code else None
    except httpx.HTTPError:
        return None


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log on one line, for a message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " · ".join(lines[-count:]) or "(empty)"


def free_ports(count: int, *, also: int = 0) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; with `also`, port + also is free too. Held until all are found."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            first = _bind(0)
            held.append(first)
            port = first.getsockname()[1]
            if port + also > 65_535:
                continue
            try:
                held.extend([_bind(port + also)] if also else [])
            except OSError:
                continue
            found.append(port)
        return found
    finally:
        for sock in held:
            sock.close()


def _bind(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def check_port(port: int, *, setting: str) -> int:
    """The port, where it is free. Raises ServiceError that says how to take another one."""
    try:
        _bind(port).close()
    except OSError as error:
        raise ServiceError(
            f"port {port} is taken by another program: choose one with `{setting}={port + 1}`, or any free one with "
            f"`{setting}=0`"
        ) from error
    return port


@dataclass(frozen=True)
class S3:
    """A running S3 server, and how boto3 and DuckDB reach it."""

    endpoint: str
    access_key: str
    secret_key: str
    service: Service = field(repr=False)

    @property
    def env(self) -> dict[str, str]:
        """What boto3's chain reads from the environment."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(proxies={}),
        )


@contextmanager
def s3_server(folder: Path, *, log: Path | None = None) -> Iterator[S3]:
    """SeaweedFS' S3 server on free ports of 127.0.0.1; its buckets and keys stay in `folder`."""
    data = folder.resolve()
    data.mkdir(parents=True, exist_ok=True)
    config = data / "s3.json"
    if not config.exists():
        _write_identity(config)
    key = json.loads(config.read_text())["identities"][0]["credentials"][0]
    s3, master, volume, filer, admin = free_ports(5, also=WEED_GRPC)
    command = [str(Path(sys.executable).with_name("weed")), "mini", f"-dir={data}", f"-s3.config={config}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}", f"-master.port={master}"]
    command += [f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}", "-webdav=false"]
    # a bucket takes a volume; by itself weed would have one for each free GB of the disk
    command += ["-volume.max=10000"]
    command += ["-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    endpoint = f"http://127.0.0.1:{s3}"
    with running("the S3 server", command, log or data / "weed.log") as service:
        # without a key it must refuse: then its identities are loaded, too
        wait_until("the S3 server's start", lambda: answers(endpoint, 403), seconds=60, services=(service,))
        yield S3(endpoint, key["accessKey"], key["secretKey"], service)


def _write_identity(config: Path) -> None:
    credentials = [{"accessKey": secrets.token_hex(8), "secretKey": secrets.token_hex(16)}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "shotlog", "credentials": credentials, "actions": actions}
    config.touch(mode=0o600)
    config.write_text(json.dumps({"identities": [identity]}))


def plain_environment() -> dict[str, str]:
    """This environment without what would leak into a service: other settings, other credentials."""
    leaking = ("SHOTLOG_", "AIRFLOW_", "AWS_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(leaking)}
