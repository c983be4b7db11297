-- One row: one run, with what it found, how far it is, when it will be done, and how it ended (running: no end yet).
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
        sum(prompt_tokens)::BIGINT AS prompt_tokens,
        sum(completion_tokens)::BIGINT AS completion_tokens,
        sum(seconds) / 3600 AS hours,
        sum(media_s) / 3600 AS media_hours
    FROM log.batches
    GROUP BY run_id
),

-- What was worked on and broken off before it was committed.
broken_off AS (
    SELECT run_id, sum((detail ->> 'seconds')::DOUBLE) / 3600 AS hours
    FROM log.run_events
    WHERE event = 'worked'
    GROUP BY run_id
),

planned AS (
    SELECT
        run_id,
        -- later pieces of a backfill say nothing of the whole
        arg_max(detail, happened_at) FILTER (detail ->> 'listed' IS NOT NULL)::JSON AS plan,
        sum((detail ->> 'media')::BIGINT)::BIGINT AS media_planned,
        max(happened_at) AS planned_at
    FROM log.run_events
    WHERE event IN ('planned', 'resumed')
    GROUP BY run_id
),

-- Since when it has been at work without a pause.
at_work AS (
    SELECT run_id, coalesce(max(happened_at), any_value(started_at)) AS since
    FROM log.runs
    LEFT JOIN (FROM log.run_events WHERE event = 'resumed') AS resumed USING (run_id)
    GROUP BY run_id
),

-- Work in seconds: what a video lasts, and one for each media object, which is all that an image counts.
latest AS (
    SELECT run_id, since, committed_at, coalesce(media_s, 0) + media AS work_s
    FROM log.batches
    JOIN at_work USING (run_id)
    WHERE committed_at > since AND NOT starts_with(batch, 'inherited')
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY committed_at DESC) <= 32
),

-- By the last batches: as fast as it goes now, however long it was paused before.
speed AS (
    SELECT
        run_id,
        max(committed_at) AS last_at,
        CASE WHEN count(*) = 32
            THEN (sum(work_s) - arg_min(work_s, committed_at)) / epoch(max(committed_at) - min(committed_at))
            ELSE sum(work_s) / epoch(max(committed_at) - any_value(since))
            END AS work_per_s
    FROM latest
    GROUP BY run_id
),

ended AS (
    SELECT
        run_id,
        -- for good, whatever somebody who was planning it then wrote afterwards
        CASE WHEN count_if(event = 'cancelled') > 0 THEN 'cancelled' ELSE arg_max(event, happened_at) END AS how,
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
    CASE WHEN ended_at IS NULL OR (planned_at > ended_at AND how <> 'cancelled') THEN 'running' ELSE how END AS state,
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
    (plan ->> 'claimed')::BIGINT AS claimed,
    coalesce(done.media_hours, 0) * 3600 + coalesce(done.media_done, 0) AS work_done_s,
    greatest(media_planned - coalesce(done.media_done, 0), 0)
        * ((plan ->> '$.forecast.media_hours.expected')::DOUBLE * 3600 / nullif(media_planned, 0) + 1) AS work_left_s,
    CASE WHEN state = 'finished' THEN 1 ELSE work_done_s / nullif(work_done_s + work_left_s, 0) END AS progress,
    CASE WHEN state = 'running' THEN work_left_s / nullif(work_per_s, 0) END AS left_s,
    last_at + to_seconds(left_s) AS eta,
    coalesce(done.ok, 0) AS ok,
    coalesce(done.partial, 0) AS partial,
    coalesce(done.failed, 0) AS failed,
    coalesce(done.skipped, 0) AS skipped,
    coalesce(done.inherited, 0) AS inherited,
    coalesce(done.frames, 0) AS frames,
    (plan -> '$.forecast.frames')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE) AS frames_forecast,
    coalesce(done.prompt_tokens + done.completion_tokens, 0) AS tokens,
    {
        'low': (plan ->> '$.forecast.tokens.prompt.low')::DOUBLE + (plan ->> '$.forecast.tokens.completion.low')::DOUBLE,
        'expected': (plan ->> '$.forecast.tokens.prompt.expected')::DOUBLE
            + (plan ->> '$.forecast.tokens.completion.expected')::DOUBLE,
        'high': (plan ->> '$.forecast.tokens.prompt.high')::DOUBLE
            + (plan ->> '$.forecast.tokens.completion.high')::DOUBLE
    } AS tokens_forecast,
    coalesce(done.media_hours, 0) AS media_hours,
    (plan -> '$.forecast.media_hours')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE) AS media_hours_forecast,
    -- as a budget is measured, by the prices that the run was planned with
    (coalesce(done.hours, 0) + coalesce(broken_off.hours, 0)) * (plan ->> '$.forecast.prices.gpus')::DOUBLE AS gpu_hours,
    (plan -> '$.forecast.gpu_hours')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE) AS gpu_hours_forecast,
    gpu_hours * (plan ->> '$.forecast.prices.gpu_hour')::DOUBLE
        + coalesce(done.prompt_tokens, 0) / 1e6 * (plan ->> '$.forecast.prices.million_prompt_tokens')::DOUBLE
        + coalesce(done.completion_tokens, 0) / 1e6 * (plan ->> '$.forecast.prices.million_completion_tokens')::DOUBLE
        AS cost,
    (plan -> '$.forecast.cost')::STRUCT(low DOUBLE, expected DOUBLE, high DOUBLE, currency VARCHAR) AS cost_forecast,
    epoch(ended.ended_at - runs.started_at) AS seconds,
    ended.error
FROM log.runs
LEFT JOIN done USING (run_id)
LEFT JOIN broken_off USING (run_id)
LEFT JOIN planned USING (run_id)
LEFT JOIN ended USING (run_id)
LEFT JOIN speed USING (run_id)
LEFT JOIN (SELECT DISTINCT recipe_id, tagger FROM log.recipes) AS recipes USING (recipe_id)
