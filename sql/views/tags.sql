-- One row: one tag at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.tags
ANTI JOIN log.hidden USING (tagging_id)
