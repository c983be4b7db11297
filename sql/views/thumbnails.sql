-- One row: the small picture (WebP) of one frame that was looked at.
SELECT uri, * EXCLUDE (uri)
FROM log.thumbnails
ANTI JOIN log.hidden USING (tagging_id)
