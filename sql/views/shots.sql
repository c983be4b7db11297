-- One row: one shot of a video tagged with the policy shots, captioned or not.
SELECT media.uri, shots.*
FROM log.shots
JOIN media USING (tagging_id, media_id)
