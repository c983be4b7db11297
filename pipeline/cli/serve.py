"""`shotlog serve`: the HTTP API in a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Lake
from pipeline.errors import ShotlogError

_NEEDED = ("fastapi", "limits", "uvicorn")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65_535)] = 8000,
    lake: Lake = None,
    tagger: Annotated[
        str | None, typer.Option(help="Who answers: builtin (no questions), transformers:NAME or openai:MODEL.")
    ] = None,
) -> None:
    """Answer questions about images and videos over HTTP, as OpenAI's API has it, and tag them, until Ctrl-C.

    Callers need a key: shotlog keys create --name NAME --scopes ask,tag

    Examples:

      shotlog serve --tagger openai:Qwen/Qwen2.5-VL-7B-Instruct

      shotlog serve --tagger transformers:Qwen/Qwen2-VL-2B-Instruct --host 0.0.0.0 --port 80
    """
    try:
        from pipeline.api.serve import serve as run
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        raise ShotlogError(f"serve needs {error.name}, which isn't installed: pip install 'shotlog[api]'") from None
    run({name: value for name, value in (("lake", lake), ("tagger", tagger)) if value}, host, port)
