-- One row: one shot of a video tagged with the policy shots, captioned or not.
SELECT uri, * EXCLUDE (uri)
FROM log.shots
ANTI JOIN log.hidden USING (tagging_id)
