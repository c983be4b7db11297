"""A model server that goes wrong under a whole run: every fault is a row of its own, and nothing passes for tagged.

The server is scripted: which fault a media object meets stands in its sidecar, which every prompt about it carries.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.errors import CODES, TaggerError
from tests.integration.doors import ask, fill, tag
from tests.servers.scripted import MODEL, Reply, Scripted, body, cut, listening, raw, refuses, says

GOOD = says(json.dumps({"caption": "A cup.", "tags": ["cup"], "summary": "A cup, all the time."}))
FAULTS: dict[str, tuple[list[Reply], str | None]] = {
    "invalid": ([says("a cup, I think")] * 2, "answer_invalid"),
    "wrong shape": ([says('{"caption": ["A cup."]}')] * 2, "answer_invalid"),
    "endless": ([says(" " * 4000, finish_reason="length")], "answer_cut"),
    "cut short": ([says('{"caption": "A cu', finish_reason="length")], "answer_cut"),
    "refused": ([says(None, refusal="I can't help with that.")], "answer_refused"),
    "filtered": ([says("", finish_reason="content_filter")], "answer_refused"),
    "too long": ([refuses(400, "This model's maximum context length is 4096 tokens.")], "context_too_small"),
    "busy": ([refuses(429, "Too many requests", Retry_After="0.01")] * 9, "model_busy"),
    "broken": ([refuses(500, "Internal error", Retry_After="0.01")] * 9, "model_failed"),
    "lost": ([cut()] * 9, "model_timeout"),  # retried with the client's own pauses until the deadline
    "page": ([raw("<html>Bad gateway</html>")] * 9, "model_failed"),
    "no choices": ([body({"id": "1", "choices": []})] * 9, "model_failed"),
    "repaired": ([says('{"caption": 7}'), GOOD], None),
    "passing": ([refuses(503, "Loading", Retry_After="0.01"), GOOD], None),
}
"""What a media object's sidecar says → what its requests get, and the code it ends with. Then all answers are good."""


class Server:
    """Answers by what the sidecar in the prompt says, and counts."""

    def __init__(self, scripted: Scripted) -> None:
        self.scripted, self.asked, self.summaries = scripted, Counter[str](), 0
        self.replies = {fault: list(replies) for fault, (replies, _) in FAULTS.items()}
        scripted.always = lambda sent: self.reply(sent)(sent)

    def reply(self, sent: dict[str, Any]) -> Reply:
        text = json.dumps(sent["messages"][0]["content"], ensure_ascii=False)
        told = re.search(r"<context>\\n(.*?)\\n</context>", text)
        fault = told[1] if told else ""
        self.asked[fault] += 1
        if "These captions" in text:
            self.summaries += 1
            fault = f"summary {fault}"
        waiting = self.replies.get(fault)
        return waiting.pop(0) if waiting else GOOD


@pytest.fixture
def server() -> Iterator[Server]:
    with listening() as http:
        scripted = Scripted(http)
        yield Server(scripted)
        scripted.release()


@pytest.fixture
def settings(server):
    return {
        "tagger": f"openai:{MODEL}",
        "openai_base_url": server.scripted.url,
        "openai_in_flight": 4,
        "openai_deadline_s": 3,
        "metadata": "tags",
        "context_sidecar": ".txt",
        "context_tokens": 32_768,
    }


def meet(folder, name, fault):
    """A media object in the folder that meets this fault."""
    fill(folder, name)
    (folder / f"{name}.txt").write_text(fault)


def statuses(lake):
    found = ask(lake, "SELECT parse_filename(uri), status, error_code FROM log.taggings ORDER BY tagged_at, uri")
    return {name.partition(".")[0].replace("_", " "): (status, code) for name, status, code in found}


