"""What a run would do and take, before any model runs: from the listing, the headers of a few media, and past runs.

Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from pipeline import sampling
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError
from pipeline.lake.catalog import Lake, is_lake
from pipeline.lake.connection import bounded
from pipeline.lake.nothing import nothing
from pipeline.lake.past import Past, past
from pipeline.model import MediaInfo, MediaObject
from pipeline.planning.batches import LEFT
from pipeline.planning.compare import compare
from pipeline.planning.forecast import Forecast, Interval, Rates, others, total
from pipeline.planning.prices import Price, load_prices
from pipeline.scratch import scratch_folder
from pipeline.steps.claims import claims_glob, heeding_others, wish_for_rest
from pipeline.steps.decoders import Decoders
from pipeline.steps.footage import Footage
from pipeline.steps.inventory import how_old, kept_how_old
from pipeline.steps.listing import check_sources, write_parts
from pipeline.steps.wish import most_frames, wish_of
from pipeline.steps.workplace import Workplace
from pipeline.store.base import Ranges
from pipeline.store.sparse import SparseCopy
from pipeline.taggers.base import Tagger

WHOLE_BYTES = 32 << 20
"""An object up to this size is fetched to be probed; of larger ones both ends are, where their header lies."""

END_BYTES = 2 << 20

PROBED_SHARE = 20
"""Of so many media a run reads the header of one beforehand."""

LEAST_PROBED = 5

SHOT_S = 5.0
"""How long a shot is, where this lake has none. Feature films have 3 to 6 s, television a little more."""

BYTES_A_SECOND = 500_000
"""Of a film of which nothing else is known: 4 Mbit/s, as films in HD have that were made to be streamed."""

MANY_S = 4 * 3600.0
"""The longest film where none was read."""

THUMBNAIL_BYTES = 4_900
"""See pipeline/pictures.py."""

_MAY_MOVE = ("gif", "webp", "png", "avif", "apng")
"""Endings of pictures that may be animations."""


def forecast(
    request: dict[str, Any],
    watch: Callable[[int], None] | None = None,
    *,
    kind: str = "tag",
    run_id: str = "",
    is_planned: bool = False,
) -> dict[str, Any]:
    """List the sources and say what a run over them would do. watch: hears how many objects are listed so far.

    kind: of the run, as the view `runs` has it. run_id: of a backfill that goes on; is_planned: whether it has decided
    what to do, so that nothing is listed, and it is said what is left of that.

    Returns the plan's counts (new, changed, stale, failed_before, unchanged, duplicate, gone, …), media (to do)
    and the numbers of planning.forecast.Forecast.as_json.
    """
    work = Workplace.of(request)
    tagger = work.tagger()
    with scratch_folder() as folder, _reader(work) as (con, lake), bounded(con, folder):
        if lake and is_planned:
            listing = claims_glob(lake, run_id)
            wish = wish_for_rest(lake, run_id, wish_of(work, tagger, inventoried=kept_how_old(lake, run_id)))
        else:
            listing = _list(work, folder, watch)
            wish = wish_of(work, tagger, inventoried=how_old(work))

        def hold_against(claims: tuple[str, ...] = ()) -> dict[str, int]:
            return compare(con, listing, replace(wish, claims=claims))

        counts = heeding_others(lake, run_id, hold_against, but_dead=kind == "tag") if lake else hold_against()
        found = foresee(con, work, tagger)
    for name in ("retried", "waiting", "put_aside"):
        del counts[name]
    return {**counts, **found.as_json()}


def if_dry_run(request: dict[str, Any]) -> str | None:
    """The forecast as JSON where the request, or a setting, asks for no more than that."""
    return json.dumps(forecast(request)) if Workplace.of(request).settings.dry_run else None


def _list(work: Workplace, folder: Path, watch: Callable[[int], None] | None) -> str:
    """Into a folder of its own there; returns the Parquet files as a glob."""
    check_sources(work)
    parts = folder / "listing"
    parts.mkdir()
    write_parts(
        work,
        lambda _, source: work.store(source).list(source),
        lambda name, data: void((parts / name).write_bytes(data)),
        watch,
    )
    return str(parts / "*.parquet")


def void(_: object) -> None:
    """For a callback that says nothing."""


@contextmanager
def _reader(work: Workplace) -> Iterator[tuple[duckdb.DuckDBPyConnection, Lake | None]]:
    if is_lake(work.lake_uri, work.store(work.lake_uri)):
        with work.lake() as lake:
            yield lake.con, lake
    else:
        with nothing() as con:
            yield con, None


def foresee(con: duckdb.DuckDBPyConnection, work: Workplace, tagger: Tagger, media: int | None = None) -> Forecast:
    """What will be taken by what is to do by the tables of `compare`.

    media: how many a run that goes on at once will look at, and read a second time those that are probed; None: nobody
    does.
    """
    recipe = work.recipe(tagger)
    known = past(con, recipe.tagger, recipe.model, recipe.recipe_id)
    most_probes = work.settings.forecast_sample
    if media is not None:
        most_probes = min(most_probes, media // PROBED_SHARE or _least_probes(con, known))
    looker = _Looker(work, most_frames(work, tagger), known.shot_s or SHOT_S)
    media_s, frames, sampled = Interval.exactly(0), Interval.exactly(count(con, _STILLS)), 0
    for where in (_FILMS, _ANIMATIONS):
        for seconds, films in con.execute(f"SELECT duration_s, count(*) FROM ({where}) GROUP BY ALL").fetchall():
            if seconds is not None:
                media_s += Interval.exactly(films * seconds)
                frames += Interval.exactly(films * looker.frames_of(_film(seconds)))
        unknown, mean_bytes = con.execute(f"SELECT count(*), avg(size_bytes) {_UNKNOWN.format(where)}").fetchall()[0]
        probed = looker.probe(con, where, most_probes) if unknown and most_probes else []
        sampled += len(probed)
        if probed:
            media_s += total(unknown, [seconds for seconds, _ in probed])
            frames += total(unknown, [number for _, number in probed], most=looker.ceiling)
        elif where is _ANIMATIONS:  # most don't move
            frames += others(unknown, (1,), least=1, most=looker.ceiling)
        else:
            guess = max(0.5, (mean_bytes or 0) / BYTES_A_SECOND)
            media_s += others(unknown, known.video_s or (guess,), most=MANY_S)
            guessed = known.video_frames or (looker.frames_of(_film(guess)),)
            frames += others(unknown, guessed, least=1, most=looker.ceiling)
    if looker.guesses:  # how many shots or keyframes there are nobody knows before
        frames = Interval(frames.low / 2, frames.expected, 2 * frames.high)
    return Forecast(media_s, frames, *_prices(work, tagger, known), sampled)


def _least_probes(con: duckdb.DuckDBPyConnection, known: Past) -> int:
    """Of a small run: a few, where past runs say nothing and there are films that are dear to be wrong about."""
    large = f"{_UNKNOWN.format(_FILMS)} AND size_bytes > {WHOLE_BYTES}"
    return LEAST_PROBED if not known.video_s and count(con, large) else 0


def _prices(work: Workplace, tagger: Tagger, known: Past) -> tuple[Rates, Price, str]:
    """What a frame takes and costs: learned where this lake's own runs have told."""
    prices = load_prices(work.settings.prices)
    price = prices.of(work.settings.tagger)
    pictures = work.settings.thumbnails and tagger.looks
    told = {"speed": known.frames_per_s, "tokens": known.prompt_tokens, "thumbnails": known.thumbnail_bytes}
    rates = Rates(
        frames_per_s=known.frames_per_s or price.frames_per_s,
        prompt_tokens=price.prompt_tokens if known.prompt_tokens is None else known.prompt_tokens,
        completion_tokens=price.completion_tokens if known.completion_tokens is None else known.completion_tokens,
        thumbnail_bytes=(known.thumbnail_bytes or THUMBNAIL_BYTES) if pictures else 0,
        learned=frozenset(what for what, number in told.items() if number is not None),
    )
    return rates, price, prices.currency


