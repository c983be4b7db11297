"""The command line: arguments to steps, answers to output. No logic of its own."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer

from pipeline.cli import keys, webhooks
from pipeline.cli.options import (
    Exclude,
    Format,
    Include,
    Kinds,
    Lake,
    Limit,
    Most,
    Retag,
    Retry,
    Uris,
    Which,
    Who,
)
from pipeline.cli.output import (
    RunDisplay,
    err,
    print_answer,
    print_forecast,
    print_json,
    print_rows,
    print_summary,
)
from pipeline.cli.serve import serve
from pipeline.errors import ShotlogError, interruptible
from pipeline.settings import OutputFormat, load_settings

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


@app.command()
def tag(
    uris: Uris = None,
    lake: Lake = None,
    tagger: Who = None,
    sampling: Which = None,
    shot_detector: Annotated[str | None, typer.Option(help="Who finds the cuts: adaptive or transnetv2.")] = None,
    metadata: Kinds = None,
    max_frames: Most = None,
    context: Annotated[str | None, typer.Option(help="What a model should know of the archive.")] = None,
    vocabulary: Annotated[str | None, typer.Option(help="A TOML file of the labels that a model may use.")] = None,
    prompts: Annotated[str | None, typer.Option(help="A folder with prompts of your own.")] = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    workers: Annotated[int | None, typer.Option(help="Media read at once. [default: the cores]")] = None,
    decoder: Annotated[str | None, typer.Option(help="auto, pyav or decord.")] = None,
    thumbnails: Annotated[bool | None, typer.Option(help="Keep a small picture of every frame looked at.")] = None,
    retag: Retag = None,
    retry_failed: Retry = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Only say what would be done, as `plan` does.")
    ] = None,
    fail_on_error: Annotated[bool, typer.Option("--fail-on-error", help="Exit with 1 when any media failed.")] = False,
    form: Format = None,
) -> None:
    """Tag what is new or changed.

    Examples:

      shotlog tag ~/Videos --lake lake

      shotlog tag s3://archive/2026/ --lake s3://archive-tags/lake --sampling shots

      shotlog tag s3://archive/ --include '*.mp4' --limit 100 --format json
    """
    from pipeline.steps.run import tag as run

    request = _given(
        sources=uris,
        lake=lake,
        tagger=tagger,
        sampling=sampling,
        shot_detector=shot_detector,
        metadata=metadata,
        max_frames=max_frames,
        context=context,
        vocabulary=vocabulary,
        prompts=prompts,
        include=include,
        exclude=exclude,
        limit=limit,
        workers=workers,
        decoder=decoder,
        thumbnails=thumbnails,
        retag=retag,
        retry_failed=retry_failed,
        dry_run=dry_run,
    )
    if load_settings(**request).dry_run:
        from pipeline.steps.forecast import forecast

        return print_forecast(forecast(request), _chosen_format(form))
    with RunDisplay() as display:
        summary = run(request, display)
    print_summary(summary)
    form = _chosen_format(form)
    if form == "json":
        print_json(summary)
    elif form == "csv":
        print_rows(list(summary), [list(summary.values())], form)
    if fail_on_error and summary["failed"] + summary["partial"]:
        raise typer.Exit(1)
    return None


@app.command()
def plan(
    uris: Uris = None,
    lake: Lake = None,
    tagger: Who = None,
    sampling: Which = None,
    metadata: Kinds = None,
    max_frames: Most = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    retag: Retag = None,
    retry_failed: Retry = None,
    prices: Annotated[str | None, typer.Option(help="A TOML file of prices and speeds.")] = None,
    form: Format = None,
) -> None:
    """Say what a run would do, take and cost, before any model runs. Nothing is written.

    Reads the listing, the headers of a few films, and what this lake's own runs took. The same options as `tag`.

    Examples:

      shotlog plan s3://archive/ --lake s3://archive-tags/lake --tagger openai:Qwen/Qwen2.5-VL-7B-Instruct

      shotlog plan archive --lake lake --retag --format json
    """
    from pipeline.steps.forecast import forecast

    request = _given(
        sources=uris,
        lake=lake,
        tagger=tagger,
        sampling=sampling,
        metadata=metadata,
        max_frames=max_frames,
        include=include,
        exclude=exclude,
        limit=limit,
        retag=retag,
        retry_failed=retry_failed,
        prices=prices,
    )
    print_forecast(forecast(request), _chosen_format(form))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(metavar="STATEMENT|FILE|NAME", help="SQL, a file.sql, or a query's name.")],
    lake: Lake = None,
    form: Format = None,
) -> None:
    """Ask the lake in SQL (DuckDB), read-only.

    Views: media, timestamps, shots, categories, participants, actions, scene, tags, rating,
    thumbnails, subtitles, failures, runs.
    Named queries: archive, not_safe, people_and_bicycles, screen_time, stale, storyboard, top_labels, what_failed,
    what_is_said.

    Examples:

      shotlog sql "SELECT uri, timecode, caption FROM timestamps LIMIT 10"

      shotlog sql people_and_bicycles --lake s3://archive-tags/lake --format csv
    """
    from pipeline.steps.query import sql as ask

    columns, rows = ask(_given(lake=lake), query)
    print_rows(columns, rows, _chosen_format(form))


@app.command()
def runs(lake: Lake = None, form: Format = None) -> None:
    """List the runs, newest first: what they found, how far they are, how they ended.

    Example:

      shotlog runs --lake lake --format json
    """
    from pipeline.steps.runs import list_runs

    columns, rows = list_runs(_given(lake=lake), short=_chosen_format(form) == "table")
    print_rows(columns, rows, _chosen_format(form))


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

    form, request = _chosen_format(form), _given(tagger=tagger, sampling=sampling, max_frames=max_frames)
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

    columns, rows = list_taggers(_given(tagger=tagger))
    print_rows(columns, rows, _chosen_format(form))


app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.command()(serve)


def _chosen_format(given: OutputFormat | None) -> OutputFormat:
    return load_settings(format=given).format


def _given(**arguments: Any) -> dict[str, Any]:
    """Only what was given on the command line; the rest is for the settings to say."""
    return {name: value for name, value in arguments.items() if value not in (None, [], ())}


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
