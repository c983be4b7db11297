"""DataChain: `read_storage(type="video")`, a generator over `VideoFile.get_frames`, saved and written as Parquet.

As its documentation does it: a chain of files, `.settings(parallel=…)`, `.gen` with a function that yields rows of
`VideoFrame.get_np()`'s frames, `.to_parquet`. `get_frames(start, end, step)` decodes front to back and gives every
step-th frame: exactly the frames that shotlog takes. Its database lies in DATACHAIN_ROOT_DIR.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import datachain as dc


def main(folder: str, target: str, count: int) -> None:
    def frames(file: dc.VideoFile) -> Iterator[tuple[str, float]]:
        step = file.get_info().frames // count
        for frame in file.get_frames(start=(step - 1) // 2, step=step):
            assert frame.get_np().shape[2] == 3
            yield file.path, frame.timestamp

    chain = dc.read_storage(f"file://{folder}", type="video").settings(parallel=2)
    found = chain.gen(frames, params="file", output={"path": str, "timestamp_s": float})
    Path(target).mkdir()
    found.to_parquet(f"{target}/frames.parquet")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
