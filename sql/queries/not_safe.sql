-- What to hold back: media with moments rated other than safe (score 0.5 and more, or none given), or not rated at all.
WITH moments AS (
    SELECT uri, timecode, coalesce(label, 'not rated') AS rating, score
    FROM timestamps
    LEFT JOIN rating USING (tagging_id, media_id, uri, timestamp_s)
)

SELECT
    uri,
    rating,
    count(*) AS moments,
    max(score) AS highest_score,
    string_agg(timecode, ', ' ORDER BY timecode) AS timecodes
FROM moments
WHERE rating <> 'safe' AND coalesce(score, 1) >= 0.5
GROUP BY uri, rating
ORDER BY uri, rating
