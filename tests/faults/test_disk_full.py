"""The disk is full: a run ends with a sentence, and the next one, when there is room again, does what is left."""

import os
import random
import re
import resource
import subprocess
from contextlib import suppress

import pytest

from tests.faults.invariants import check_whole, read_throughout
from tests.faults.places import fill
from tests.integration.doors import shotlog, tag

DISK_BYTES = 12 << 20

SAID = "^shotlog: (there is no room left|the catalog .* its disk has room|'.*' can't be written .No space)"


NO_ROOM = "disk I/O error|No space left|disk is full"
"""A reader meets it as well: SQLite makes a file beside a catalog that it opens."""


@pytest.fixture
def small_disk(tmp_path):
    """A folder with little room and a way to take it away; who may mount none gets a limit on the size of files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder], stderr=subprocess.DEVNULL
    )
    if mounted.returncode:
        yield (
            folder,
            lambda room: {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room // 10, room // 10))},
        )
        return

    def leave(room):
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
        with suppress(OSError):  # the reader takes a little, too: then it is as full as can be
            (folder / "ballast").write_bytes(bytes(max(0, free - room)))
        return {}

    try:
        yield folder, leave
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.seeds(3, 20)
def test_a_full_disk(seed, small_disk, tmp_path):
    chance, (disk, leave) = random.Random(seed), small_disk
    lake, source = disk / "lake", fill(tmp_path / "in", "first.png", "text.mov")
    (disk / "scratch").mkdir()
    tag(lake, source)
    names = [f"{number}.{ending}" for number in range(4) for ending in ("png", "mp4")]
    fill(source, *names)
    command = ["tag", source, "--lake", lake, "--tagger", "null", "--workers", "1"]
    settings = {"SHOTLOG_BATCH_FRAMES": "1", "TMPDIR": str(disk / "scratch")}
    with read_throughout(lake, may_meet=NO_ROOM):
        for _ in range(2):
            with_limit = leave(chance.randint(0, 300_000))
            done = shotlog(*command, cwd=tmp_path, **settings, **with_limit)
            assert done.returncode in (0, 3), done.stderr
            if done.returncode:
                assert re.search(SAID, done.stderr, re.M), done.stderr
            (disk / "ballast").unlink(missing_ok=True)
    assert tag(lake, source)["state"] == "finished"
    check_whole(lake, {f"{source}/{name}" for name in ("first.png", *names)}, {f"{source}/text.mov"})
    assert list((disk / "scratch").iterdir()) == []
