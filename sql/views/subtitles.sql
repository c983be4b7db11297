-- One row: one line of one subtitle track of a video, from start_s to end_s on the player's clock.
SELECT media.uri, subtitles.*
FROM log.subtitles
JOIN media USING (tagging_id, media_id)
