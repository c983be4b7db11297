"""`shotlog tag` and `shotlog plan`: do it, and say what it would take."""

from __future__ import annotations

from typing import Annotated

import typer

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
    Sample,
    Uris,
    Which,
    Who,
    chosen_format,
    given,
)
from pipeline.cli.output import RunDisplay, print_forecast, print_json, print_rows, print_summary
from pipeline.settings import load_settings


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
    sample: Sample = None,
    retry_failed: Retry = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Only say what would be done, as `plan` does.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Stop when so much is spent: '50 USD', '10 GPU-hours', '1M tokens'.")
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

    request = given(
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
        sample=sample,
        retry_failed=retry_failed,
        dry_run=dry_run,
        budget=budget,
    )
    if load_settings(**request).dry_run:
        from pipeline.steps.forecast import forecast

        return print_forecast(forecast(request), chosen_format(form))
    with RunDisplay() as display:
        summary = run(request, display)
    print_summary(summary)
    form = chosen_format(form)
    if form == "json":
        print_json(summary)
    elif form == "csv":
        print_rows(list(summary), [list(summary.values())], form)
    if fail_on_error and summary["failed"] + summary["partial"]:
        raise typer.Exit(1)
    return None


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
    sample: Sample = None,
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

    request = given(
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
        sample=sample,
        retry_failed=retry_failed,
        prices=prices,
    )
    print_forecast(forecast(request), chosen_format(form))