def test_every_fault_is_the_row_of_its_media_object_and_the_others_are_tagged(server, settings, tmp_path):
    for fault in (*FAULTS, "good"):
        fill(tmp_path / "in", f"{fault.replace(' ', '_')}.png=coffee.png")
        (tmp_path / "in" / f"{fault.replace(' ', '_')}.png.txt").write_text(fault)
    summary = tag(tmp_path / "lake", tmp_path / "in", **settings)
    expected = {fault: ("failed", code) if code else ("ok", None) for fault, (_, code) in FAULTS.items()}
    assert statuses(tmp_path / "lake") == {**expected, "good": ("ok", None)}
    assert (summary["ok"], summary["failed"]) == (3, len(FAULTS) - 2)
    errors = dict(ask(tmp_path / "lake", "SELECT error_code, error FROM failures"))
    assert all(
        error.startswith(CODES[code].sentence) and CODES[code].next_step in error for code, error in errors.items()
    )

    server.replies.clear()  # now it is well
    server.asked.clear()
    again = tag(tmp_path / "lake", tmp_path / "in", **settings)
    passing = {fault for fault, (_, code) in FAULTS.items() if code and CODES[code].passing}
    assert set(server.asked) == passing and again["retried"] == again["ok"] == len(passing)
    assert again["waiting"] == len(FAULTS) - 2 - len(passing)


def test_a_server_that_hangs_costs_no_more_than_the_deadline(server, settings, tmp_path):
    meet(tmp_path / "in", "coffee.png", "hanging")
    fill(tmp_path / "in", "chelsea.png")
    server.replies["hanging"] = [server.scripted.hangs()]
    tag(tmp_path / "lake", tmp_path / "in", **{**settings, "openai_deadline_s": 1})
    assert statuses(tmp_path / "lake") == {"coffee": ("failed", "model_timeout"), "chelsea": ("ok", None)}


def test_a_video_with_one_failed_frame_is_partial_and_the_next_run_asks_for_that_frame_alone(
    server, settings, tmp_path
):
    meet(tmp_path / "in", "bikes.mp4", "bikes")
    server.replies["bikes"] = [GOOD, GOOD, *[refuses(500, "Internal error", Retry_After="0.01")] * 6]
    tag(tmp_path / "lake", tmp_path / "in", **{**settings, "openai_in_flight": 1})
    assert statuses(tmp_path / "lake") == {"bikes": ("partial", "model_failed")}
    assert ask(tmp_path / "lake", "SELECT frames, summary FROM media") == [(9, None)]
    assert server.summaries == 0, "the whole film isn't known yet"

    server.asked.clear()
    tag(tmp_path / "lake", tmp_path / "in", **settings)
    assert server.asked == {"bikes": 2} and server.summaries == 1
    assert ask(tmp_path / "lake", "SELECT status, frames, summary FROM media") == [("ok", 10, "A cup, all the time.")]
    tokens = "SELECT prompt_tokens, completion_tokens FROM media"
    assert ask(tmp_path / "lake", tokens) == [(2 * 11, 2 * 7)], "what this look asked for, not what the last one paid"


@pytest.mark.parametrize(
    ("replies", "code"),
    [([refuses(500, "Internal error", Retry_After="0.01")] * 6, "model_failed"), ([says("no")] * 2, "answer_invalid")],
)
def test_a_video_that_is_not_summed_up_keeps_its_frames_and_is_not_whole(replies, code, server, settings, tmp_path):
    meet(tmp_path / "in", "carphone_pristine.mp4", "talk")
    server.replies["summary talk"] = list(replies)
    tag(tmp_path / "lake", tmp_path / "in", **settings)
    assert statuses(tmp_path / "lake") == {"carphone pristine": ("partial", code)}
    assert ask(tmp_path / "lake", "SELECT count(caption) FROM timestamps") == [(4,)]

    server.asked.clear()
    tag(tmp_path / "lake", tmp_path / "in", **settings)
    if CODES[code].passing:
        assert server.asked == {"talk": 1}, "the summary alone"
        assert ask(tmp_path / "lake", "SELECT status, frames FROM media") == [("ok", 4)]
    else:
        assert not server.asked


