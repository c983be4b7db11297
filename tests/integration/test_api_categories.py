"""What images and videos show, over HTTP: the built-in tagger behind a real server, and the lake it writes."""

import base64
import os
import signal
import threading

import psutil
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

import pipeline
from demo.services import wait_until
from tests.integration.serving import serving
from tests.media import media

KINDS = ["categories", "participants", "actions", "scene", "tags"]
FILMS = ("bikes.mp4", "bigbuckbunny.mp4")


@pytest.fixture(scope="module")
def web():
    with HTTPServer(threaded=True) as http:
        for name in ("coffee.png", "rocket.jpg", *FILMS):
            http.expect_request(f"/{name}").respond_with_data(media(name).read_bytes(), headers={"ETag": f'"{name}"'})
        http.expect_request("/film").respond_with_data(media("bikes.mp4").read_bytes())
        http.expect_request("/bomb.png").respond_with_data(media("bomb.png").read_bytes())
        http.expect_request("/large.mp4").respond_with_data(bytes(9 << 20))
        over = threading.Event()
        http.expect_request("/never.mp4").respond_with_handler(lambda _: over.wait(120) and Response())
        http.expect_request("/page.mp4").respond_with_data("<html>", content_type="text/html")
        http.expect_request("/gone.mp4").respond_with_response(Response(status=404))
        yield http
        over.set()


@pytest.fixture(scope="module")
def served(web, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    settings = {
        "SHOTLOG_FETCH_ALLOW_HOSTS": f"{web.host}:{web.port}",
        "SHOTLOG_MAX_FRAMES": "4",
        "SHOTLOG_FETCH_MB": "8",
        "SHOTLOG_JOBS_A_KEY": "8",
    }
    with serving(folder, "builtin", settings) as server:
        yield server


@pytest.fixture(scope="module")
def http(served):
    with served.client(served.key("tag")) as client:
        yield client


@pytest.fixture
def lake(served):
    with pipeline.connect(served.env["SHOTLOG_LAKE"]) as con:
        yield con


@pytest.fixture
def url(web):
    return lambda name: f"http://{web.host}:{web.port}/{name}"


def post(http, media_url, metadata=("participants", "tags"), **more):
    return http.post("/v2/media/categories", json={"media_url": media_url, "metadata": list(metadata), **more})


def ended(http, job_id, seconds=60):
    """A job's last status; what it says on the way never goes back."""
    percents = [0]

    def last():
        answer = http.get(f"/v2/media/categories/{job_id}")
        if answer.status_code == 503:  # the worker process is starting anew
            assert answer.headers["Retry-After"]
            return None
        status = answer.json()
        percents.append(status["percent_complete"])
        assert percents == sorted(percents)
        return status if status["status"] in ("COMPLETED", "FAILED") else None

    return wait_until(f"the end of job {job_id}", last, seconds=seconds)


def test_an_image_answers_at_once_with_the_kinds_asked_for(http):
    picture = base64.b64encode(media("coffee.png").read_bytes()).decode()
    answer = post(http, f"data:image/png;base64,{picture}")
    assert (answer.status_code, set(answer.json())) == (200, {"metadata"})
    found = answer.json()["metadata"]
    assert list(found) == ["participants", "tags"]
    assert "cup" in found["participants"]
    assert all(isinstance(label, str) for labels in found.values() for label in labels)


def test_what_an_image_showed_is_in_the_lake_soon(http, url, lake):
    found = post(http, url("coffee.png"), KINDS).json()["metadata"]
    query = "SELECT DISTINCT label FROM participants WHERE uri = ?"
    wait_until("the commit", lambda: lake.execute(query, [url("coffee.png")]).fetchall() or None, seconds=10)
    assert {row[0] for row in lake.execute(query, [url("coffee.png")]).fetchall()} == set(found["participants"])
    assert lake.execute("SELECT frames FROM media WHERE uri = ?", [url("coffee.png")]).fetchall() == [(1,)]


def test_a_video_is_a_job_whose_results_are_those_of_the_lake(http, url, lake):
    answer = post(http, url("bikes.mp4"), KINDS, custom_payload={"id": 7})
    assert answer.status_code == 202
    started = answer.json()
    assert started == {"job_id": started["job_id"], "status": "CREATED", "custom_payload": {"id": 7}}
    status = ended(http, started["job_id"])
    assert (status["status"], status["percent_complete"], status["custom_payload"]) == ("COMPLETED", 100, {"id": 7})
    assert "error" not in status or status["error"] is None
    moments = lake.execute("SELECT timecode FROM timestamps WHERE uri = ? ORDER BY 1", [url("bikes.mp4")]).fetchall()
    assert [row["timestamp"] for row in status["results"]] == [moment for (moment,) in moments]
    assert len(moments) == 4
    labels = lake.execute("SELECT DISTINCT label FROM participants WHERE uri = ?", [url("bikes.mp4")]).fetchall()
    assert {label for row in status["results"] for label in row["participants"]} == {label for (label,) in labels}
    run = lake.execute("SELECT kind, state FROM runs WHERE run_id = ?", [started["job_id"]]).fetchone()
    assert run == ("job", "finished")


def test_what_was_tagged_before_is_answered_from_the_lake(http, url, lake):
    first = ended(http, post(http, url("bikes.mp4"), KINDS).json()["job_id"])
    again = ended(http, post(http, url("bikes.mp4"), KINDS).json()["job_id"])
    assert again["results"] == first["results"]
    assert lake.execute("SELECT count(*) FROM log.taggings WHERE uri = ?", [url("bikes.mp4")]).fetchone() == (1,)


def test_with_use_scenes_each_shot_is_looked_at_once(http, url):
    status = ended(http, post(http, url("bikes.mp4"), use_scenes=True).json()["job_id"])
    assert len(status["results"]) == 4  # of six shots as many as may be


def test_a_video_is_known_by_its_bytes_too(http, url):
    answer = post(http, url("film"))
    assert answer.status_code == 202
    assert ended(http, answer.json()["job_id"])["status"] == "COMPLETED"


def test_without_store_nothing_reaches_the_lake(http, url, lake):
    assert post(http, url("rocket.jpg"), store=False).status_code == 200
    job_id = post(http, url("bigbuckbunny.mp4"), store=False).json()["job_id"]
    status = ended(http, job_id)
    assert (status["status"], len(status["results"])) == ("COMPLETED", 4)
    count = "SELECT count(*) FROM log.taggings WHERE uri = ?"
    (before,) = lake.execute(count, [url("coffee.png")]).fetchone()
    assert post(http, url("coffee.png")).status_code == 200
    wait_until(  # what came before it would be there by then
        "the commit", lambda: lake.execute(count, [url("coffee.png")]).fetchone()[0] > before or None, seconds=10
    )
    assert lake.execute("SELECT count(*) FROM log.runs WHERE run_id = ?", [job_id]).fetchone() == (0,)
    for name in ("rocket.jpg", "bigbuckbunny.mp4"):
        assert lake.execute("SELECT count(*) FROM log.taggings WHERE uri = ?", [url(name)]).fetchone() == (0,)


def test_a_job_that_comes_to_nothing_says_why(http, url):
    status = ended(http, post(http, url("page.mp4")).json()["job_id"])
    assert (status["status"], status["error"]["code"]) == ("FAILED", "not_media")
    assert status["results"] == []


@pytest.mark.parametrize("name", ["gone.mp4", "gone"])
def test_a_url_that_leads_nowhere_is_refused(http, url, name):
    answer = post(http, url(name))
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "media_url")


