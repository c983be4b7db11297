"""Options that several verbs take: the same everywhere, and settings of the same names."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.settings import OutputFormat, load_settings

Uris = Annotated[
    list[str] | None, typer.Argument(metavar="URI...", help="s3://bucket/prefix, folders, files or https URLs.")
]
Who = Annotated[
    str | None, typer.Option("--tagger", help="Who looks: builtin, transformers:NAME, openai:MODEL or null.")
]
Which = Annotated[
    str | None,
    typer.Option("--sampling", help="Which frames: uniform (one a second), every:5s, shots, keyframes, shots+uniform."),
]
Kinds = Annotated[
    str | None,
    typer.Option("--metadata", help="Kinds to fill, by comma: categories,participants,actions,scene,tags,rating."),
]
Most = Annotated[str | None, typer.Option("--max-frames", help="Most frames of one video, or all. [default: 60]")]
Inventory = Annotated[
    str | None, typer.Option("--inventory", help="manifest.json of an S3 Inventory, instead of listing its bucket.")
]
Include = Annotated[list[str] | None, typer.Option("--include", help="Only URIs that match; repeat for more: '*.mp4'.")]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Leave out URIs that match; repeat for more.")]
Detector = Annotated[str | None, typer.Option("--shot-detector", help="Who finds the cuts: adaptive or transnetv2.")]
Context = Annotated[str | None, typer.Option("--context", help="What a model should know of the archive.")]
Vocabulary = Annotated[str | None, typer.Option("--vocabulary", help="A TOML file of the labels that a model may use.")]
Prompts = Annotated[str | None, typer.Option("--prompts", help="A folder with prompts of your own.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Media read at once. [default: the cores]")]
DecoderName = Annotated[str | None, typer.Option("--decoder", help="auto, pyav or decord.")]
Thumbnails = Annotated[
    bool | None,
    typer.Option("--thumbnails/--no-thumbnails", help="Keep a small picture of every frame looked at."),
]
DryRun = Annotated[bool | None, typer.Option("--dry-run", help="Only say what would be done, as `plan` does.")]
Money = Annotated[
    str | None, typer.Option("--budget", help="Stop when so much is spent: '50 USD', '10 GPU-hours', '1M tokens'.")
]
FailOnError = Annotated[bool, typer.Option("--fail-on-error", help="Exit with 1 when any media failed.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Tag at most so many media objects.")]
Retag = Annotated[bool | None, typer.Option("--retag", help="Also what an older recipe tagged.")]
Sample = Annotated[
    str | None, typer.Option("--sample", help="With --retag or --only stale: just this share of what is stale, as 1%.")
]
Retry = Annotated[bool | None, typer.Option("--retry-failed", help="Also what failed for good.")]
Lake = Annotated[str | None, typer.Option("--lake", help="Where the lake lies: a folder or s3://bucket/prefix.")]
Format = Annotated[OutputFormat | None, typer.Option("--format", help="How the answer is printed. [default: table]")]


def chosen_format(asked: OutputFormat | None) -> OutputFormat:
    return load_settings(format=asked).format


def given(**arguments: Any) -> dict[str, Any]:
    """Only what was given on the command line; the rest is for the settings to say."""
    return {name: value for name, value in arguments.items() if value not in (None, [], ())}
