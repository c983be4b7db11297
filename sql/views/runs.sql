-- One row: one run, with what it found, what it has done so far and how it ended (running: no end yet).
WITH done AS (
    SELECT
        run_id,
        count(*) AS batches_done,
        sum(media)::BIGINT AS media_done,
        sum(ok)::BIGINT AS ok,
        sum(partial)::BIGINT AS partial,
        sum(failed)::BIGINT AS failed,
        sum(skipped)::BIGINT AS skipped,
        sum(inherited)::BIGINT AS inherited,
        sum(frames)::BIGINT AS frames,
        sum(prompt_tokens + completion_tokens)::BIGINT AS tokens,
        sum(media_s) / 3600 AS media_hours
    FROM log.batches
    GROUP BY run_id
),

planned AS (
    SELECT
        run_id,
        arg_max(detail, happened_at)::JSON AS plan,
        sum((detail ->> 'media')::BIGINT)::BIGINT AS media_planned,
        max(happened_at) AS planned_at
    FROM log.run_events
    WHERE event = 'planned'
    GROUP BY run_id
),

ended AS (
    SELECT
        run_id,
        arg_max(event, happened_at) AS state,
        max(happened_at) AS ended_at,
        arg_max(detail, happened_at)::JSON ->> 'error' AS error
    FROM log.run_events
    WHERE event IN ('finished', 'stopped', 'incomplete', 'interrupted', 'cancelled', 'died')
    GROUP BY run_id
)

SELECT
    runs.run_id,
    runs.kind,
    -- one that was planned again after its end (a cleared Airflow run) is running again
    CASE WHEN planned_at > ended_at OR ended_at IS NULL THEN 'running' ELSE ended.state END AS state,
    runs.started_at,
    ended.ended_at,
    runs.sources,
    runs.recipe_id,
    recipes.tagger,
    (plan ->> 'listed')::BIGINT AS listed,
    (plan ->> 'new')::BIGINT AS new,
    (plan ->> 'changed')::BIGINT AS changed,
    (plan ->> 'duplicate')::BIGINT AS duplicate,
    (plan ->> 'gone')::BIGINT AS gone,
    (plan ->> 'unchanged')::BIGINT AS unchanged,
    (plan ->> 'stale')::BIGINT AS stale,
    (plan ->> 'retried')::BIGINT AS retried,
    (plan ->> 'waiting')::BIGINT AS waiting,
    (plan ->> 'unknown')::BIGINT AS unknown,
    (plan ->> 'excluded')::BIGINT AS excluded,
    planned.media_planned,
    coalesce(done.media_done, 0) AS media_done,
    coalesce(done.ok, 0) AS ok,
    coalesce(done.partial, 0) AS partial,
    coalesce(done.failed, 0) AS failed,
    coalesce(done.skipped, 0) AS skipped,
    coalesce(done.inherited, 0) AS inherited,
    coalesce(done.frames, 0) AS frames,
    (plan -> '$.forecast.frames')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE) AS frames_forecast,
    coalesce(done.tokens, 0) AS tokens,
    {
        'low': (plan ->> '$.forecast.tokens.prompt.low')::DOUBLE + (plan ->> '$.forecast.tokens.completion.low')::DOUBLE,
        'expected': (plan ->> '$.forecast.tokens.prompt.expected')::DOUBLE
            + (plan ->> '$.forecast.tokens.completion.expected')::DOUBLE,
        'high': (plan ->> '$.forecast.tokens.prompt.high')::DOUBLE
            + (plan ->> '$.forecast.tokens.completion.high')::DOUBLE
    } AS tokens_forecast,
    coalesce(done.media_hours, 0) AS media_hours,
    (plan -> '$.forecast.media_hours')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE) AS media_hours_forecast,
    (plan -> '$.forecast.cost')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE, currency VARCHAR) AS cost_forecast,
    epoch(ended.ended_at - runs.started_at) AS seconds,
    ended.error
FROM log.runs
LEFT JOIN done USING (run_id)
LEFT JOIN planned USING (run_id)
LEFT JOIN ended USING (run_id)
LEFT JOIN (SELECT DISTINCT recipe_id, tagger FROM log.recipes) AS recipes USING (recipe_id)
