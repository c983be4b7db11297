"""The command line."""

import os

# threads of numpy's BLAS turn for 0.1 s before they sleep, once at every start, on processors that others wait for
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
