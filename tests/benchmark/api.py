"""The HTTP API with the built-in tagger on loopback: what it adds to looking at an image, and whether it stays so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

import psutil

from pipeline.decode.worker import DecodeChild
from pipeline.pictures import shrunk, thumbnail
from pipeline.settings import load_settings
from pipeline.taggers import open_tagger
from tests.benchmark.loopback import NEVER, Client, files_at_hand
from tests.benchmark.table import Figure, say
from tests.integration.serving import Served, serving
from tests.media import media

NAMES = ("coffee.png", "astronaut.png", "rocket.jpg", "china.jpg")
IMAGES, CLIENTS, MANY, QUEUED, ASKED, LONG = 40, 32, 200, 1000, 400, 10_000
KINDS = ["categories", "participants", "actions", "scene", "tags"]


def run(folder: Path) -> list[Figure]:
    paths = [media(name) for name in NAMES]
    with files_at_hand(paths) as port:
        urls = [f"http://127.0.0.1:{port}/{path.name}" for path in paths]
        with _served(folder / "short", port) as (_, client):
            alone_s, asked_s = _one_by_one(paths, client, urls)
            say("  as many at once as clients")
            own, through = _own_throughput(paths), _throughput(client, urls)
        with _served(folder / "queue", port) as (_, client):
            say("  the status of one job, of a thousand")
            one_s, many_s = _status(client, f"http://127.0.0.1:{port}{NEVER}")
        with _served(folder / "long", port) as (served, client):
            say("  a long while")
            few_mb, many_mb = _long(served, client, urls)
    return [
        Figure(
            "An image over HTTP (`builtin`, loopback, one after another, p50) over decoding and tagging it in a loop",
            f"{1000 * asked_s:.0f} ms ÷ {1000 * alone_s:.0f} ms = {asked_s / alone_s:.2f}",
            "≤ 1.1",
        ),
        Figure(
            f"Images a second, {CLIENTS} clients at once, over the tagger's own with all pictures decoded",
            f"{through:.1f} ÷ {own:.1f} = {through / own:.2f}",
            "≥ 0.9",
        ),
        Figure(
            f"A job's status with {QUEUED:,} jobs queued over that with one, p99",
            f"{1000 * many_s:.1f} ms ÷ {1000 * one_s:.1f} ms = {many_s / one_s:.2f}",
            "≤ 2",
        ),
        Figure(
            f"Memory of server, worker and decoders (resident) after {LONG:,} images over after a tenth of them",
            f"{many_mb:.0f} MB ÷ {few_mb:.0f} MB = {many_mb / few_mb:.2f}",
            "0.90 to 1.10",
        ),
    ]


@contextmanager
def _served(folder: Path, port: int) -> Iterator[tuple[Served, Client]]:
    folder.mkdir()
    settings = {
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"127.0.0.1:{port}",
        "SHOTLOG_LAKE": str(folder / "lake"),
        "SHOTLOG_CALLS_A_MINUTE": "1000000",
        "SHOTLOG_JOBS_A_KEY": "2000",
        "HOME": str(folder),
    }
    with serving(folder, "builtin", settings) as served:
        yield served, Client(served.url, served.key("tag"))


def _image(client: Client, url: str) -> float:
    """Seconds that one answer took."""
    began = time.perf_counter()
    client.post("/v2/media/categories", {"media_url": url, "metadata": KINDS})
    return time.perf_counter() - began


def _one_by_one(paths: list[Path], client: Client, urls: list[str]) -> tuple[float, float]:
    """Medians of both, in turn: in a loop, over HTTP."""
    alone, asked = [], []
    with (
        DecodeChild(deadline_s=60, memory_mb=4096, max_megapixels=200) as child,
        open_tagger(load_settings()) as tagger,
    ):
        for number in range(IMAGES):
            path, url = paths[number % len(paths)], urls[number % len(urls)]
            began = time.perf_counter()
            frame = _frame(child, path)
            (answer,) = tagger.look([frame])
            thumbnail(frame.image)
            alone.append(time.perf_counter() - began)
            assert answer.tags  # type: ignore[union-attr]
            asked.append(_image(client, url))
    return median(alone[len(paths) :]), median(asked[len(urls) :])  # each was cold once


def _frame(child: DecodeChild, path: Path):
    info = child.probe(path)
    (frame,) = child.frames(path, info, [0.0], media_id=path.name, decoder="auto")
    return frame


def _own_throughput(paths: list[Path]) -> float:
    with DecodeChild(deadline_s=60, memory_mb=4096, max_megapixels=200) as child:
        frames = [_frame(child, path) for path in paths]
    frames = [frame.__class__(frame.media_id, shrunk(frame.image, 1_003_520)) for frame in islice(cycle(frames), 200)]
    with open_tagger(load_settings()) as tagger:
        list(tagger.look(frames[:8]))
        began = time.perf_counter()
        count = sum(1 for _ in tagger.look(frames))
        return count / (time.perf_counter() - began)


def _throughput(client: Client, urls: list[str]) -> float:
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda url: _image(client, url), islice(cycle(urls), CLIENTS)))
        began = time.perf_counter()
        list(pool.map(lambda url: _image(client, url), islice(cycle(urls), MANY)))
        return MANY / (time.perf_counter() - began)


def _status(client: Client, url: str) -> tuple[float, float]:
    """p99 in seconds: with one job, with many."""
    job_ids = [_begin(client, url)]
    one = _p99(client, job_ids[0])
    job_ids += [_begin(client, url) for _ in range(QUEUED - 1)]
    return one, _p99(client, job_ids[-1])


def _begin(client: Client, url: str) -> str:
    return str(client.post("/v2/media/batches", {"media_urls": [url], "metadata": ["tags"]})["job_id"])


def _p99(client: Client, job_id: str) -> float:
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        client.get(f"/v2/media/categories/{job_id}")
        took.append(time.perf_counter() - began)
    return quantiles(took, n=100)[-1]


def _long(served: Served, client: Client, urls: list[str]) -> tuple[float, float]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(lambda url: _image(client, url), islice(cycle(urls), LONG // 10)):
            pass
        few = _rss_mb(served.pid)
        for _ in pool.map(lambda url: _image(client, url), islice(cycle(urls), LONG - LONG // 10)):
            pass
        return few, _rss_mb(served.pid)


def _rss_mb(pid: int) -> float:
    server = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (server, *server.children(recursive=True))) / (1 << 20)
