-- One row: one category at one moment of one media object.
SELECT media.uri, categories.*
FROM log.categories
JOIN media USING (tagging_id, media_id)
