-- One row: one kind of participant (person, animal, object) at one moment of one media object.
SELECT media.uri, participants.*
FROM log.participants
JOIN media USING (tagging_id, media_id)
