-- One row: one media object whose latest tagging is failed, partial or skipped, with the reason and what to do.
WITH latest AS (
    SELECT *, row_number() OVER (PARTITION BY media_id ORDER BY tagged_at DESC, tagging_id DESC) AS place
    FROM log.taggings
)

SELECT * EXCLUDE (place)
FROM latest
WHERE place = 1 AND status <> 'ok'
