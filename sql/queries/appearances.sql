-- From when to when each participant is seen: one row an appearance, unbroken over the moments looked at.
WITH moments AS (
    SELECT
        tagging_id,
        timestamp_s,
        timecode,
        row_number() OVER (PARTITION BY tagging_id ORDER BY timestamp_s) AS number
    FROM timestamps
),

seen AS (
    SELECT
        participants.*,
        timecode,
        number - dense_rank() OVER (PARTITION BY tagging_id, label ORDER BY timestamp_s) AS appearance
    FROM participants
    JOIN moments USING (tagging_id, timestamp_s)
)

SELECT
    regexp_extract(uri, '[^/]+$') AS file,
    label,
    min(timecode) AS first_seen,
    max(timecode) AS last_seen,
    count(DISTINCT timestamp_s) AS moments,
    max(seen.count) AS most_at_once
FROM seen
GROUP BY uri, label, appearance
ORDER BY uri, min(timestamp_s), label
