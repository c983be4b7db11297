-- One row: the setting (beach, office) at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.scene
ANTI JOIN log.hidden USING (tagging_id)
