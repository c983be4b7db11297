"""A server that says no size, or never comes to an end, holds nobody up and fills no disk."""

import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.doors import SHOTLOG, ask, environment, shotlog


class Endless(BaseHTTPRequestHandler):
    """Bytes without end and without Content-Length; `fetching` is set once the second reader has some."""

    fetching = threading.Event()
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.end_headers()
        pause = threading.Event()
        try:
            while True:
                self.wfile.write(bytes(16_384))
                if type(self).asked > 1:
                    self.fetching.set()
                pause.wait(0.005)
        except OSError:  # the reader has gone
            return

    def log_message(self, *_):
        pass


@contextmanager
def endless():
    handler = type("Fresh", (Endless,), {"fetching": threading.Event(), "asked": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/film.mp4", handler
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def film():
    with endless() as served:
        yield served


def test_an_object_without_a_size_is_cut_off_at_the_limit(film, tmp_path):
    url, _ = film
    done = shotlog("tag", url, "--lake", "lake", "--tagger", "null", cwd=tmp_path, SHOTLOG_MAX_OBJECT_MB="1")
    assert done.returncode == 0, done.stderr
    assert ask(tmp_path / "lake", "SELECT status, error_code FROM failures") == [("skipped", "too_large")]


def test_ctrl_c_ends_a_fetch_that_would_never_end(film, tmp_path):
    url, handler = film
    command = [SHOTLOG, "tag", url, "--lake", "lake", "--tagger", "null"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert handler.fetching.wait(60)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 130
    assert "interrupted: 0 of 1 media are done and kept" in said
    assert "Traceback" not in said
