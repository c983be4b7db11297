-- One row: one media object whose latest tagging is failed, partial or skipped, with the reason and what to do.
SELECT *
FROM log.taggings
ANTI JOIN log.overtaken USING (tagging_id)
WHERE status <> 'ok' AND tagging_id NOT IN (SELECT tagging_id FROM log.hidden WHERE reason = 'gone')
