-- One row: one line of one subtitle track of a video, from start_s to end_s on the player's clock.
SELECT uri, * EXCLUDE (uri)
FROM log.subtitles
ANTI JOIN log.hidden USING (tagging_id)
