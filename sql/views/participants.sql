-- One row: one kind of participant (person, animal, object) at one moment of one media object.
SELECT uri, * EXCLUDE (uri)
FROM log.participants
ANTI JOIN log.hidden USING (tagging_id)
