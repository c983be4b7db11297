-- One row: one media object whose latest tagging is failed, partial or skipped, with the reason and what to do.
WITH suspects AS (
    SELECT DISTINCT media_id FROM log.taggings WHERE status <> 'ok'
),

looks AS (
    SELECT taggings.*, row_number() OVER (PARTITION BY media_id ORDER BY tagged_at DESC, tagging_id DESC) AS place
    FROM log.taggings
    SEMI JOIN suspects USING (media_id)
)

SELECT * EXCLUDE (place)
FROM looks
WHERE place = 1 AND status <> 'ok' AND tagging_id NOT IN (SELECT tagging_id FROM log.hidden WHERE reason = 'gone')
