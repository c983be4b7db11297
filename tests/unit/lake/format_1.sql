-- A lake of format 1, as the shotlog of that time left its catalog: tables, views, and what one run saw. Never changed.
CREATE SCHEMA log;

CREATE TABLE log.runs (
    run_id VARCHAR, kind VARCHAR, sources VARCHAR[], recipe_id VARCHAR, request VARCHAR, started_at TIMESTAMPTZ
);

CREATE TABLE log.recipes (
    recipe_id VARCHAR, tagger VARCHAR, recipe VARCHAR, first_used_at TIMESTAMPTZ
);

CREATE TABLE log.batches (
    run_id VARCHAR, batch VARCHAR, media INTEGER, ok INTEGER, partial INTEGER, failed INTEGER, skipped INTEGER,
    frames BIGINT, committed_at TIMESTAMPTZ
);

CREATE TABLE log.identity (
    lake_id VARCHAR, format INTEGER, views VARCHAR, written_at TIMESTAMPTZ
);

CREATE TABLE log.taggings (
    tagging_id VARCHAR, media_id VARCHAR, run_id VARCHAR, batch VARCHAR, recipe_id VARCHAR, uri VARCHAR,
    content_id VARCHAR, etag VARCHAR, size_bytes BIGINT, last_modified TIMESTAMPTZ, kind VARCHAR, container VARCHAR,
    codec VARCHAR, width INTEGER, height INTEGER, duration_s DOUBLE, frame_rate DOUBLE, container_start_s DOUBLE,
    stream_start_s DOUBLE, start_timecode VARCHAR, decoder VARCHAR, status VARCHAR, error_code VARCHAR, error VARCHAR,
    summary VARCHAR, frames INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, bytes_read BIGINT,
    decode_s DOUBLE, model_s DOUBLE, inherited_from VARCHAR, tagged_at TIMESTAMPTZ
);

CREATE TABLE log.actions (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, label VARCHAR, score DOUBLE
);

CREATE TABLE log.run_events (
    run_id VARCHAR, event VARCHAR, detail VARCHAR, happened_at TIMESTAMPTZ
);

CREATE TABLE log.sightings (
    media_id VARCHAR, run_id VARCHAR, uri VARCHAR, etag VARCHAR, state VARCHAR, seen_at TIMESTAMPTZ
);

CREATE TABLE log.timestamps (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, timecode VARCHAR, frame_index BIGINT,
    shot_index INTEGER, caption VARCHAR, caption_source VARCHAR, reused_from_s DOUBLE
);

CREATE TABLE log.scene (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, label VARCHAR, score DOUBLE
);

CREATE TABLE log.shots (
    tagging_id VARCHAR, media_id VARCHAR, shot_index INTEGER, start_s DOUBLE, end_s DOUBLE, score DOUBLE,
    representative_s DOUBLE
);

CREATE TABLE log.categories (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, label VARCHAR, score DOUBLE
);

CREATE TABLE log.tags (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, label VARCHAR, score DOUBLE
);

CREATE TABLE log.participants (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, label VARCHAR, kind VARCHAR, "count" INTEGER,
    score DOUBLE
);

CREATE TABLE log.thumbnails (
    tagging_id VARCHAR, media_id VARCHAR, timestamp_s DOUBLE, image BLOB, width INTEGER, height INTEGER
);

CREATE VIEW main.media AS
-- One row: one media object and what its latest good tagging found, as long as nothing newer than that is there.
WITH looked AS (
    SELECT
        *,
        status IN ('ok', 'partial') AS good,
        -- an object that has changed since its last good look is no longer what that look saw
        first_value(etag) OVER newest AS latest_etag,
        row_number() OVER (
            PARTITION BY media_id, status IN ('ok', 'partial') ORDER BY tagged_at DESC, tagging_id DESC
        ) AS place
    FROM log.taggings
    WINDOW newest AS (PARTITION BY media_id ORDER BY tagged_at DESC, tagging_id DESC)
)

SELECT * EXCLUDE (good, latest_etag, place)
FROM looked
WHERE good AND place = 1 AND etag = latest_etag;

CREATE VIEW main.actions AS
-- One row: one action at one moment of one media object.
SELECT media.uri, actions.*
FROM log.actions
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.categories AS
-- One row: one category at one moment of one media object.
SELECT media.uri, categories.*
FROM log.categories
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.failures AS
-- One row: one media object whose latest tagging is failed, partial or skipped, with the reason and what to do.
WITH latest AS (
    SELECT *, row_number() OVER (PARTITION BY media_id ORDER BY tagged_at DESC, tagging_id DESC) AS place
    FROM log.taggings
)

SELECT * EXCLUDE (place)
FROM latest
WHERE place = 1 AND status <> 'ok';

CREATE VIEW main.participants AS
-- One row: one kind of participant (person, animal, object) at one moment of one media object.
SELECT media.uri, participants.*
FROM log.participants
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.runs AS
-- One row: one run, with what it found, what it has done so far and how it ended (running: no end yet).
WITH done AS (
    SELECT
        run_id,
        count(*) AS batches_done,
        sum(media)::BIGINT AS media_done,
        sum(ok)::BIGINT AS ok,
        sum(partial)::BIGINT AS partial,
        sum(failed)::BIGINT AS failed,
        sum(skipped)::BIGINT AS skipped,
        sum(frames)::BIGINT AS frames
    FROM log.batches
    GROUP BY run_id
),

