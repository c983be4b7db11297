"""Ray Data: `read_videos`, columns selected, written as Parquet.

As its documentation does it: `ray.data.read_videos`, which wants decord, with `fps` for every so many frames. It goes
through the whole film, frame by frame, and begins with the first, so that its frames are as many as shotlog's, and
each half a step earlier.
"""

from __future__ import annotations

import sys

import ray

CLIP_S = 10


def main(folder: str, target: str, count: int) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    frames = ray.data.read_videos(folder, fps=count // CLIP_S, include_paths=True, include_timestamps=True)
    moments = frames.map_batches(_moments, batch_format="numpy")
    moments.write_parquet(target)


def _moments(batch: dict) -> dict:
    assert len(batch["frame"]) == len(batch["path"])
    return {"path": batch["path"], "timestamp_s": batch["frame_timestamp"][:, 0]}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
