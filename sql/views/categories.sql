-- One row: one category at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.categories
ANTI JOIN log.hidden USING (tagging_id)
