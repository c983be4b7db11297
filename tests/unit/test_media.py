"""Making the tests' media leaves nothing behind but the files."""

import subprocess
import sys
from pathlib import Path

ENCODE = """
import os
from tests.media import media
before = os.sched_getscheduler(0)
assert media("av1.mp4").stat().st_size > 0
assert os.sched_getscheduler(0) == before
"""


def test_an_encoder_makes_no_real_time_process_of_the_tests():
    done = subprocess.run([sys.executable, "-c", ENCODE], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
