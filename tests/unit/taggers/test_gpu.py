"""Two processes never load one GPU: real processes, and GPUs that are only names (no GPU is here)."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from pipeline.errors import TaggerError
from pipeline.taggers import gpu

HOLD = (
    "import sys; from pathlib import Path; from pipeline.taggers.gpu import claim\n"
    "print(claim(sys.argv[2:], folder=Path(sys.argv[1])).index, flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path):
    """Start a process that claims one of the ids and holds it until it is killed."""
    with ExitStack() as processes:

        def start(*ids):
            process = processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLD, tmp_path, *ids],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            processes.callback(process.kill)
            return process

        yield start


def test_each_process_claims_another_gpu_and_one_too_many_waits_until_a_holder_is_killed(holder):
    first, second = holder("GPU-a", "GPU-b"), holder("GPU-a", "GPU-b")
    held = {first.stdout.readline().strip(): first, second.stdout.readline().strip(): second}
    assert set(held) == {"0", "1"}
    third = holder("GPU-a", "GPU-b")
    assert "waiting for one" in third.stderr.readline()
    held["1"].kill()
    assert third.stdout.readline().strip() == "1"


def test_the_gpu_that_was_asked_for_is_waited_for_though_another_is_free(holder, tmp_path):
    first = holder("GPU-a")
    assert first.stdout.readline().strip() == "0"
    second = holder("GPU-a")
    assert "waiting for one" in second.stderr.readline()
    with gpu.claim(["GPU-a", "GPU-b"], folder=tmp_path) as claimed:
        assert claimed.index == 1
    first.kill()
    assert second.stdout.readline().strip() == "0"


def test_a_released_gpu_is_free_for_others_and_its_lock_stays(holder, tmp_path):
    claimed = gpu.claim(["GPU-a"], folder=tmp_path)
    claimed.release()
    claimed.release()
    assert len(list(tmp_path.iterdir())) == 1
    assert holder("GPU-a").stdout.readline().strip() == "0"


def test_a_claim_is_not_kept_by_a_child_that_outlives_it(tmp_path, holder):
    claimed = gpu.claim(["GPU-a"], folder=tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        claimed.release()
        assert holder("GPU-a").stdout.readline().strip() == "0"
        child.kill()


def test_a_process_never_waits_for_itself(tmp_path):
    with gpu.claim(["GPU-a", "GPU-b"], folder=tmp_path), gpu.claim(["GPU-a", "GPU-b"], folder=tmp_path):
        with pytest.raises(TaggerError, match="already runs a model on all its GPUs: close that first"):
            gpu.claim(["GPU-a", "GPU-b"], folder=tmp_path)


def test_another_users_lock_file_can_be_held_though_not_written(tmp_path):
    with gpu.claim(["GPU-a"], folder=tmp_path):
        pass
    (lock,) = tmp_path.iterdir()
    lock.chmod(0o444)
    with gpu.claim(["GPU-a"], folder=tmp_path) as claimed:
        assert claimed.index == 0


# ---- which device


class Gpu:
    def __init__(self, uuid):
        self.uuid = uuid


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """torch as it would be with two GPUs. Only what is asked of it before a model is loaded."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Gpu(f"uuid-{number}"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.choose("auto") == ("cpu", None) == gpu.choose("cpu")
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(TaggerError, match=f"device is '{wanted}', but torch finds no GPUs here: set SHOTLOG_DEV"):
            gpu.choose(wanted)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_the_first_free_gpu_is_taken(holder, wanted):
    assert holder("uuid-0").stdout.readline().strip() == "0"
    device, claimed = gpu.choose(wanted)
    assert device == "cuda:1"
    claimed.release()


def test_a_gpu_is_taken_by_its_number(two_gpus):
    device, claimed = gpu.choose("cuda:1")
    assert device == "cuda:1" and gpu._lock_file(Path(two_gpus), "uuid-1").exists()
    claimed.release()
    with pytest.raises(TaggerError, match="device is 'cuda:2', but torch finds 2 GPUs here"):
        gpu.choose("cuda:2")
    assert gpu.choose("cpu") == ("cpu", None)
