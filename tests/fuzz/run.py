"""Many cases: in processes, summed up, kept, and looked at again."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.fuzz.damaged import case, healthy, know
from tests.fuzz.look import Outcome, looker

KEPT = Path("work/fuzz")
CHUNK = 500
"""Files that one decoder process is used for, unless it dies before."""


def in_processes(seeds: range, processes: int) -> Iterator[list[Outcome]]:
    """The outcomes of all seeds, chunk by chunk as they are done."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes, get_context("spawn"), know, (healthy(),)) as pool:
        waiting = {pool.submit(look_at, chunk) for chunk in chunks}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def look_at(seeds: range) -> list[Outcome]:
    """The outcomes of some seeds, by one decoder process."""
    with tempfile.TemporaryDirectory(prefix="shotlog-fuzz-") as folder, looker(Path(folder)) as looking:
        return [looking.look(case(seed)) for seed in seeds]


def summed(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """What is worth knowing of all of them."""
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    return {
        "files": len(outcomes),
        "files_per_s": round(len(outcomes) / seconds, 1),
        "ends": dict(Counter(outcome.end for outcome in outcomes).most_common()),
        "decoder_deaths": sum(outcome.died for outcome in outcomes),
        "wrong": [outcome.seed for outcome in outcomes if outcome.wrong],
        "slowest": asdict(slowest),
    }


def keep(outcome: Outcome) -> Path:
    """Write the file and how it ended into KEPT; its path."""
    KEPT.mkdir(parents=True, exist_ok=True)
    damaged = case(outcome.seed)
    path = KEPT / f"{outcome.seed}-{outcome.name}"
    path.write_bytes(damaged.data)
    facts = {**asdict(outcome), "decoder": damaged.decoder, "damage": damaged.damage}
    path.with_name(f"{outcome.seed}.json").write_text(json.dumps(facts, indent=2))
    return path


def replay(seed: int) -> int:
    """Look at one file, as it was kept if it was; the exit code."""
    again = case(seed)
    for path in KEPT.glob(f"{seed}-*"):
        again = again.kept(path, json.loads((KEPT / f"{seed}.json").read_text()))
    print(f"{again.name} with {'; '.join(again.damage)}; --decoder {again.decoder}")
    with tempfile.TemporaryDirectory(prefix="shotlog-fuzz-") as folder, looker(Path(folder)) as looking:
        outcome = looking.look(again)
    print(f"{outcome.end} after {outcome.seconds:.2f} s, {outcome.died} deaths\n{outcome.wrong}")
    return 1 if outcome.wrong else 0
