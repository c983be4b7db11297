-- One line a moment: what is on screen, in the order of the tape.
WITH named AS (
    -- a list that is sorted takes half the time of string_agg(… ORDER BY …), and less memory
    SELECT tagging_id, timestamp_s, array_to_string(list_sort(list(label)), ', ') AS tags
    FROM tags
    GROUP BY tagging_id, timestamp_s
)
SELECT regexp_extract(uri, '[^/]+$') AS file, timecode, caption, tags
FROM timestamps
LEFT JOIN named USING (tagging_id, timestamp_s)
ORDER BY uri, timestamp_s
