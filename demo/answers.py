"""What the demo shows of a tagged lake: questions with their SQL, and what the tagger can't see."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import connect
from pipeline.cli.output import print_rows
from pipeline.recipe import DEFAULT_KINDS
from pipeline.steps.query import queries

ASKED = ("archive", "people_and_bicycles", "what_failed")
"""Of the cookbook in sql/queries."""

VLM = "transformers:HuggingFaceTB/SmolVLM-256M-Instruct"


def print_answers(lake: str) -> None:
    """Each question, its SQL and its answer."""
    con = connect(lake)
    for name in ASKED:
        question, _, statement = queries()[name].partition("\n")
        print(f"\n── {question.removeprefix('-- ')}\n\n{indented(statement)}\n")
        answer = con.execute(statement)
        rows = answer.fetchall()
        print_rows([column[0] for column in answer.description or ()], rows, "table")
        if not rows:
            print("(no rows)")


def print_gaps(lake: str, tagger: str) -> None:
    """Which metadata kinds the tagger left empty, and the line that fills them."""
    con = connect(lake)
    empty = [kind for kind in DEFAULT_KINDS if con.execute(f"SELECT 1 FROM {kind} LIMIT 1").fetchone() is None]
    sources = {row[0] for row in con.execute("SELECT DISTINCT caption_source FROM timestamps").fetchall()}
    print(f"\n── What the tagger '{tagger}' leaves empty: {listed(empty) or 'nothing'}.")
    if sources == {"template"}:
        print("Its captions are put together from what was detected (caption_source: template).")
    if sources == {"vlm"}:
        return
    print(f"A vision-language model sees more. With a model hub in reach, one line:\n\n  make demo TAGGER={VLM}")


def listed(words: Sequence[str]) -> str:
    """As in a sentence.

    >>> listed(["actions", "scene", "tags"])
    'actions, scene and tags'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
