-- One row: one frame that was looked at, with its caption.
SELECT uri, * EXCLUDE (uri)
FROM log.timestamps
ANTI JOIN log.hidden USING (tagging_id)