def test_a_batch_is_one_job(http, url):
    names = ["coffee.png", "bigbuckbunny.mp4", "gone.mp4"]
    wanted = {"media_urls": [url(name) for name in names], "metadata": ["participants"]}
    started = http.post("/v2/media/batches", json=wanted)
    assert started.status_code == 202
    status = ended(http, started.json()["job_id"])
    assert status["status"] == "COMPLETED"
    found = {row["media_url"]: row for row in status["results"]}
    assert set(found) == {url("coffee.png"), url("bigbuckbunny.mp4")}
    assert "cup" in found[url("coffee.png")]["participants"]


@pytest.mark.parametrize("job_id", ["0" * 32, "nonsense", "..%2f..", "' OR 1=1 --"])
def test_an_unknown_job_is_404(http, job_id):
    answer = http.get(f"/v2/media/categories/{job_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) in ((404, "job_not_found"), (404, "not_found"))


def test_a_job_is_its_keys_own(served, http, url):
    job_id = post(http, url("bikes.mp4")).json()["job_id"]
    ended(http, job_id)
    for scopes, status in (("tag", 404), ("admin", 200)):
        with served.client(served.key(scopes)) as other:
            assert other.get(f"/v2/media/categories/{job_id}").status_code == status


def test_a_key_to_ask_may_not_tag(served, url):
    with served.client(served.key("ask")) as client:
        assert post(client, url("coffee.png")).status_code == 403


@pytest.mark.parametrize(
    "wrong", [{"metadata": []}, {"metadata": ["faces"]}, {"metadata": "tags"}, {"webhok": "x"}, {"media_url": ""}]
)
def test_what_cant_be_meant_is_refused(http, url, wrong):
    body = {"media_url": url("coffee.png"), "metadata": ["tags"], **wrong}
    assert http.post("/v2/media/categories", json=body).status_code == 422


def test_a_job_is_cancelled(http, url):
    busy = [post(http, url(name), store=False).json()["job_id"] for name in FILMS * 3]
    status = http.delete(f"/v2/media/categories/{busy[-1]}").json()
    assert (status["status"], status["error"]["code"]) == ("FAILED", "cancelled")
    assert ended(http, busy[-1])["error"]["code"] == "cancelled"
    assert {ended(http, job_id)["status"] for job_id in busy[:-1]} == {"COMPLETED"}


def test_a_job_outlives_the_worker(served, http, url, lake):
    wanted = [(name, store) for name in FILMS for store in (True, False)]
    job_ids = [post(http, url(name), use_scenes=True, store=store).json()["job_id"] for name, store in wanted]
    (worker,) = psutil.Process(served.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    for job_id in job_ids:
        assert ended(http, job_id)["status"] == "COMPLETED"
        assert lake.execute("SELECT count(*) FROM log.taggings WHERE run_id = ?", [job_id]).fetchone()[0] <= 1


def test_jobs_are_listed_page_by_page_the_newest_first(served, http, url):
    with served.client(served.key("tag")) as client:
        job_ids = [post(client, url("bikes.mp4")).json()["job_id"] for _ in range(3)]
        assert {ended(client, job_id)["status"] for job_id in job_ids} == {"COMPLETED"}
        answer = client.get("/v2/media/jobs", params={"limit": 2})
        assert answer.status_code == 200, answer.text
        first = answer.json()
        second = client.get("/v2/media/jobs", params={"limit": 2, "after": first["next"]}).json()
        assert [line["job_id"] for line in first["jobs"] + second["jobs"]] == job_ids[::-1]
        assert {line["status"] for line in first["jobs"]} == {"COMPLETED"}
        assert second["next"] is None
    ids = [line["job_id"] for line in http.get("/v2/media/jobs", params={"limit": 100}).json()["jobs"]]
    assert not set(ids) & set(job_ids)


@pytest.mark.parametrize(
    "inside",
    [
        "http://127.0.0.1/a.png",
        "http://2130706433/a.mp4",
        "http://[::ffff:169.254.169.254]/a",
        "http://localhost:1/a.mp4",
    ],
)
def test_no_address_inside_is_asked(http, inside):
    answer = post(http, inside)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "address_refused")
    wanted = {"media_urls": [inside], "metadata": ["tags"]}
    status = ended(http, http.post("/v2/media/batches", json=wanted).json()["job_id"])
    assert (status["status"], status["results"]) == ("FAILED", [])


@pytest.mark.parametrize("other", ["/etc/passwd", "file:///etc/passwd", "s3://someones/bucket/a.png", "ftp://a/b.mp4"])
def test_no_other_place_is_looked_at(http, other):
    assert post(http, other).status_code == 422
    assert http.post("/v2/media/batches", json={"media_urls": [other], "metadata": ["tags"]}).status_code == 422


def test_a_bomb_and_what_is_too_large_are_refused(http, url):
    assert post(http, url("bomb.png")).json()["error"]["code"] == "too_many_pixels"
    assert post(http, url("large.mp4")).json()["error"]["code"] == "too_large"


def test_a_key_has_so_many_jobs_at_a_time(served, url):
    with served.client(served.key("tag")) as client:
        wanted = {"media_urls": [url("never.mp4")], "metadata": ["tags"]}
        begun = [client.post("/v2/media/batches", json=wanted) for _ in range(9)]
        assert [answer.status_code for answer in begun] == [202] * 8 + [429]
        assert begun[-1].headers["Retry-After"] and begun[-1].json()["error"]["code"] == "too_many_jobs"
        for answer in begun[:8]:
            client.delete(f"/v2/media/categories/{answer.json()['job_id']}")


def test_metrics_are_for_administrators_and_name_nobody(served, http, url):
    post(http, url("coffee.png"))
    assert http.get("/metrics").status_code == 403
    with served.client(served.key("admin")) as admin:
        answer = admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'shotlog_api_calls_total{method="POST",route="/v2/media/categories",status="200"}' in answer.text
    assert 'shotlog_jobs{status="PROCESSING"}' in answer.text
    assert "coffee" not in answer.text and "shotlog_test" not in answer.text
    assert not any(key in answer.text for key in served.keys.values())
