-- One row: one action at one moment of one media object.
SELECT media.uri, actions.*
FROM log.actions
JOIN media USING (tagging_id, media_id)
