-- One row: one label that the shown look and the latest look under another recipe don't both have, at a moment of both.
WITH pairs AS (
    SELECT
        media.media_id,
        media.uri,
        media.tagging_id AS now_id,
        arg_max(taggings.tagging_id, (taggings.tagged_at, taggings.tagging_id)) AS before_id
    FROM media
    JOIN log.taggings
        ON taggings.media_id = media.media_id
        AND taggings.etag = media.etag
        AND taggings.recipe_id <> media.recipe_id
        AND taggings.status IN ('ok', 'partial')
    GROUP BY media.media_id, media.uri, media.tagging_id
),

moments AS (
    SELECT pairs.*, now.timestamp_s, now.timecode
    FROM pairs
    JOIN log.timestamps AS now ON now.tagging_id = now_id
    JOIN log.timestamps AS before ON before.tagging_id = before_id AND before.timestamp_s = now.timestamp_s
),

labels AS (
    SELECT tagging_id, timestamp_s, 'categories' AS kind, label, score FROM log.categories
    UNION ALL
    SELECT tagging_id, timestamp_s, 'participants' AS kind, label, max(score) FROM log.participants GROUP BY ALL
    UNION ALL
    SELECT tagging_id, timestamp_s, 'actions' AS kind, label, score FROM log.actions
    UNION ALL
    SELECT tagging_id, timestamp_s, 'scene' AS kind, label, score FROM log.scene
    UNION ALL
    SELECT tagging_id, timestamp_s, 'tags' AS kind, label, score FROM log.tags
    UNION ALL
    SELECT tagging_id, timestamp_s, 'rating' AS kind, label, score FROM log.rating
),

before AS (
    SELECT moments.*, kind, label, score FROM moments JOIN labels ON tagging_id = before_id AND labels.timestamp_s = moments.timestamp_s
),

now AS (
    SELECT moments.*, kind, label, score FROM moments JOIN labels ON tagging_id = now_id AND labels.timestamp_s = moments.timestamp_s
)

SELECT
    coalesce(now.uri, before.uri) AS uri,
    coalesce(now.media_id, before.media_id) AS media_id,
    coalesce(now.timestamp_s, before.timestamp_s) AS timestamp_s,
    coalesce(now.timecode, before.timecode) AS timecode,
    coalesce(now.kind, before.kind) AS kind,
    coalesce(now.label, before.label) AS label,
    before.label IS NOT NULL AS before,
    now.label IS NOT NULL AS after,
    before.score AS before_score,
    now.score AS after_score
FROM now
FULL JOIN before
    ON now.media_id = before.media_id
    AND now.timestamp_s = before.timestamp_s
    AND now.kind = before.kind
    AND now.label = before.label
WHERE now.label IS NULL OR before.label IS NULL
