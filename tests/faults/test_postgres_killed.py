"""Postgres is killed and started again while four workers commit to it: nothing is lost, doubled or seen by half."""

import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest

from demo.services import wait_until
from pipeline.errors import LakeError
from pipeline.lake import writer
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.tag import tag_batch
from tests.faults.children import LIMIT_S, child, code
from tests.faults.invariants import check_whole, opened, read_throughout
from tests.faults.places import fill
from tests.integration.doors import tag
from tests.servers.postgres import postgres_server
from tests.servers.relay import relay

WORKERS, BATCHES = 4, 12
A_COMMIT_S = 0.1
TRIES = 20
AWAY = "Postgres can't be reached"
"""Who opens the lake meanwhile is told so, a reader or a task."""


def tag_batches(request, run_id, batch_ids, committing, back):
    """What one of Airflow's workers does: a task after the other, each tried again once the server is back.

    committing: is told of each commit that begins. back: whether the server is there.
    """
    commit = writer.commit_batch

    def told(*arguments, **named):
        committing.release()
        return commit(*arguments, **named)

    writer.commit_batch = told
    for batch_id in batch_ids:
        for _ in range(TRIES):
            try:
                tag_batch(request, run_id, batch_id)
                break
            except LakeError as error:
                assert AWAY in str(error)
                back.wait(LIMIT_S)  # false, too, where it was there and is killed again by now
        else:
            raise AssertionError(f"batch {batch_id} could not be done in {TRIES} tries")


def kill_amid(chance, server, committing, back):
    """Kill it twice, each time at some moment of a commit, and start it again."""
    first, second = sorted(chance.sample(range(1, BATCHES), 2))
    for commits in (first, second - first):
        for _ in range(commits):
            assert committing.acquire(timeout=LIMIT_S)
        back.clear()
        killing = threading.Timer(chance.uniform(0, A_COMMIT_S), server.kill)
        killing.start()
        killing.join()
        server.start()
        back.set()


def test_a_server_that_ends_amid_a_question_is_said_in_a_sentence(tmp_path):
    with (
        postgres_server() as server,
        closing(opened(tmp_path / "lake", server.url, create=True, read_only=False)) as lake,
        pytest.raises(LakeError, match=AWAY),
        lake.catalog._lent() as session,
    ):
        server.kill()
        session.execute("SELECT 1")


@pytest.mark.parametrize("read_only", [True, False], ids=["reader", "writer"])
def test_a_lake_is_opened_whichever_of_its_transactions_the_server_ends_at(read_only, tmp_path):
    with postgres_server() as server, relay(server.socket, b"COMMIT") as between:
        catalog, lake = server.at_port(between.port), tmp_path / "lake"
        opened(lake, catalog, create=True, read_only=False).close()
        between.said = 0
        opened(lake, catalog, read_only=read_only).close()
        commits = between.said
        assert commits > 1
        for commit in range(1, commits + 1):
            between.said, between.hang_up_at = 0, commit
            with closing(opened(lake, catalog, read_only=read_only)) as there:
                assert there.con.execute("SELECT count(*) FROM media").fetchone() == (0,)
            assert between.said > commit


@pytest.mark.parametrize("what", ["its turn to commit", "the lake"])
def test_who_waits_when_the_server_ends_gets_it_from_the_next_one(what, tmp_path):
    lake = tmp_path / "lake"
    with postgres_server() as server, ExitStack() as others, ThreadPoolExecutor(1) as thread:
        opened(lake, server.url, create=True, read_only=False).close()
        holds, waits = (
            others.enter_context(closing(opened(lake, server.url, read_only=False))).catalog for _ in range(2)
        )

        def take(catalog):
            return catalog.turn() if what == "its turn to commit" else catalog.at_work("runs", alone=True)

        def wait():
            with take(waits):
                return True

        with take(holds):
            waiting = thread.submit(wait)
            with psycopg.connect(server.url) as session:
                query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                wait_until("somebody to wait", lambda: session.execute(query).fetchone(), seconds=30)
            server.kill()
            server.start()
        assert waiting.result(LIMIT_S)


@pytest.mark.seeds(3, 20)
def test_killed_and_started_again_while_four_workers_commit(seed, tmp_path):
    chance, shared = random.Random(seed), multiprocessing.get_context("forkserver")
    committing, back = shared.Semaphore(0), shared.Event()
    back.set()
    lake, source = tmp_path / "lake", fill(tmp_path / "in", "first.png", "text.mov")
    with postgres_server() as server:
        settings = {"tagger": "null", "workers": 1, "catalog": server.url, "freeze": "on"}
        tag(lake, source, **settings)
        names = [f"{number}.{('png', 'mp4')[number % 2]}" for number in range(BATCHES)]
        fill(source, *names)
        request = {"sources": str(source), "lake": str(lake), **settings, "batch_frames": 1}
        run_id = list_media(request)["run_id"]
        batches = plan_batches(request, run_id)["batches"]
        assert len(batches) == BATCHES
        with read_throughout(lake, server.url, may_meet=AWAY), ExitStack() as crew:
            workers = [
                crew.enter_context(child(tag_batches, request, run_id, batches[n::WORKERS], committing, back))
                for n in range(WORKERS)
            ]
            kill_amid(chance, server, committing, back)
            assert [code(worker) for worker in workers] == [0] * WORKERS
        assert publish_run(request, run_id)["state"] == "finished"
        assert tag(lake, source, **settings)["new"] == 0
        good = {f"{source}/{name}" for name in ("first.png", *names)}
        check_whole(lake, good, {f"{source}/text.mov"}, catalog=server.url)
