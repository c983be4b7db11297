-- What is in the archive: media, hours, frames looked at and gigabytes, by kind and container.
SELECT
    kind,
    container,
    count(*) AS media,
    round(sum(duration_s) / 3600, 3) AS hours,
    sum(frames)::BIGINT AS frames,
    round(sum(size_bytes) / 1e9, 4) AS gigabytes
FROM media
GROUP BY kind, container
ORDER BY media DESC, container
