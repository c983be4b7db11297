"""Which taggings the views leave out, kept as tables, so that a view is one anti-join and no search for the latest.

`log.hidden` has those that no view shows; `log.overtaken` has failures (and what was partial or skipped) that a later
look took the place of, which the view `failures` leaves out. Both follow from `taggings`, `sightings` and
`recipe_choices` and could be made anew from them at any time. Whatever changes one of these brings them up to date for
the media objects concerned, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import pyarrow as pa

# Of a media object's good looks the views show one: of its latest version, under the chosen recipe where there is one,
# the latest. Of an object that is gone they show none, and no failure either. A version that was listed once, and later
# another, isn't the latest however late it is looked at: a backfill looks long after it has listed.
_WANTED = """
CREATE OR REPLACE TEMP TABLE hidden_now AS
WITH seen AS (
    SELECT media_id, arg_max({'state': state, 'etag': etag}, seen_at) AS last, list(DISTINCT etag) AS etags
    FROM log.sightings
    WHERE media_id IN (FROM concerned)
    GROUP BY media_id
),

gone AS (SELECT media_id FROM seen WHERE last.state = 'gone'),

aged AS (
    SELECT taggings.*, coalesce(etag <> last.etag AND list_contains(etags, etag), false) AS outdated
    FROM log.taggings
    LEFT JOIN seen USING (media_id)
    WHERE media_id IN (FROM concerned)
),

looks AS (
    SELECT
        tagging_id, media_id, status, status IN ('ok', 'partial') AS good, tagged_at, etag,
        recipe_id IS NOT DISTINCT FROM (SELECT arg_max_null(recipe_id, chosen_at) FROM log.recipe_choices) AS chosen,
        first_value(etag) OVER backwards AS latest_etag, first_value(tagging_id) OVER backwards AS latest_id
    FROM aged
    WINDOW backwards AS (PARTITION BY media_id ORDER BY outdated, tagged_at DESC, tagging_id DESC)
),

placed AS (
    SELECT *, row_number() OVER (
        PARTITION BY media_id, good, etag ORDER BY chosen DESC, tagged_at DESC, tagging_id DESC
    ) AS place
    FROM looks
)

SELECT tagging_id, media_id, CASE WHEN media_id IN (FROM gone) THEN 'gone' ELSE 'superseded' END AS reason
FROM placed
WHERE media_id IN (FROM gone) OR (good AND (place > 1 OR etag <> latest_etag))
UNION ALL
SELECT tagging_id, media_id, 'overtaken' FROM placed WHERE status <> 'ok' AND tagging_id <> latest_id
"""

_NEWLY = """
INSERT INTO log.hidden BY NAME
SELECT *, now() AS hidden_at
FROM hidden_now
ANTI JOIN log.hidden USING (tagging_id, reason)
WHERE reason <> 'overtaken'
"""

_NO_LONGER = """
SELECT tagging_id, reason
FROM (FROM log.hidden WHERE media_id IN (FROM concerned)) ANTI JOIN hidden_now USING (tagging_id, reason)
"""

_NEWLY_OVERTAKEN = """
INSERT INTO log.overtaken BY NAME
SELECT tagging_id, media_id FROM hidden_now ANTI JOIN log.overtaken USING (tagging_id) WHERE reason = 'overtaken'
"""

_LATEST_AGAIN = """
SELECT tagging_id
FROM (FROM log.overtaken WHERE media_id IN (FROM concerned))
ANTI JOIN (FROM hidden_now WHERE reason = 'overtaken') USING (tagging_id)
"""

TABLES = ("hidden", "overtaken")


def refresh(con: duckdb.DuckDBPyConnection, media_ids: Iterable[str] | None = None) -> None:
    """Bring `log.hidden` up to date for these media objects, None: for all, inside the caller's transaction."""
    if media_ids is None:
        con.execute("CREATE OR REPLACE TEMP TABLE concerned AS SELECT DISTINCT media_id FROM log.taggings")
    else:
        con.register("given", pa.table({"media_id": pa.array(media_ids, pa.string())}))
        con.execute("CREATE OR REPLACE TEMP TABLE concerned AS SELECT DISTINCT media_id FROM given")
        con.unregister("given")
    con.execute(_WANTED)
    con.execute(_NEWLY)
    con.execute(_NEWLY_OVERTAKEN)
    # a DELETE, even one of nothing, conflicts with those of others, and is hardly ever wanted
    if con.execute(f"SELECT count(*) FROM ({_NO_LONGER})").fetchone() != (0,):
        con.execute(f"DELETE FROM log.hidden WHERE (tagging_id, reason) IN ({_NO_LONGER})")
    if con.execute(f"SELECT count(*) FROM ({_LATEST_AGAIN})").fetchone() != (0,):
        con.execute(f"DELETE FROM log.overtaken WHERE tagging_id IN ({_LATEST_AGAIN})")
