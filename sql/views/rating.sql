-- One row: one content rating (safe, suggestive, explicit, violent) at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.rating
ANTI JOIN log.hidden USING (tagging_id)
