"""The command line keeps its promises to people and to programs (DESIGN.md §7): a real process each time."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
from contextlib import contextmanager

import psutil
import pytest

from demo.services import wait_until
from tests.integration.doors import SHOTLOG, ask, environment, fill, rows, shotlog, tag

SUMMARY = ("run_id", "listed", "new", "changed", "gone", "unchanged", "ok", "partial", "failed", "skipped", "frames")
VERBS = [
    *("ask", "backfill", "compare", "export", "forget", "keys", "maintain", "models", "plan"),
    *("recipes", "runs", "serve", "sql", "tag", "webhooks"),
]
GROUPS = {
    "keys": ["create", "list", "revoke"],
    "recipes": ["list", "name", "use"],
    "webhooks": ["list", "retry", "test"],
}
MANY = 100
"""Media of the runs that are interrupted or waited for: enough to be in the middle when a quarter is done."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an archive `in` and its `lake`, and what the command said when it made it."""
    folder = tmp_path_factory.mktemp("place")
    fill(folder / "in", "cfr.mp4", "still.webp", "truncated.mp4", "text.mp4")
    (folder / "in" / "notes.txt").write_text("no media")
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@contextmanager
def started(*arguments, cwd, **options):
    """A running command with its stderr to read from, in a session of its own; none outlives the block."""
    command = [SHOTLOG, *map(str, arguments)]
    with subprocess.Popen(command, cwd=cwd, env=environment(cwd), text=True, start_new_session=True, **options) as run:
        try:
            yield run
        finally:
            run.kill()


def read_until(stream, words):
    """Lines up to the one that holds these words."""
    lines = []
    for line in stream:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came: {lines}")


# --- what goes where -----------------------------------------------------------------------------------------------


def test_a_run_is_told_in_plain_lines_where_stderr_is_no_terminal(place):
    folder, done = place
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[:2] == [
        "listed 4 media objects: 4 new, 0 changed, 0 unchanged, 0 gone; 4 to tag",
        "1 are neither image nor video by their names and were left alone",
    ]
    told = {line.split(": ")[0]: line for line in lines[2:]}
    assert told["skipped"].startswith(f"skipped: {folder}/in/text.mp4: the bytes are no image or video")
    assert told["partial"].startswith(f"partial: {folder}/in/truncated.mp4: the file ends early (")
    assert told["partial"].endswith("(the views hold what could be read, if anything)"), "a sentence stays on its line"
    assert re.fullmatch(r"run \S+ finished in [\d.]+ s: 2 ok, 1 partial, 0 failed, 1 skipped, \d+ frames", lines[-1]), (
        "the summary stays on its line"
    )
    assert "\x1b" not in done.stderr


def test_tag_prints_one_json_object_with_the_keys_programs_read(tmp_path):
    fill(tmp_path / "in", "cfr.mp4", "empty.mp4")
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", "--format", "json", cwd=tmp_path)
    summary = json.loads(done.stdout)
    assert [name for name in summary if name in SUMMARY] == list(SUMMARY)
    expected = {**dict.fromkeys(SUMMARY[1:], 0), "listed": 2, "new": 2, "ok": 1, "failed": 1, "frames": 2}
    assert {name: summary[name] for name in SUMMARY[1:]} == expected
    assert isinstance(summary["seconds"], float)
    assert done.stdout.count("\n") == 1


def test_tag_prints_a_line_of_csv(place):
    folder, _ = place
    done = shotlog("tag", "in", "--lake", "lake", "--tagger", "null", "--format", "csv", cwd=folder)
    (summary,) = csv.DictReader(done.stdout.splitlines())
    assert (summary["listed"], summary["unchanged"], summary["ok"]) == ("4", "4", "0")


def asked(place, query, form, verb="sql"):
    command = [verb, *([query] if query else []), "--lake", "lake", "--format", form]
    done = shotlog(*command, cwd=place[0])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_sql_gives_programs_an_array_of_objects(place):
    query = (
        "SELECT 1.5 AS a, 2::DECIMAL(9, 2) AS b, count(*) AS n, 'nan'::DOUBLE AS nan, [0.5, NULL] AS list, "
        "TIMESTAMPTZ '2026-01-02 03:04:05+00' AS t, DATE '2026-01-02' AS d, TIME '03:04:05' AS c, "
        "'\\xFF'::BLOB AS blob, "
        "{'k': 1.5} AS s, true AS yes, NULL AS nothing, 170141183460469231731687303715884105727::HUGEINT AS huge, "
        "1 AS x, 2 AS x, 'é\"\n' AS text, '7b0b9dcc-5a1c-4ad8-8b68-4b8f6dbb7b52'::UUID AS id FROM media"
    )
    assert json.loads(asked(place, query, "json")) == [
        {
            **{"a": 1.5, "b": 2, "n": 3, "nan": None, "list": [0.5, None], "t": "2026-01-02T03:04:05+00:00"},
            **{"d": "2026-01-02", "c": "03:04:05", "blob": "/w==", "s": {"k": 1.5}, "yes": True, "nothing": None},
            **{"huge": 170141183460469231731687303715884105727, "x": 1, "x_1": 2, "text": 'é"\n'},
            "id": "7b0b9dcc-5a1c-4ad8-8b68-4b8f6dbb7b52",
        }
    ]


