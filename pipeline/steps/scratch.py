"""See pipeline/scratch.py."""

from pipeline.scratch import scratch_folder

__all__ = ["scratch_folder"]
