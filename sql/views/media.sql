-- One row: one media object and what its latest good tagging found, as long as nothing newer than that is there.
SELECT *
FROM log.taggings
ANTI JOIN log.hidden USING (tagging_id)
WHERE status IN ('ok', 'partial')
