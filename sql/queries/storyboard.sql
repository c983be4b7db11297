-- One line a moment: what is on screen, in the order of the tape.
SELECT
    regexp_extract(uri, '[^/]+$') AS file,
    timecode,
    caption,
    (SELECT string_agg(label, ', ' ORDER BY label) FROM tags WHERE tags.tagging_id = timestamps.tagging_id
        AND tags.timestamp_s = timestamps.timestamp_s) AS tags
FROM timestamps
ORDER BY uri, timestamp_s
