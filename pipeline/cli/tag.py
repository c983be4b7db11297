"""`shotlog tag` and `shotlog plan`: do it, and say what it would take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.cli.options import (
    Context,
    DecoderName,
    Detector,
    DryRun,
    Exclude,
    FailOnError,
    Format,
    Include,
    Inventory,
    Kinds,
    Lake,
    Limit,
    Money,
    Most,
    Prompts,
    Retag,
    Retry,
    Sample,
    Thumbnails,
    Uris,
    Vocabulary,
    Which,
    Who,
    Workers,
    chosen_format,
    given,
)
from pipeline.cli.output import RunDisplay, print_forecast, print_json, print_rows, print_summary
from pipeline.settings import OutputFormat, load_settings


def tag(
    uris: Uris = None,
    lake: Lake = None,
    tagger: Who = None,
    sampling: Which = None,
    shot_detector: Detector = None,
    metadata: Kinds = None,
    max_frames: Most = None,
    context: Context = None,
    vocabulary: Vocabulary = None,
    prompts: Prompts = None,
    inventory: Inventory = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    workers: Workers = None,
    decoder: DecoderName = None,
    thumbnails: Thumbnails = None,
    retag: Retag = None,
    sample: Sample = None,
    retry_failed: Retry = None,
    dry_run: DryRun = None,
    budget: Money = None,
    fail_on_error: FailOnError = False,
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
        inventory=inventory,
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
    return conclude(summary, chosen_format(form), fail_on_error=fail_on_error)


_AGAIN = "what is left, the next run does, as far as its own budget goes"


def conclude(summary: dict[str, Any], form: OutputFormat, *, fail_on_error: bool, again: str = _AGAIN) -> None:
    """A run's last words, and its summary on stdout where a format is asked for. Exits with 1 where that is wished.

    again: what does what a budget has left undone.
    """
    print_summary(summary, again)
    if form == "json":
        print_json(summary)
    elif form == "csv":
        print_rows(list(summary), [list(summary.values())], form)
    if fail_on_error and summary["failed"] + summary["partial"]:
        raise typer.Exit(1)


def plan(
    uris: Uris = None,
    lake: Lake = None,
    tagger: Who = None,
    sampling: Which = None,
    shot_detector: Detector = None,
    metadata: Kinds = None,
    max_frames: Most = None,
    context: Context = None,
    vocabulary: Vocabulary = None,
    prompts: Prompts = None,
    inventory: Inventory = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    thumbnails: Thumbnails = None,
    retag: Retag = None,
    sample: Sample = None,
    retry_failed: Retry = None,
    prices: Annotated[str | None, typer.Option(help="A TOML file of prices and speeds.")] = None,
    form: Format = None,
) -> None:
    """Say what a run would do, take and cost, before any model runs. Nothing is written.

    Reads the listing, the headers of a few films, and what this lake's own runs took. The options of `tag` that say
    what is done are the same here.

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
        shot_detector=shot_detector,
        metadata=metadata,
        max_frames=max_frames,
        context=context,
        vocabulary=vocabulary,
        prompts=prompts,
        inventory=inventory,
        include=include,
        exclude=exclude,
        limit=limit,
        thumbnails=thumbnails,
        retag=retag,
        sample=sample,
        retry_failed=retry_failed,
        prices=prices,
    )
    print_forecast(forecast(request), chosen_format(form))