def test_a_wrong_key_is_said_before_anything_is_listed_as_failed(server, settings, tmp_path):
    fill(tmp_path / "in", "coffee.png")
    server.scripted.models = refuses(401, "Incorrect API key provided: sk-secret")
    with pytest.raises(TaggerError, match="SHOTLOG_OPENAI_API_KEY") as refused:
        tag(tmp_path / "lake", tmp_path / "in", **settings, openai_api_key="sk-secret")
    assert "sk-secret" not in str(refused.value)
    assert ask(tmp_path / "lake", "SELECT count(*) FROM log.taggings") == [(0,)]
    assert "sk-secret" not in str(ask(tmp_path / "lake", "SELECT * FROM log.runs, log.run_events"))


def test_a_server_that_dies_midway_ends_the_run_and_keeps_what_was_finished(server, settings, tmp_path):
    fill(tmp_path / "in", "a.png=coffee.png", "b.png=chelsea.png")
    for number in range(4):
        fill(tmp_path / "in", f"c{number}.mp4=bikes.mp4")
    server.replies[""] = [GOOD, GOOD, *[refuses(500, "Internal error", Retry_After="0.01")] * 600]
    one_by_one = {**settings, "openai_in_flight": 1}
    with pytest.raises(TaggerError, match="stopped answering"):
        tag(tmp_path / "lake", tmp_path / "in", **one_by_one)
    server.replies.clear()
    server.asked.clear()
    summary = tag(tmp_path / "lake", tmp_path / "in", **settings)
    assert ask(tmp_path / "lake", "SELECT status, count(*) FROM media GROUP BY ALL") == [("ok", 6)]
    assert summary["state"] == "finished" and server.asked[""] == 4 * 11, "the two pictures were kept"


def test_of_several_causes_the_passing_one_decides_that_the_next_run_asks_again(server, settings, tmp_path):
    meet(tmp_path / "in", "bikes.mp4", "bikes")
    broken = [refuses(500, "Internal error", Retry_After="0.01")] * 6
    server.replies["bikes"] = [GOOD, *broken, GOOD, says('{"caption": "A cu', finish_reason="length")]
    one_by_one = {**settings, "openai_in_flight": 1}
    tag(tmp_path / "lake", tmp_path / "in", **one_by_one)
    assert statuses(tmp_path / "lake") == {"bikes": ("partial", "model_failed")}
    spent = "SELECT prompt_tokens, completion_tokens FROM log.taggings ORDER BY tagged_at"
    assert ask(tmp_path / "lake", spent) == [(9 * 11, 9 * 7)], "the answer that was cut was paid, too"
    server.asked.clear()
    tag(tmp_path / "lake", tmp_path / "in", **one_by_one)
    assert server.asked == {"bikes": 3}, "two frames and the summary"


def test_a_frame_that_failed_for_good_is_asked_again_alone_when_that_is_asked_for(server, settings, tmp_path):
    meet(tmp_path / "in", "bikes.mp4", "bikes")
    server.replies["bikes"] = [GOOD, says('{"caption": "A cu', finish_reason="length")]
    tag(tmp_path / "lake", tmp_path / "in", **settings)
    server.asked.clear()
    tag(tmp_path / "lake", tmp_path / "in", **settings, retry_failed=True)
    assert server.asked == {"bikes": 2}, "the frame, and the summary of what is now whole"
    assert ask(tmp_path / "lake", "SELECT status, frames FROM media") == [("ok", 10)]


def test_what_a_dead_run_kept_outlives_a_run_that_has_nothing_to_do_with_it(server, settings, tmp_path):
    fill(tmp_path / "in", "bikes.mp4")
    fill(tmp_path / "other", "coffee.png")
    server.replies[""] = [GOOD] * 6 + [refuses(401, "Incorrect API key")] * 99
    with pytest.raises(TaggerError):
        tag(tmp_path / "lake", tmp_path / "in", **{**settings, "openai_in_flight": 1})
    server.replies.clear()
    tag(tmp_path / "lake", tmp_path / "other", **settings)
    server.asked.clear()
    tag(tmp_path / "lake", tmp_path / "in", **settings)
    assert server.asked == {"": 10 - 6 + 1}, "four frames and the summary"