_LEFT = f"{LEFT} AND copy_of IS NULL"
_MOVES = f"regexp_extract(lower(uri), '\\.([^./]*)$', 1) IN {_MAY_MOVE}"
_STILLS = f"{_LEFT} AND kind = 'image' AND NOT {_MOVES}"
_ANIMATIONS = f"{_LEFT} AND kind = 'image' AND {_MOVES}"
_FILMS = f"{_LEFT} AND kind = 'video'"
_UNKNOWN = "FROM ({}) WHERE duration_s IS NULL"

# As many of each size as there are: what a film lasts goes with its size, so that the sample is like the whole.
_EVENLY = """
WITH drawn AS (SELECT * FROM (SELECT * {unknown}) USING SAMPLE reservoir(10000 ROWS) REPEATABLE (7)),

by_size AS (SELECT *, row_number() OVER (ORDER BY size_bytes, uri) AS place, count(*) OVER () AS films FROM drawn)

SELECT uri, etag, size_bytes, last_modified, media_id
FROM by_size
WHERE (place * $most + films // 2) % films < $most
"""


def count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Rows of a relation, in DuckDB's words."""
    row = con.execute(f"SELECT count(*) FROM ({relation})").fetchone()
    return int(row[0]) if row else 0


def _film(duration_s: float) -> MediaInfo:
    """One of which nothing else is known."""
    return MediaInfo("video", "", "", 1, 1, duration_s=duration_s)


