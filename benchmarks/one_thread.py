"""Limit the linear algebra libraries to one thread in the processes that a benchmark starts.

They read these variables when NumPy or a framework is imported, so they are set for a new process.
"""

from __future__ import annotations

import os

VARIABLES = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def environment() -> dict[str, str]:
    """Return the environment variables of such a process."""
    return {**os.environ, **VARIABLES}
