-- Where are people or bicycles, how many, and at which timecodes.
SELECT
    regexp_extract(uri, '[^/]+$') AS file,
    timecode,
    max(participants.count) FILTER (label = 'person') AS people,
    max(participants.count) FILTER (label = 'bicycle') AS bicycles,
    caption
FROM participants
JOIN timestamps USING (tagging_id, media_id, uri, timestamp_s)
GROUP BY uri, timecode, caption
HAVING people > 0 OR bicycles > 0
ORDER BY uri, timecode
