-- Media whose latest good tagging was made under an older recipe than the last run's (`--retag` tags them again).
-- (log.runs: the view `runs` looks up much else of each run first, which takes as long as all the rest.)
WITH current AS (SELECT arg_max(recipe_id, started_at) AS recipe_id FROM log.runs)

SELECT uri, media.recipe_id, tagged_at
FROM media, current
WHERE media.recipe_id <> current.recipe_id
ORDER BY tagged_at, uri
