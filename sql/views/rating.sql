-- One row: one content rating (safe, suggestive, explicit, violent) at one moment of one media object.
SELECT media.uri, rating.*
FROM log.rating
JOIN media USING (tagging_id, media_id)
