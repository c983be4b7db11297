"""The command line: arguments to steps, answers to output. No logic of its own."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from pipeline.cli import keys, recipes, upkeep, webhooks
from pipeline.cli.backfill import backfill
from pipeline.cli.compare import compare
from pipeline.cli.export import export
from pipeline.cli.options import Format, Lake, chosen_format, given
from pipeline.cli.output import err, print_answer, print_rows
from pipeline.cli.serve import serve
from pipeline.cli.tag import plan, tag
from pipeline.errors import ShotlogError, interruptible

app = typer.Typer(
    name="shotlog",
    help="Tags media archives: finds new images and videos, looks at their frames, and keeps what they show as "
    "SQL tables.\n\nBegin with: shotlog tag ~/Videos --lake lake, then: shotlog sql storyboard --lake lake",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"shotlog {version('shotlog')}")
        raise typer.Exit


@app.callback()
def shotlog(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(tag)
app.command()(plan)
app.command()(backfill)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(metavar="STATEMENT|FILE|NAME", help="SQL, a file.sql, or a query's name.")],
    lake: Lake = None,
    form: Format = None,
) -> None:
    """Ask the lake in SQL (DuckDB), read-only.

    Views: media, timestamps, shots, categories, participants, actions, scene, tags, rating,
    thumbnails, subtitles, tag_changes, failures, runs.
    Named queries: appearances, archive, not_safe, people_and_bicycles, screen_time, stale, storyboard, top_labels,
    what_failed, what_is_said.

    Examples:

      shotlog sql "SELECT uri, timecode, caption FROM timestamps LIMIT 10"

      shotlog sql people_and_bicycles --lake s3://archive-tags/lake --format csv
    """
    from pipeline.steps.query import sql as ask

    columns, rows = ask(given(lake=lake), query)
    print_rows(columns, rows, chosen_format(form))


@app.command()
def runs(lake: Lake = None, form: Format = None) -> None:
    """List the runs, newest first: what they found, how far they are, how they ended.

    Example:

      shotlog runs --lake lake --format json
    """
    from pipeline.steps.runs import list_runs

    columns, rows = list_runs(given(lake=lake), short=chosen_format(form) == "table")
    print_rows(columns, rows, chosen_format(form))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know, in any language.")],
    media: Annotated[list[str], typer.Argument(metavar="MEDIA...", help="Images and videos: files, s3:// or https.")],
    tagger: Annotated[str | None, typer.Option(help="Who answers: transformers:NAME or openai:MODEL.")] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt in the place of shotlog's own.")] = None,
    sampling: Annotated[str | None, typer.Option(help="Which frames of a video: as `tag` has them.")] = None,
    max_frames: Annotated[str | None, typer.Option(help="Most frames of one video. [default: 60]")] = None,
    form: Format = None,
) -> None:
    """Ask a vision-language model about images and videos, all at once. Nothing is written.

    Examples:

      shotlog ask "Who is ahead?" race.mp4 --tagger openai:Qwen/Qwen2.5-VL-7B-Instruct

      shotlog ask "What is different?" before.jpg after.jpg --system "Answer in one sentence."
    """
    from pipeline.steps.ask import ask as answer

    form, request = chosen_format(form), given(tagger=tagger, sampling=sampling, max_frames=max_frames)
    shown: list[str] = []

    def watch(name: str, moment: str | None) -> None:
        shown.append(f"{name} {moment}" if moment else name)
        err.print(f"looking at {shown[-1]}")

    pieces = answer({**request, "sources": media}, question, system=system, watch=watch)
    print_answer(pieces, question, shown, form)


@app.command()
def models(
    tagger: Annotated[str | None, typer.Option(help="Also with a model of yours.")] = None, form: Format = None
) -> None:
    """List the taggers, whether each can run here, and the command that would make it so.

    Examples:

      shotlog models

      shotlog models --tagger transformers:Qwen/Qwen2-VL-2B-Instruct --format json
    """
    from pipeline.steps.models import list_taggers

    columns, rows = list_taggers(given(tagger=tagger))
    print_rows(columns, rows, chosen_format(form))


app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(recipes.app, name="recipes")
app.command()(serve)
app.command()(compare)
app.command()(export)
app.command()(upkeep.maintain)
app.command()(upkeep.forget)


def main() -> None:
    """Entry point. Exit codes: DESIGN.md §7."""
    try:
        with interruptible():
            app()
    except ShotlogError as error:
        err.print(f"shotlog: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
