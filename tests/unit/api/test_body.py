"""A body is read up to a limit and within a time."""

import asyncio
import json

import pytest

from pipeline.api.body import AT_ONCE, BodyLimit

SCOPE = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}


async def echo(_scope, receive, send):
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def asked(parts, *, headers=(), within_s=5.0):
    """Status and body of the answer to a request that comes in these parts; None where a part never comes."""
    sent, parts = [], list(parts)

    async def receive():
        part = parts.pop(0)
        return await asyncio.Event().wait() if part is None else part

    async def send(message):
        sent.append(message)

    app = BodyLimit(echo, most_bytes=10, within_s=within_s)
    asyncio.run(app({**SCOPE, "headers": list(headers)}, receive, send))
    return (sent[0]["status"], sent[1]["body"]) if sent else None


def part(body, *, more):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_within_the_limit_comes_as_it_was_sent():
    assert asked([part(b"12345", more=True), part(b"67890", more=False)]) == (200, b"1234567890")


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ([part(b"123456", more=True), part(b"78901", more=True)], ()),
        ([], [(b"content-length", b"11")]),
    ],
)
def test_a_longer_one_is_refused_said_or_sent(parts, headers):
    status, body = asked(parts, headers=headers)
    assert (status, json.loads(body)["error"]["code"]) == (413, "too_large")


def test_one_that_does_not_come_to_its_end_is_given_up():
    status, body = asked([part(b"1", more=True), None], within_s=0.01)
    assert (status, json.loads(body)["error"]["code"]) == (408, "body_timeout")


def test_who_goes_away_on_the_way_is_told_nothing():
    assert asked([part(b"1", more=True), {"type": "http.disconnect"}]) is None


def test_no_more_bodies_are_in_memory_at_a_time_than_memory_is_meant_for():
    statuses = []

    async def talk():
        leaving = asyncio.Event()

        async def held(_scope, receive, send):
            await leaving.wait()
            await echo(_scope, receive, send)

        app = BodyLimit(held, most_bytes=10)

        async def one():
            async def receive():
                return part(b"1234567890", more=False)

            async def send(message):
                statuses.append(message.get("status"))

            await app(SCOPE, receive, send)

        waiting = [asyncio.ensure_future(one()) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        await one()
        assert statuses == [503, None]
        leaving.set()
        await asyncio.gather(*waiting)
        await one()

    asyncio.run(talk())
    assert [status for status in statuses if status] == [503] + [200] * (AT_ONCE + 1)
