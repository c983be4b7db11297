-- One row: one action at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.actions
ANTI JOIN log.hidden USING (tagging_id)
