-- What failed, was cut short or was left out, and what to do about it.
SELECT regexp_extract(uri, '[^/]+$') AS file, status, error_code, error
FROM failures
ORDER BY status, uri
