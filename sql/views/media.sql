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
WHERE good AND place = 1 AND etag = latest_etag
