-- One row: one frame that was looked at, with its caption.
SELECT media.uri, timestamps.*
FROM log.timestamps
JOIN media USING (tagging_id, media_id)
