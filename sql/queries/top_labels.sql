-- The labels seen most often, with the number of media objects they are in.
SELECT label, count(DISTINCT media_id) AS media, count(*) AS frames, round(avg(score), 2) AS mean_score
FROM tags
GROUP BY label
ORDER BY media DESC, frames DESC, label
LIMIT 20
