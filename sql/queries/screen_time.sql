-- How long each kind of participant is on screen: sampled frames stand for equal parts of their video.
SELECT
    participants.label,
    participants.kind,
    count(DISTINCT participants.media_id) AS videos,
    round(sum(media.duration_s / media.frames), 1) AS seconds
FROM participants
JOIN media USING (tagging_id)
WHERE media.kind = 'video'
GROUP BY participants.label, participants.kind
ORDER BY seconds DESC, participants.label
