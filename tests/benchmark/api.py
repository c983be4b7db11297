"""The HTTP API with the built-in tagger on loopback: what it adds to looking at an image, and whether it stays so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil
from pytest_httpserver import HTTPServer
from werkzeug import Response

from pipeline.decode.worker import DecodeChild
from pipeline.pictures import shrunk, thumbnail
from pipeline.settings import load_settings
from pipeline.taggers import open_tagger
from tests.benchmark.table import Figure, say
from tests.integration.serving import Served, serving
from tests.media import media

NAMES = ("coffee.png", "astronaut.png", "rocket.jpg", "china.jpg")
IMAGES, CLIENTS, QUEUED, ASKED, LONG = 40, 32, 1000, 400, 10_000
KINDS = ["categories", "participants", "actions", "scene", "tags"]


def run(folder: Path) -> list[Figure]:
    paths = [media(name) for name in NAMES]
    with HTTPServer(threaded=True) as web:
        for path in paths:
            web.expect_request(f"/{path.name}").respond_with_data(path.read_bytes(), headers={"ETag": f'"{path.name}"'})
        over = threading.Event()
        web.expect_request("/slow.mp4").respond_with_handler(lambda _: over.wait(600) and Response())
        urls = [web.url_for(f"/{path.name}") for path in paths]
        with _served(folder, web) as (served, http):
            alone_s, asked_s = _one_by_one(paths, http, urls)
            say("  as many at once as clients")
            own, through = _own_throughput(paths), _throughput(served, urls)
            say("  a long while")
            few_mb, many_mb = _long(served, urls)
        (folder / "queue").mkdir()
        with _served(folder / "queue", web) as (served, http):
            say("  the status of one job, of a thousand")
            one_s, many_s = _status(http, web.url_for("/slow.mp4"))
            over.set()
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
def _served(folder: Path, web: HTTPServer) -> Iterator[tuple[Served, httpx.Client]]:
    settings = {
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_LAKE": str(folder / "lake"),
        "SHOTLOG_CALLS_A_MINUTE": "1000000",
        "SHOTLOG_JOBS_A_KEY": "2000",
        "HOME": str(folder),
    }
    with serving(folder, "builtin", settings) as served, served.client(served.key("tag")) as http:
        yield served, http


def _image(http: httpx.Client, url: str) -> float:
    """Seconds that one answer took."""
    began = time.perf_counter()
    http.post("/v2/media/categories", json={"media_url": url, "metadata": KINDS}).raise_for_status()
    return time.perf_counter() - began


def _one_by_one(paths: list[Path], http: httpx.Client, urls: list[str]) -> tuple[float, float]:
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
            asked.append(_image(http, url))
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


def _throughput(served: Served, urls: list[str]) -> float:
    key = next(iter(served.keys.values()))
    with ThreadPoolExecutor(CLIENTS) as pool, served.client(key) as http:
        list(pool.map(lambda url: _image(http, url), islice(cycle(urls), CLIENTS)))
        began = time.perf_counter()
        list(pool.map(lambda url: _image(http, url), islice(cycle(urls), 200)))
        return 200 / (time.perf_counter() - began)


def _status(http: httpx.Client, url: str) -> tuple[float, float]:
    """p99 in seconds: with one job, with many."""
    job_ids = [_begin(http, url)]
    one = _p99(http, job_ids[0])
    job_ids += [_begin(http, url) for _ in range(QUEUED - 1)]
    return one, _p99(http, job_ids[-1])


def _begin(http: httpx.Client, url: str) -> str:
    body = {"media_urls": [url], "metadata": ["tags"]}
    return str(http.post("/v2/media/batches", json=body).raise_for_status().json()["job_id"])


def _p99(http: httpx.Client, job_id: str) -> float:
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        http.get(f"/v2/media/categories/{job_id}").raise_for_status()
        took.append(time.perf_counter() - began)
    return quantiles(took, n=100)[-1]


def _long(served: Served, urls: list[str]) -> tuple[float, float]:
    key = next(iter(served.keys.values()))
    with ThreadPoolExecutor(CLIENTS) as pool, served.client(key) as http:
        for _ in pool.map(lambda url: _image(http, url), islice(cycle(urls), LONG // 10)):
            pass
        few = _rss_mb(served.pid)
        for _ in pool.map(lambda url: _image(http, url), islice(cycle(urls), LONG - LONG // 10)):
            pass
        return few, _rss_mb(served.pid)


def _rss_mb(pid: int) -> float:
    server = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (server, *server.children(recursive=True))) / (1 << 20)
