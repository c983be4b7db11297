-- One row: one tag at one moment of one media object.
SELECT media.uri, tags.*
FROM log.tags
JOIN media USING (tagging_id, media_id)
