-- One row: one label that the shown look and the latest look under another recipe don't both have, at a moment of both.
-- (Of kinds that both recipes ask for.)
WITH asked AS (
    SELECT recipe_id, any_value((recipe -> 'metadata')::VARCHAR[]) AS kinds FROM log.recipes GROUP BY recipe_id
),

looks AS (
    SELECT
        media.media_id,
        media.uri,
        media.tagging_id AS now_id,
        media.recipe_id AS now_recipe,
        arg_max(
            {'tagging_id': taggings.tagging_id, 'recipe_id': taggings.recipe_id},
            (taggings.tagged_at, taggings.tagging_id)
        ) AS before
    FROM media
    JOIN log.taggings
        ON taggings.media_id = media.media_id
        AND taggings.etag = media.etag
        AND taggings.recipe_id <> media.recipe_id
        AND taggings.status IN ('ok', 'partial')
    GROUP BY media.media_id, media.uri, media.tagging_id, media.recipe_id
),

pairs AS (
    SELECT media_id, uri, now_id, before.tagging_id AS before_id, list_intersect(now_asked.kinds, before_asked.kinds) AS kinds
    FROM looks
    JOIN asked AS now_asked ON now_asked.recipe_id = now_recipe
    JOIN asked AS before_asked ON before_asked.recipe_id = before.recipe_id
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
    WHERE list_contains(kinds, kind)
),

now AS (
    SELECT moments.*, kind, label, score FROM moments JOIN labels ON tagging_id = now_id AND labels.timestamp_s = moments.timestamp_s
    WHERE list_contains(kinds, kind)
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