def test_an_empty_answer_is_an_empty_array_and_a_header(place):
    query = "SELECT uri, error FROM failures WHERE false"
    assert asked(place, query, "json") == "[]\n"
    assert asked(place, query, "csv") == "uri,error\n"
    assert asked(place, query, "table").split() == ["uri", "error"]


def test_csv_is_what_spreadsheets_read(place):
    out = asked(place, "SELECT 'a,b' AS \"x,y\", 'line\nbreak' AS z, NULL AS n", "csv")
    assert list(csv.reader(out.splitlines(keepends=True))) == [["x,y", "z", "n"], ["a,b", "line\nbreak", ""]]


def test_a_query_is_a_statement_a_file_or_a_name(place):
    folder, _ = place
    (folder / "mine.sql").write_text("-- mine\nSELECT count(*) AS n FROM media;\n")
    assert json.loads(asked(place, "mine.sql", "json")) == [{"n": 3}]
    assert {row["error_code"] for row in json.loads(asked(place, "what_failed", "json"))} == {"not_media", "truncated"}


def test_runs_come_newest_first_in_every_format(place):
    folder, _ = place
    tag(folder / "lake", folder / "in", limit=1)
    found = json.loads(asked(place, "", "json", "runs"))
    assert [run["started_at"] for run in found] == sorted((run["started_at"] for run in found), reverse=True)
    assert found[-1]["sources"] == [f"{folder}/in/"]
    assert (found[-1]["new"], found[-1]["ok"], found[-1]["partial"], found[-1]["state"]) == (4, 2, 1, "finished")
    table = asked(place, "", "table", "runs").splitlines()
    assert len(table) == len(found) + 1
    assert [line.split()[0] for line in table[1:]] == [run["run_id"] for run in found]
    assert len(list(csv.DictReader(asked(place, "", "csv", "runs").splitlines()))) == len(found)


@pytest.mark.parametrize("query", ["FROM range(20000)", "FROM range(2)"])
@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_reader_that_leaves_early_gets_no_complaint(query, form, place):
    """The reader has closed its end before the first byte comes, or, of a long answer, after it."""
    folder, _ = place
    end, their_end = os.pipe()
    if "2)" in query:
        os.close(end)
    with started("sql", query, "--lake", "lake", "--format", form, cwd=folder, stdout=their_end, stderr=-1) as run:
        os.close(their_end)
        if "2)" not in query:
            assert os.read(end, 1)
            os.close(end)
        assert run.stderr.read() == ""
        assert run.wait() in (0, 1)


def test_asking_writes_nothing_into_the_home_of_who_asks(place):
    folder, _ = place
    before = sorted(folder.iterdir())
    asked(place, "archive", "table")
    assert sorted(folder.iterdir()) == before
    assert not [path for path in before if path.name.startswith(".")]