@dataclass
class _Looker:
    """Reads headers and counts the frames that would be looked at. most: of one film, None: all. shot_s: of a shot."""

    work: Workplace
    most: int | None
    shot_s: float

    @property
    def ceiling(self) -> float:
        return float("inf") if self.most is None else self.most

    @property
    def guesses(self) -> bool:
        policy = self.work.settings.sampling
        return sampling.needs_shots(policy) or sampling.needs_keyframes(policy)

    def frames_of(self, info: MediaInfo) -> int:
        policy = self.work.settings.sampling
        if info.kind == "image":
            return 1
        if not sampling.needs_shots(policy):
            return len(sampling.choose(policy, info, (), self.most))
        shots = max(1, round(info.duration_s / self.shot_s))
        wanted = max(shots, round(info.duration_s)) if "uniform" in policy else shots
        return wanted if self.most is None else min(self.most, wanted)

    def probe(self, con: duckdb.DuckDBPyConnection, where: str, most: int) -> list[tuple[float, int]]:
        """(seconds, frames) of so many, or of all; of one that can't be read: (0, 0)."""
        chosen = con.execute(_EVENLY.format(unknown=_UNKNOWN.format(where)), {"most": most}).fetchall()
        media = [MediaObject(*row) for row in chosen]
        with (
            scratch_folder() as folder,
            self.work.decoders() as decoders,
            ThreadPoolExecutor(len(decoders)) as threads,
        ):
            return list(threads.map(lambda one: self._probe(one, decoders, folder), media))

    def _probe(self, media: MediaObject, decoders: Decoders, folder: Path) -> tuple[float, int]:
        with suppress(MediaError), decoders.lend() as child:
            store = self.work.store(media.uri)
            ranges = store.ranges(media) if media.size_bytes > WHOLE_BYTES else None
            if ranges is None:
                with Footage(self.work.settings, store, media, folder) as footage:
                    footage.open(child)
                    info = footage.probe()
            else:
                info = _film(_glance(ranges, child, folder / media.media_id))
            return info.duration_s, self.frames_of(info)
        return 0.0, 0


def _glance(ranges: Ranges, child: DecodeChild, path: Path) -> float:
    """By both ends of it. Raises MediaError."""
    copy = SparseCopy(ranges, path)
    try:
        copy.bring([(0, END_BYTES), (ranges.size_bytes - END_BYTES, ranges.size_bytes)])
        return child.glance(path)
    finally:
        path.unlink()
