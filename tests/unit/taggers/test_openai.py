"""The openai engine against a server that goes wrong as it is told: every fault an outcome of its own, and the
neighbours of what failed are answered."""

from __future__ import annotations

import base64
import io
import itertools
import logging
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from demo.services import free_ports, wait_until
from pipeline.errors import CODES, TaggerError, UsageError
from pipeline.settings import Settings
from pipeline.taggers import openai_server
from pipeline.taggers.engine import Prompt, Turn
from pipeline.taggers.openai import OpenAIEngine
from tests.servers.scripted import MODEL, Scripted, body, cut, listening, raw, refuses, says, stream
from tests.unit.taggers.returned import returned

SCHEMA = '{"type": "object", "properties": {"caption": {"type": "string"}}, "required": ["caption"]}'
KEY = "sk-very-secret-0123456789"
TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5120 tokens."


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No settings and no variables of this machine, and no waiting between tries."""
    for name in ("BASE_URL", "API_KEY", "IN_FLIGHT", "DEADLINE_S"):
        monkeypatch.delenv(f"SHOTLOG_OPENAI_{name}", raising=False)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


@pytest.fixture(scope="module")
def http():
    with listening() as http:
        yield http


@pytest.fixture
def server(http):
    server = Scripted(http)
    yield server
    server.release()


def engine_of(url, model=MODEL, **settings):
    return OpenAIEngine(model, Settings(openai_base_url=url, **settings))


@contextmanager
def opened(server, **settings):
    with engine_of(server.url, **settings) as engine:
        yield engine


def asked(*texts, picture=None, schema=None):
    """One prompt a text, with a picture before it unless it says otherwise."""
    seen = np.zeros((4, 6, 3), np.uint8) if picture is None else picture
    return [Prompt((Turn("user", (seen, text)),), 64, schema, ticket=text) for text in texts]


def answered(engine, prompts):
    return {completion.prompt.ticket: completion for completion in engine.complete(prompts)}


# ---- what it is told


def test_without_an_address_it_says_what_to_set():
    with pytest.raises(UsageError, match=r"set SHOTLOG_OPENAI_BASE_URL, as http://127\.0\.0\.1:8000/v1"):
        OpenAIEngine(MODEL, Settings())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/v1", "http://", "http://host:port/v1", "https://h/?a=b"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match=r"openai_base_url can't be '.*': give the server's address"):
        engine_of(url)


def test_a_password_in_a_wrong_address_is_not_shown():
    with pytest.raises(UsageError) as refused:
        engine_of("ftp://user:hunter2@host/v1?token=hunter2")
    assert "hunter2" not in str(refused.value)


def test_a_user_and_a_key_are_one_too_many():
    with pytest.raises(UsageError, match="names a user and openai_api_key is set too"):
        engine_of("http://user:word@host/v1", openai_api_key=KEY)


def test_a_missing_extra_is_told_before_anything_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)  # as where it isn't installed
    with pytest.raises(ModuleNotFoundError) as missing:
        OpenAIEngine(MODEL, Settings())
    assert missing.value.name == "openai"


def test_it_asks_nothing_and_loads_nothing_heavy_before_it_is_used():
    code = (
        "import sys; from pipeline.settings import Settings; from pipeline.taggers.openai import OpenAIEngine;"
        "OpenAIEngine('m', Settings(openai_base_url='http://127.0.0.1:1/v1'));"
        "print({'openai', 'httpx2', 'torch', 'cv2', 'duckdb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_folder_of_the_server_stays_out_of_the_recipe():
    assert engine_of("http://host/v1", model="/srv/models/Qwen2-VL-2B/").model == "Qwen2-VL-2B"
    assert engine_of("http://host/v1", model="Qwen/Qwen2-VL-2B").model == "Qwen/Qwen2-VL-2B"


def test_variables_that_are_meant_for_another_client_are_not_used(server, monkeypatch):
    foreign = ["API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"]
    for name in foreign:
        monkeypatch.setenv(f"OPENAI_{name}", "http://127.0.0.1:1/foreign")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Foreign: foreign\nAuthorization: foreign")
    with opened(server) as engine:
        assert answered(engine, asked("a"))["a"].error_code is None
    assert len(server.headers) == 2
    for headers in server.headers:
        assert headers["Authorization"] == "Bearer none"
        assert not [value for value in headers.values() if "foreign" in value]


# ---- secrets


def test_neither_key_nor_password_is_ever_shown(server, caplog):
    caplog.set_level(logging.DEBUG)
    told = refuses(400, f"no picture for {KEY}, please: data:image/jpeg;base64,AAAA")
    server.script["a"] = [told]
    with opened(server, openai_api_key=KEY) as engine:
        assert KEY not in repr(vars(engine))
        detail = answered(engine, asked("a"))["a"].detail
    assert detail == "400 no picture for …, please: data:image/…"
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text


def test_a_user_in_the_address_signs_in_and_is_not_shown(server, caplog):
    caplog.set_level(logging.DEBUG)
    signed = base64.b64encode(b"me:hunter2").decode()
    server.script["a"] = [refuses(400, f"who is me:hunter2 or {signed}?")]
    with engine_of(server.url.replace("://", "://me:hunter2@")) as engine:
        assert answered(engine, asked("a"))["a"].detail == "400 who is me:… or …?"
        assert "hunter2" not in repr(vars(engine))
    assert {headers["Authorization"] for headers in server.headers} == {f"Basic {signed}"}
    assert "hunter2" not in caplog.text


def test_what_a_server_says_is_kept_short(server):
    server.script["a"] = [refuses(400, "long " * 1000)]
    with opened(server) as engine:
        assert len(answered(engine, asked("a"))["a"].detail) == openai_server.DETAIL_CHARACTERS


# ---- what the server holds


def test_the_context_is_what_the_settings_say_or_the_server_or_else_a_default(server):
    assert engine_of(server.url, context_tokens=777).context_tokens() == 777
    assert not server.headers
    engine = engine_of(server.url)
    assert [engine.context_tokens(), engine.context_tokens()] == [4096, 4096]
    assert len(server.headers) == 1  # asked once


@pytest.mark.parametrize(
    "models",
    [
        body({"detail": "Not Found"}, 404),
        body({"object": "list", "data": [{"id": "gpt-7"}]}),
        body(["odd"]),
        raw("<html>"),
        raw("Internal Server Error", "text/plain", 500),  # `transformers serve` without a hub's cache
    ],
    ids=["no such page", "lengths unknown", "another shape", "a web page", "an error"],
)
def test_a_server_need_not_list_its_models(server, models):
    server.models = models
    with opened(server) as engine:
        assert engine.context_tokens() == 32_768
        assert answered(engine, asked("a"))["a"].text == "answer to a"


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_before_any_frame(server, status):
    server.models = refuses(status, f"Incorrect API key provided: {KEY}")
    with pytest.raises(TaggerError, match=rf"refused the key \({status}\): set SHOTLOG_OPENAI_API_KEY") as refused:
        engine_of(server.url, openai_api_key=KEY).__enter__()
    assert KEY not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_model_that_is_not_served_is_told_with_those_that_are(server):
    with pytest.raises(TaggerError, match=f"doesn't serve 'qwen': it has {MODEL}"):
        engine_of(server.url, model="qwen").context_tokens()


def test_a_server_out_of_reach_is_told_with_its_address_and_what_to_do():
    (port,) = free_ports(1)
    with pytest.raises(
        TaggerError, match=rf"127\.0\.0\.1:{port}/v1 can't be reached \(.*\): start it, or set SHOTLOG_"
    ):
        engine_of(f"http://127.0.0.1:{port}/v1").__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name == "shotlog-loop"]


# ---- what is asked


def test_texts_and_pictures_go_in_their_order_and_what_has_no_picture_as_text(server):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :15] = (200, 40, 10)
    turns = (Turn("system", ("be", "brief")), Turn("user", ("first", picture, "then")), Turn("assistant", ("so",)))
    with opened(server) as engine:
        (completion,) = engine.complete([Prompt((*turns, Turn("user", ("and?",))), 64)])
    system, user, assistant, last = server.seen[0]["messages"]
    assert (system, assistant) == ({"role": "system", "content": "be\nbrief"}, {"role": "assistant", "content": "so"})
    assert last == {"role": "user", "content": "and?"}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    kind, _, data = user["content"][1]["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.abs(sent.astype(int) - picture)[:, 4:11].max() < 12
    assert (completion.prompt_tokens, completion.completion_tokens) == (11, 7)
    assert completion.model_s > 0


def test_a_schema_goes_with_its_prompt_and_a_plain_prompt_has_none(server):
    with opened(server) as engine:
        answered(engine, asked("a", schema=SCHEMA) + asked("b"))
    held = {sent["messages"][0]["content"][1]["text"]: sent.get("response_format") for sent in server.seen}
    assert held["b"] is None
    assert held["a"]["type"] == "json_schema"
    assert held["a"]["json_schema"]["strict"] is True
    assert held["a"]["json_schema"]["schema"]["required"] == ["caption"]
    assert {(sent["max_tokens"], sent["temperature"]) for sent in server.seen} == {(64, 0)}


# ---- what comes of it

PASSES = {
    "busy twice": [refuses(429, "slow down", Retry_After="0.01"), refuses(429, "slow down", Retry_After="0.01")],
    "broken twice": [refuses(500, "oops"), raw("<html>Bad Gateway", status=502)],
    "cut once": [cut()],
}


@pytest.mark.parametrize("fault", PASSES)
def test_what_passes_is_tried_again(server, fault):
    server.script[fault] = PASSES[fault]
    with opened(server) as engine:
        answers = answered(engine, asked("before", fault, "after"))
    assert {text: answer.text for text, answer in answers.items()} == {
        text: f"answer to {text}" for text in ("before", fault, "after")
    }
    assert server.asked(fault) == len(PASSES[fault]) + 1


FAULTS = {
    "always busy": ([refuses(429, "slow down", Retry_After="0.01")] * 9, "model_busy", 6),
    "busy for an hour": ([refuses(429, "slow down", Retry_After="3600")], "model_busy", 1),
    "always broken": ([refuses(500, "oops")] * 9, "model_failed", 6),
    "always cut": ([cut()] * 9, "model_failed", 6),
    "a web page": ([raw("<html>Hello")], "model_failed", 1),
    "no JSON": ([raw('{"choices": [', "application/json")], "model_failed", 1),
    "JSON of another shape": ([body({"text": "a cat"})], "model_failed", 1),
    "a list": ([body([1, 2])], "model_failed", 1),
    "no choices": ([body({"choices": []})], "model_failed", 1),
    "no message": ([body({"choices": [{}]})], "model_failed", 1),
    "content of another kind": ([says({"a": 1})], "model_failed", 1),
    "given up": ([says("half", finish_reason="abort")], "model_failed", 1),
    "whitespace without end": ([says('{"caption":' + " " * 500, finish_reason="length")], "answer_cut", 1),
    "a refusal": ([says(None, refusal="I can't help with that")], "answer_refused", 1),
    "a filtered answer": ([says("", finish_reason="content_filter")], "answer_refused", 1),
    "a filtered question": ([refuses(400, "filtered", code="content_filter")], "answer_refused", 1),
    "too long for vLLM": ([refuses(400, TOO_LONG)], "context_too_small", 1),
    "too long, said of max_tokens": (
        [refuses(400, f"'max_tokens' is too large: 1024. {TOO_LONG}", param="max_tokens")],
        "context_too_small",
        1,
    ),
    "too long for older vLLM": ([refuses(400, "max_tokens must be at least 1, got -7.")], "context_too_small", 1),
    "too long for SGLang": (
        [
            body(
                {"object": "error", "message": "The input (9 tokens) is longer than the model's context length (8)."},
                400,
            )
        ],
        "context_too_small",
        1,
    ),
    "too long for OpenAI": ([refuses(400, "too long", code="context_length_exceeded")], "context_too_small", 1),
    "a picture it can't read": ([body({"detail": "cannot identify image file"}, 400)], "tagger_refused", 1),
    "a body too large": ([raw("<html>", status=413)], "tagger_refused", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_an_outcome_and_the_neighbours_are_answered(server, fault):
    server.script[fault], code, times = FAULTS[fault]
    with opened(server) as engine:
        answers = answered(engine, asked("before", fault, "after"))
    assert answers[fault].error_code == code
    assert code in CODES
    assert answers[fault].detail
    assert server.asked(fault) == times
    assert [answers[text].text for text in ("before", "after")] == ["answer to before", "answer to after"]
    assert [answers[text].error_code for text in ("before", "after")] == [None, None]


def test_a_cut_answer_keeps_its_text_and_its_tokens(server):
    server.script["a"] = [says("half an ans", finish_reason="length")]
    with opened(server) as engine:
        cut_short = answered(engine, asked("a"))["a"]
    assert (cut_short.text, cut_short.completion_tokens) == ("half an ans", 7)


def test_a_hang_ends_at_the_deadline_and_holds_nobody_up(server):
    server.script["hang"] = [server.hangs()] * 9
    with opened(server, openai_deadline_s=0.3) as engine:
        answers = answered(engine, asked("before", "hang", "after"))
    assert answers["hang"].error_code == "model_timeout"
    assert [answers[text].error_code for text in ("before", "after")] == [None, None]


def test_a_server_that_has_no_room_until_the_deadline_was_busy_and_not_slow(server):
    server.script["busy"] = [refuses(429, "wait", Retry_After="60")] * 9
    with opened(server, openai_deadline_s=0.3) as engine:
        assert answered(engine, asked("busy"))["busy"].error_code == "model_busy"


def test_usage_that_is_missing_counts_nothing(server):
    server.script["a"] = [body({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})]
    with opened(server) as engine:
        answer = answered(engine, asked("a"))["a"]
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("x", 0, 0)


def test_a_picture_without_a_pixel_is_a_failure_of_its_own(server):
    bad = asked("bad", picture=np.zeros((0, 0, 3), np.uint8))
    with opened(server) as engine:
        answers = answered(engine, asked("before") + bad + asked("after"))
    assert answers["bad"].error_code == "tagger_refused"
    assert server.asked("bad") == 0
    assert [answers[text].error_code for text in ("before", "after")] == [None, None]


# ---- what the server can't do


REFUSED = {
    "max_tokens": refuses(
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        param="max_tokens",
    ),
    "temperature": refuses(
        400, "Unsupported value: 'temperature' does not support 0 with this model.", param="temperature"
    ),
    "response_format": refuses(400, "response_format of type json_schema is not supported"),
}


@pytest.mark.parametrize("parameter", REFUSED)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(server, parameter):
    server.script["first"] = [REFUSED[parameter]]
    with opened(server, openai_in_flight=1) as engine:
        answers = answered(engine, asked("first", "second", schema=SCHEMA))
    assert [answer.text for answer in answers.values()] == ["answer to first", "answer to second"]
    assert [parameter in sent for sent in server.seen] == [True, False, False]
    assert [sent.get("max_completion_tokens") for sent in server.seen[1:]] == (
        [64, 64] if parameter == "max_tokens" else [None, None]
    )


def test_a_server_may_refuse_all_of_them(server):
    server.script["a"] = list(REFUSED.values())
    with opened(server) as engine:
        assert answered(engine, asked("a", schema=SCHEMA))["a"].error_code is None
    assert not set(REFUSED) & set(server.seen[-1])


def test_a_schema_that_was_not_kept_to_is_not_sent_again(server):
    with opened(server) as engine:
        (completion,) = engine.complete(asked("a", schema=SCHEMA))
        engine.distrust(completion)
        answered(engine, asked("b", schema=SCHEMA))
    assert ["response_format" in sent for sent in server.seen] == [True, False]


# ---- when the whole server is at fault


@pytest.mark.parametrize(
    "status, sentence", [(401, "refused the key"), (403, "refused the key"), (404, "doesn't serve")]
)
def test_what_no_other_frame_would_change_ends_it(server, status, sentence):
    server.script["a"] = [refuses(status, f"no, {KEY}")]
    with opened(server, openai_api_key=KEY) as engine:
        with pytest.raises(TaggerError, match=sentence) as ended:
            answered(engine, asked("a"))
    assert KEY not in str(ended.value)
    assert ended.value.__cause__ is None


@pytest.mark.parametrize(
    "fault", [refuses(500, "the engine died"), refuses(400, "Server is pinned to 'x'"), raw("<html>")]
)
def test_a_server_that_stops_working_ends_it_before_every_frame_has_failed(server, fault, monkeypatch):
    monkeypatch.setattr(openai_server, "RETRIES", 0)
    with opened(server, openai_in_flight=2) as engine:
        assert len(answered(engine, asked("a", "b"))) == 2
        server.always = fault
        with pytest.raises(TaggerError, match=r"stopped answering \(.*finished work is kept"):
            answered(engine, asked(*map(str, range(1000))))
    assert len(server.seen) < 50


def test_frames_that_a_server_chokes_on_do_not_end_it(server, monkeypatch):
    monkeypatch.setattr(openai_server, "RETRIES", 0)
    bad = [f"bad {number}" for number in range(60)]
    server.script = {text: [refuses(500, "no such codec")] for text in bad}
    with opened(server, openai_in_flight=2) as engine:
        answers = answered(engine, asked(*bad, "good"))
    assert {answers[text].error_code for text in bad} == {"model_failed"}
    assert answers["good"].text == "answer to good"


# ---- how it takes the stream


class Counted:
    """A stream that knows how many prompts were taken of it."""

    def __init__(self, prompts):
        self.prompts, self.taken = iter(prompts), 0

    def __iter__(self):
        for prompt in self.prompts:
            self.taken += 1
            yield prompt


def endless():
    return (prompt for number in itertools.count() for prompt in asked(str(number)))


def test_it_holds_a_bounded_number_of_an_endless_stream(server):
    stream = Counted(endless())
    with opened(server, openai_in_flight=4) as engine:
        completions = engine.complete(stream)
        assert stream.taken == 0
        held = [stream.taken - number for number, _ in enumerate(itertools.islice(completions, 40))]
    assert 4 <= max(held) <= 6 + 1  # half as many again, and the one that is handed out


def test_requests_go_on_while_the_caller_is_busy(server):
    with opened(server, openai_in_flight=4) as engine:
        completions = engine.complete(endless())
        next(completions)  # and nothing more: the caller is with it
        assert wait_until("6 requests", lambda: True if len(server.seen) >= 6 else None, seconds=30)


def test_at_a_pause_it_hands_out_what_is_ready_and_waits_for_no_more(server):
    server.script["hang"] = [server.hangs()]

    def pausing():
        yield from asked("hang", "quick")
        while "quick" not in handed:
            yield None
        server.release()

    handed = {}
    with opened(server) as engine:
        for completion in engine.complete(pausing()):
            handed[completion.prompt.ticket] = completion
    assert list(handed) == ["quick", "hang"]


def test_what_breaks_the_stream_reaches_the_caller_and_it_may_be_asked_again(server):
    def broken():
        yield from asked("a")
        raise RuntimeError("the store is on fire")

    with opened(server) as engine:
        with pytest.raises(RuntimeError, match="on fire"):
            list(engine.complete(broken()))
        assert answered(engine, asked("b"))["b"].text == "answer to b"


@pytest.mark.parametrize("how", ["closed", "left open"])
def test_what_is_left_halfway_leaves_no_thread_even_where_the_server_hangs(server, how):
    server.script["hang"] = [server.hangs()]
    before = set(threading.enumerate())
    with opened(server) as engine:
        completions = engine.complete(itertools.chain(asked("hang", "a"), itertools.repeat(None)))
        assert next(completions).text == "answer to a"
        if how == "closed":
            completions.close()
    ours = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith(("shotlog", "asyncio"))]
    assert ours == []
    completions.close()


def test_it_answers_only_when_it_is_open():
    with pytest.raises(RuntimeError, match="with statement"):
        engine_of("http://127.0.0.1:1/v1").complete([])


# ---- one answer, as it is written


def told(engine, text="ask"):
    return engine.stream(Prompt((Turn("user", (text,)),), 64))


def test_an_answer_comes_piece_by_piece(server):
    server.script["ask"] = [stream("A cat", " on a", " mat.")]
    with opened(server) as engine:
        assert list(told(engine)) == ["A cat", " on a", " mat."]
    assert server.seen[0]["stream"] is True


def test_what_was_streamed_is_returned_whole_and_counted(server):
    usage = 'data: {"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 5}}\n\ndata: [DONE]\n\n'
    cut_off = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\n'
    server.script["ask"] = [stream("A cat", " on a", ending=cut_off + usage)]
    with opened(server) as engine:
        whole = returned(told(engine))
    assert (whole.text, whole.error_code) == ("A cat on a", "answer_cut")
    assert (whole.prompt_tokens, whole.completion_tokens) == (70, 5)
    assert server.seen[0]["stream_options"] == {"include_usage": True}


def test_a_server_that_counts_nothing_while_it_streams_is_asked_without(server):
    server.script["ask"] = [refuses(400, "Unsupported parameter: 'stream_options'"), stream("A cat")]
    with opened(server) as engine:
        whole = returned(told(engine))
    assert (whole.text, whole.error_code, whole.completion_tokens) == ("A cat", None, 0)
    assert [("stream_options" in body) for body in server.seen] == [True, False]


def test_the_temperature_that_is_asked_for_is_sent(server):
    with opened(server) as engine:
        asked = [Prompt((Turn("user", ("ask",)),), 64, temperature=heat) for heat in (0.0, 0.7)]
        list(engine.complete(asked))
    assert sorted(body["temperature"] for body in server.seen) == [0.0, 0.7]


@pytest.mark.parametrize(
    "reply, sentence",
    [
        (refuses(400, TOO_LONG), r"don't fit in the model's context \(400 This .*\): say with SHOTLOG_CONTEXT_TOKENS"),
        (refuses(401, "no"), "refused the key"),
        (refuses(404, "no"), "doesn't serve"),
        (raw("<html>"), r"gave no answer \(an empty answer\): look at the server's log"),
        (stream(), "an empty answer"),
        (stream(ending='data: {"error": {"message": "it died"}}\n\n'), r"gave no answer \(it died\)"),
        (stream(ending='data: {"cho\n\n'), "gave no answer"),
    ],
)
def test_an_answer_that_cannot_be_had_says_why(server, reply, sentence):
    server.script["ask"] = [reply]
    with opened(server) as engine, pytest.raises(TaggerError, match=sentence):
        list(told(engine))


def test_what_was_written_before_the_end_is_handed_out(server):
    server.script["ask"] = [stream("A cat", ending='data: {"error": {"message": "it died"}}\n\n')]
    with opened(server) as engine:
        pieces = told(engine)
        assert next(pieces) == "A cat"
        with pytest.raises(TaggerError, match="it died"):
            next(pieces)


def test_an_answer_that_hangs_ends_at_the_deadline_and_may_be_left(server):
    server.script["ask"] = [server.hangs()] * 9
    with opened(server, openai_deadline_s=0.3) as engine:
        with pytest.raises(TaggerError, match=r"longer than allowed.*: raise SHOTLOG_OPENAI_DEADLINE_S"):
            list(told(engine))
        told(engine).close()
