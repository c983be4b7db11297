"""Daft: `video_frames` over a DataFrame of files, exploded and written as Parquet.

As its documentation does it: `from_glob_path`, `video_file`, `functions.video_frames`, `explode`, `write_parquet`, on
the native runner, which takes all cores. `sample_interval_seconds` gives the first frame at or after every so many
seconds from `start_time`, which is set so that these are the frames that shotlog takes. Its other way,
`read_video_frames`, takes no start, and on two cores it waited for itself for ever (0.7.26).
"""

from __future__ import annotations

import sys

import daft
from daft import col
from daft.functions import video_file, video_frames

CLIP_S, FRAME_S = 10, 1 / 25


def main(folder: str, target: str, count: int) -> None:
    every_s = CLIP_S / count
    first_s = every_s / 2 - FRAME_S / 2  # the frame that is on screen at half a step is the one before it
    frames = video_frames(video_file(col("path")), start_time=first_s, sample_interval_seconds=every_s)
    found = daft.from_glob_path(f"{folder}/*.mp4").select(col("path"), frames.alias("frame")).explode("frame")
    found.select(col("path"), col("frame")["frame_time"].alias("timestamp_s")).write_parquet(target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
