-- One row: the small picture (WebP) of one frame that was looked at.
SELECT media.uri, thumbnails.*
FROM log.thumbnails
JOIN media USING (tagging_id, media_id)
