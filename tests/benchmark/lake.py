"""The lake: a batch's commit, the cookbook's queries, upkeep, a frozen catalog, each over something plainer."""

from __future__ import annotations

from pathlib import Path

from tests.benchmark import lake_commit, lake_frozen, lake_queries
from tests.benchmark.table import Figure


def run(folder: Path, scale: float = 0.1, commits: int | None = None) -> list[Figure]:
    """scale: of the archive that the cookbook is asked of: 1 is a million media, 20 M timestamps, 100 M labels.

    commits: small ones that come after it. None: 10,000 times the scale; 0: neither they nor upkeep are measured.
    """
    cookbook = lake_queries.run(folder / "cookbook", scale, commits)
    return [*lake_commit.run(folder), *cookbook, *lake_frozen.run(folder)]
