"""Media in hand don't outlive their process by more than the next run."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.scratch import scratch_folder

HOLD = (
    "import sys; from pipeline.scratch import scratch_folder\n"
    "with scratch_folder() as folder: (folder / 'film').write_bytes(b'x'); print(folder, flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def _temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_a_folder_is_gone_afterwards():
    with scratch_folder() as folder:
        (folder / "film").write_bytes(b"x")
    assert not folder.exists()


def test_what_a_killed_process_left_goes_and_what_a_living_one_holds_stays():
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        held = Path(holder.stdout.readline().decode().strip())
        with scratch_folder():
            assert (held / "film").exists()
        holder.kill()
    with scratch_folder() as folder:
        assert not held.exists()
        assert folder.exists()
