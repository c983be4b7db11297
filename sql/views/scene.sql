-- One row: the setting (beach, office) at one moment of one media object.
SELECT media.uri, scene.*
FROM log.scene
JOIN media USING (tagging_id, media_id)