# --- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", [*sorted({*VERBS} - {*GROUPS}), *(f"{group} {verb}" for group, verbs in GROUPS.items() for verb in verbs)]
)
def test_the_help_of_every_verb_has_an_example(verb, tmp_path):
    done = shotlog(*verb.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(rf"Examples?:\s+shotlog {verb}\b", done.stdout)


def test_the_help_lists_every_verb_and_how_to_begin(tmp_path):
    done = shotlog("--help", cwd=tmp_path)
    assert set(re.findall(r"^  (\w+) ", done.stdout.partition("Commands:")[2], re.MULTILINE)) == set(VERBS)
    assert "Begin with: shotlog tag" in done.stdout


# --- settings ------------------------------------------------------------------------------------------------------


def test_options_mean_the_settings_of_the_same_name(tmp_path):
    fill(tmp_path / "in", "cfr.mp4")
    (tmp_path / "shotlog.toml").write_text('lake = "from-file"\ntagger = "null"\nsources = ["in"]\nmax_frames = 1\n')
    done = shotlog("tag", "--format", "json", cwd=tmp_path, SHOTLOG_MAX_FRAMES="all")
    assert json.loads(done.stdout)["frames"] == 2, done.stderr
    assert shotlog("runs", cwd=tmp_path).returncode == 0
    assert shotlog("runs", "--lake", "other", cwd=tmp_path).returncode == 3
    assert shotlog("runs", cwd=tmp_path, SHOTLOG_LAKE="other").returncode == 3


# --- while it runs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    return fill(folder, *(f"{number:03}.mp4=cfr.mp4" for number in range(MANY)))


def test_a_terminal_shows_a_bar_with_the_time_left(many, tmp_path):
    ours, theirs = pty.openpty()
    terminal = {"stdout": theirs, "stderr": theirs, "stdin": theirs}
    environment_ = {"TERM": "xterm", "COLUMNS": "120"}
    command = [SHOTLOG, "tag", str(many), "--lake", "lake", "--tagger", "null", "--limit", "30"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path, **environment_), **terminal) as run:
        os.close(theirs)
        shown = ""
        while chunk := _read(ours):
            shown += chunk
        assert run.wait() == 0
    os.close(ours)
    assert re.search(r"tagging .*?\d+/30.*? media · \d+ frames · .*?\d:\d\d:\d\d.*? left", shown)
    assert re.search(r"run \S+ finished in [\d.]+ s: 30 ok", shown)
    assert "/30 media, " not in shown, "no plain lines beside the bar"


def _read(terminal):
    try:
        return os.read(terminal, 65536).decode()
    except OSError:  # the other end is closed
        return ""


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_does_the_rest(many, tmp_path):
    command = ["tag", many, "--lake", "lake", "--tagger", "null"]
    with started(*command, cwd=tmp_path, stderr=subprocess.PIPE) as run:
        read_until(run.stderr, f"25/{MANY} media")
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does, which tells the decoders, too
        rest = run.stderr.read()
        assert run.wait() == 130
    assert "Traceback" not in rest
    said = re.search(
        rf"^interrupted: (\d+) of {MANY} media are done and kept; the same command does the rest$", rest, re.M
    )
    assert said, rest
    lake = tmp_path / "lake"
    kept = rows(lake)["taggings"]
    assert 25 <= int(said[1]) == kept < MANY
    assert ask(lake, "SELECT state, media_done FROM runs") == [("interrupted", kept)]
    assert ask(lake, "SELECT count(*) FROM failures") == [(0,)]
    again = shotlog(*command, "--format", "json", cwd=tmp_path)
    assert json.loads(again.stdout)["ok"] == MANY - kept
    assert ask(lake, "SELECT count(*), count(DISTINCT media_id) FROM log.taggings") == [(MANY, MANY)]
    assert ask(lake, "SELECT DISTINCT state FROM runs ORDER BY state") == [("finished",), ("interrupted",)]


def test_ctrl_c_ends_a_query(place):
    query = "SELECT count(*) FROM range(20000000000) AS r(i) WHERE i % 7 = 3"
    with started("sql", query, "--lake", "lake", cwd=place[0], stderr=subprocess.PIPE) as run:
        used = psutil.Process(run.pid).cpu_times
        wait_until("the query", lambda: used().user > 5 or None, seconds=120)  # starting takes one
        os.killpg(run.pid, signal.SIGINT)
        assert run.stderr.read() == ""
        assert run.wait() == 130


def test_a_second_command_waits_for_the_first_says_so_and_doubles_nothing(many, tmp_path):
    command = ["tag", many, "--lake", "lake", "--tagger", "null", "--format", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(*command, cwd=tmp_path, **pipes) as one:
        read_until(one.stderr, f"25/{MANY} media")
        os.kill(one.pid, signal.SIGSTOP)  # it holds the lake for as long as it takes
        with started(*command, cwd=tmp_path, **pipes) as two:
            read_until(two.stderr, "another run holds this lake: waiting for it to end")
            reading = shotlog("runs", "--lake", "lake", "--format", "json", cwd=tmp_path)
            assert [run["state"] for run in json.loads(reading.stdout)] == ["running"], "readers don't wait"
            os.kill(one.pid, signal.SIGCONT)
            first, second = json.loads(one.communicate()[0]), json.loads(two.communicate()[0])
    assert (first["new"], first["ok"], second["unchanged"], second["ok"]) == (MANY, MANY, MANY, 0)
    assert rows(tmp_path / "lake")["taggings"] == MANY
