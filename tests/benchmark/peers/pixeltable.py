"""Pixeltable: a table of videos, a view with `frame_iterator(num_frames=…)`, exported as Parquet.

As its documentation does it: `create_table`, `insert`, `create_view(iterator=…)`. The iterator decodes front to back
and makes a picture of every frame it gives: those nearest to the middles of equal parts, the frames that shotlog
takes. The view keeps no pixels. Its database, a Postgres from PyPI, lies in PIXELTABLE_HOME.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pixeltable as pxt
from pixeltable.functions.video import frame_iterator
from pixeltable.io import export_parquet


def main(folder: str, target: str, count: int) -> None:
    videos = pxt.create_table("videos", {"video": pxt.Video, "path": pxt.String})
    videos.insert([{"video": str(path), "path": str(path)} for path in sorted(Path(folder).glob("*.mp4"))])
    frames = pxt.create_view("frames", videos, iterator=frame_iterator(videos.video, num_frames=count))
    export_parquet(frames.select(frames.path, timestamp_s=frames.frame_attrs.time), Path(target))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
