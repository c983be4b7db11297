"""`shotlog backfill`: what an archive holds already, beside the runs that tag what is new."""

from __future__ import annotations

from typing import Annotated

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
from pipeline.cli.output import RunDisplay, print_forecast, say_waiting
from pipeline.cli.tag import conclude
from pipeline.errors import UsageError
from pipeline.settings import load_settings


def backfill(
    uris: Uris = None,
    lake: Lake = None,
    only: Annotated[
        str | None, typer.Option(help="Only what is, by comma: new, changed, stale, failed, or failed:CODE.")
    ] = None,
    media_kinds: Annotated[str | None, typer.Option(help="Only media of these kinds: image, video.")] = None,
    modified_since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only objects last modified then or later: 2026-01-31.")
    ] = None,
    modified_before: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only objects last modified before that.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="What comes first: path, oldest or newest.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with this one, as it was begun.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="RUN", help="End this one for good; what it did stays.")] = None,
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
    """Tag what an archive holds already, of any size, beside the runs that tag what is new.

    What is to do is decided once, and done in pieces. Ctrl-C pauses it; `shotlog runs` says how far it is and when it
    will be done. Airflow's DAG backfill_media does the same on many workers.

    Examples:

      shotlog backfill s3://archive/1998/ --lake lake --dry-run

      shotlog backfill s3://archive/ --lake lake --only stale --order newest --budget '10 GPU-hours'

      shotlog backfill --lake lake --resume 20261124T101500-3f2a
    """
    from pipeline.steps import backfill as steps

    request = given(
        sources=uris,
        lake=lake,
        only=only,
        media_kinds=media_kinds,
        modified_since=modified_since,
        modified_before=modified_before,
        order=order,
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
    if [bool(uris), bool(resume), bool(cancel)].count(True) > 1:
        raise UsageError("a backfill that goes on keeps its sources: give either URIs, or --resume, or --cancel")
    form, is_dry = chosen_format(form), load_settings(**request).dry_run
    if cancel and is_dry:
        raise UsageError(
            f"a backfill is cancelled for good: `shotlog runs` says how far {cancel} is; leave out dry_run"
        )
    if cancel:
        return conclude(steps.cancel(request, cancel, say_waiting), form, fail_on_error=False)
    if is_dry:
        return print_forecast(steps.foresee(request, resume), form)
    with RunDisplay(again="shotlog backfill --resume RUN, which `shotlog runs` names,") as display:
        summary = steps.backfill(request, display, resume)
    again = f"go on with a higher --budget: shotlog backfill --resume {summary['run_id']}"
    return conclude(summary, form, fail_on_error=fail_on_error, again=again)
