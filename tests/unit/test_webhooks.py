"""Messages that both libraries verify, with each of two secrets; endpoints that can't be used are said to be so."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import standardwebhooks
import svix.webhooks
from werkzeug import Response

from pipeline.errors import UsageError
from pipeline.webhooks import (
    MOST_ATTEMPTS,
    MOST_BYTES,
    Endpoint,
    deliver,
    headers,
    load_endpoints,
    message,
    next_try_s,
)

NEW, OLD, OTHER = ("whsec_" + base64.b64encode(bytes([seed]) * 32).decode() for seed in (1, 2, 3))
DATA = {"job_id": "job-1", "status": "completed", "results": [{"timestamp": "00:00:01.000", "tags": ["Größe"]}]}


@pytest.fixture
def body():
    return message("media.completed", datetime.now(UTC), DATA)


@pytest.fixture
def endpoint():
    return Endpoint("newsroom", "http://127.0.0.1:9/hook", (NEW, OLD))


def test_standard_webhooks_verifies_it_with_each_secret(endpoint, body):
    sent = headers(endpoint, "msg_1", body, datetime.now(UTC))
    for secret in endpoint.secrets:
        assert standardwebhooks.Webhook(secret).verify(body, sent)["data"] == DATA
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OTHER).verify(body, sent)


def test_svix_verifies_it_with_each_secret_under_either_name(endpoint, body):
    sent = headers(endpoint, "msg_1", body, datetime.now(UTC))
    for secret in endpoint.secrets:
        for prefix in ("svix", "webhook"):
            named = {name: value for name, value in sent.items() if name.startswith(prefix)}
            svix.webhooks.Webhook(secret).verify(body, named)  # raises, or all is well
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(OTHER).verify(body, sent)


def test_another_body_id_or_time_is_not_what_was_signed(endpoint, body):
    sent = headers(endpoint, "msg_1", body, datetime.now(UTC))
    late = headers(endpoint, "msg_1", body, datetime.now(UTC) - timedelta(minutes=6))
    for data, told in [(body + b" ", sent), (body, {**sent, "webhook-id": "msg_2"}), (body, late)]:
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(NEW).verify(data, told)


def test_results_that_are_too_many_are_left_out():
    data = {**DATA, "results": [{"timestamp": "00:00:01.000", "tags": ["x" * MOST_BYTES]}]}
    told = json.loads(message("media.completed", datetime.now(UTC), data))
    assert told["data"] == {**DATA, "results": None}


def test_what_a_receiver_answers_is_the_attempt(httpserver, body):
    endpoint = Endpoint("newsroom", httpserver.url_for("/hook"), (NEW,))
    for status, delivered, unwanted in [
        (200, True, False),
        (204, True, False),
        (500, False, False),
        (410, False, True),
    ]:
        httpserver.clear()
        httpserver.expect_request("/hook", method="POST").respond_with_data("x" * 100, status=status)
        with httpx.Client() as client:
            attempt = deliver(client, endpoint, "msg_1", body)
        assert (attempt.status, attempt.delivered, attempt.unwanted) == (status, delivered, unwanted)
    request, _ = httpserver.log[0]
    assert request.headers["Content-Type"] == "application/json"
    assert standardwebhooks.Webhook(NEW).verify(request.get_data(), dict(request.headers))["data"] == DATA


def test_a_redirect_is_no_delivery(httpserver, body):
    httpserver.expect_request("/hook").respond_with_response(Response(status=307, headers={"Location": "/other"}))
    with httpx.Client() as client:
        attempt = deliver(client, Endpoint("newsroom", httpserver.url_for("/hook"), (NEW,)), "msg_1", body)
    assert (attempt.status, attempt.delivered) == (307, False)


def test_a_receiver_that_is_not_there_is_an_attempt_without_its_url(body):
    endpoint = Endpoint("newsroom", "http://user:secret@127.0.0.1:9/hook?token=secret", (NEW,))
    with httpx.Client() as client:
        attempt = deliver(client, endpoint, "msg_1", body)
    assert attempt.error == "127.0.0.1: ConnectError"


def test_tries_come_later_and_later_up_to_a_day():
    chance = random.Random(7)
    waits = [next_try_s(attempts, chance) for attempts in range(1, MOST_ATTEMPTS)]
    assert all(wait is not None and 2.5 <= wait <= 86_400 for wait in waits)
    for attempts, wait in enumerate(waits[:10], start=1):
        assert wait is not None
        assert 0.5 <= wait / (5 * 2 ** (attempts - 1)) <= 1.5
    assert next_try_s(MOST_ATTEMPTS, chance) is None
    total_s = sum(min(86_400, 5 * 2 ** (attempts - 1)) for attempts in range(1, MOST_ATTEMPTS))
    assert 5.5 < total_s / 86_400 < 6.5  # as its docstring says


def written(tmp_path, text, mode=0o600):
    path = tmp_path / "webhooks.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_endpoints_are_read_by_name(tmp_path):
    text = f'[newsroom]\nurl = "https://newsroom.example/hook"\nsecrets = ["{NEW}", "{OLD}"]\n'
    assert load_endpoints(written(tmp_path, text)) == {
        "newsroom": Endpoint("newsroom", "https://newsroom.example/hook", (NEW, OLD))
    }
    assert load_endpoints(tmp_path / "none.toml") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("newsroom", "is no TOML"),
        ("newsroom = 1", "needs url and secrets"),
        ('[newsroom]\nurl = "https://a.example"', "needs url and secrets"),
        (f'[newsroom]\nurl = "ftp://a.example"\nsecrets = ["{NEW}"]', "no http"),
        ('[newsroom]\nurl = "https://a.example"\nsecrets = []', "24 to 64 bytes"),
        ('[newsroom]\nurl = "https://a.example"\nsecrets = ["whsec_c2hvcnQ="]', "24 to 64 bytes"),
        (f'[newsroom]\nurl = "https://a.example"\nsecrets = ["{NEW[6:]}"]', "24 to 64 bytes"),
    ],
)
def test_an_endpoint_that_cant_be_used_is_said_to_be_so(tmp_path, text, said):
    with pytest.raises(UsageError, match=said) as error:
        load_endpoints(written(tmp_path, text))
    assert NEW[6:] not in str(error.value)


def test_secrets_that_others_may_read_are_refused(tmp_path):
    text = f'[newsroom]\nurl = "https://newsroom.example/hook"\nsecrets = ["{NEW}"]\n'
    with pytest.raises(UsageError, match="chmod 600"):
        load_endpoints(written(tmp_path, text, 0o644))
