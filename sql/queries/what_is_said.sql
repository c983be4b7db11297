-- What is said around each moment: its caption, and the subtitles from 5 s before to 5 s after, one row a language.
SELECT
    regexp_extract(timestamps.uri, '[^/]+$') AS file,
    timecode,
    caption,
    language,
    string_agg(text, ' ' ORDER BY start_s, track) AS said
FROM timestamps
LEFT JOIN subtitles
    ON subtitles.tagging_id = timestamps.tagging_id
    AND start_s <= timestamp_s + 5
    AND coalesce(end_s, start_s) >= timestamp_s - 5
GROUP BY timestamps.uri, timestamp_s, timecode, caption, language
ORDER BY timestamps.uri, timestamp_s, language