planned AS (
    SELECT
        run_id,
        arg_max(detail, happened_at)::JSON AS plan,
        sum((detail ->> 'media')::BIGINT)::BIGINT AS media_planned,
        max(happened_at) AS planned_at
    FROM log.run_events
    WHERE event = 'planned'
    GROUP BY run_id
),

ended AS (
    SELECT
        run_id,
        arg_max(event, happened_at) AS state,
        max(happened_at) AS ended_at,
        arg_max(detail, happened_at)::JSON ->> 'error' AS error
    FROM log.run_events
    WHERE event IN ('finished', 'incomplete', 'interrupted', 'died')
    GROUP BY run_id
)

SELECT
    runs.run_id,
    runs.kind,
    -- one that was planned again after its end (a cleared Airflow run) is running again
    CASE WHEN planned_at > ended_at OR ended_at IS NULL THEN 'running' ELSE ended.state END AS state,
    runs.started_at,
    ended.ended_at,
    runs.sources,
    runs.recipe_id,
    recipes.tagger,
    (plan ->> 'listed')::BIGINT AS listed,
    (plan ->> 'new')::BIGINT AS new,
    (plan ->> 'changed')::BIGINT AS changed,
    (plan ->> 'gone')::BIGINT AS gone,
    (plan ->> 'unchanged')::BIGINT AS unchanged,
    (plan ->> 'stale')::BIGINT AS stale,
    (plan ->> 'retried')::BIGINT AS retried,
    (plan ->> 'waiting')::BIGINT AS waiting,
    (plan ->> 'unknown')::BIGINT AS unknown,
    (plan ->> 'excluded')::BIGINT AS excluded,
    planned.media_planned,
    coalesce(done.media_done, 0) AS media_done,
    coalesce(done.ok, 0) AS ok,
    coalesce(done.partial, 0) AS partial,
    coalesce(done.failed, 0) AS failed,
    coalesce(done.skipped, 0) AS skipped,
    coalesce(done.frames, 0) AS frames,
    epoch(ended.ended_at - runs.started_at) AS seconds,
    ended.error
FROM log.runs
LEFT JOIN done USING (run_id)
LEFT JOIN planned USING (run_id)
LEFT JOIN ended USING (run_id)
LEFT JOIN (SELECT DISTINCT recipe_id, tagger FROM log.recipes) AS recipes USING (recipe_id);

CREATE VIEW main.scene AS
-- One row: the setting (beach, office) at one moment of one media object.
SELECT media.uri, scene.*
FROM log.scene
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.shots AS
-- One row: one shot of a video tagged with the policy shots, captioned or not.
SELECT media.uri, shots.*
FROM log.shots
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.tags AS
-- One row: one tag at one moment of one media object.
SELECT media.uri, tags.*
FROM log.tags
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.thumbnails AS
-- One row: the small picture (WebP) of one frame that was looked at.
SELECT media.uri, thumbnails.*
FROM log.thumbnails
JOIN media USING (tagging_id, media_id);

CREATE VIEW main.timestamps AS
-- One row: one frame that was looked at, with its caption.
SELECT media.uri, timestamps.*
FROM log.timestamps
JOIN media USING (tagging_id, media_id);

INSERT INTO log.identity VALUES ('first', 1, '1791fef467afa789', '2026-01-01 00:00:00+00');

INSERT INTO log.recipes VALUES (
    'ab47d2bfa55781c0', 'builtin', '{"tagger": "builtin", "model": null}', '2026-01-01 00:00:00+00'
);

INSERT INTO log.runs VALUES ('run-0', 'tag', ['/archive'], 'ab47d2bfa55781c0', '{}', '2026-01-01 00:00:00+00');

INSERT INTO log.run_events VALUES ('run-0', 'finished', '{}', '2026-01-01 00:01:00+00');

INSERT INTO log.batches VALUES ('run-0', '000000', 2, 2, 0, 0, 0, 31, '2026-01-01 00:01:00+00');

-- a film of 30 frames, whose rows become Parquet files, and a picture, whose row stays in the catalog

INSERT INTO log.taggings BY NAME
SELECT
    name AS tagging_id, name AS media_id, 'run-0' AS run_id, '000000' AS batch, 'ab47d2bfa55781c0' AS recipe_id,
    '/archive/' || name AS uri, '1' AS etag, 100 AS size_bytes, kind, 640 AS width, 360 AS height, 'ok' AS status,
    frames, 0 AS prompt_tokens, 0 AS completion_tokens, 1.5 AS model_s, TIMESTAMPTZ '2026-01-01 00:00:30+00' AS tagged_at
FROM (VALUES ('film.mp4', 'video', 30), ('picture.png', 'image', 1)) AS media (name, kind, frames);

INSERT INTO log.timestamps BY NAME
SELECT
    'film.mp4' AS tagging_id, 'film.mp4' AS media_id, second AS timestamp_s, second AS frame_index,
    'a film' AS caption, 'template' AS caption_source
FROM range(30) AS seconds (second);

INSERT INTO log.tags BY NAME
SELECT 'film.mp4' AS tagging_id, 'film.mp4' AS media_id, second AS timestamp_s, 'person' AS label, 0.9 AS score
FROM range(30) AS seconds (second);

INSERT INTO log.timestamps BY NAME
SELECT
    'picture.png' AS tagging_id, 'picture.png' AS media_id, 0 AS timestamp_s, 0 AS frame_index,
    'a picture' AS caption, 'template' AS caption_source;

INSERT INTO log.participants BY NAME
SELECT
    'picture.png' AS tagging_id, 'picture.png' AS media_id, 0 AS timestamp_s, 'dog' AS label, 'animal' AS kind,
    2 AS "count", 0.8 AS score;
