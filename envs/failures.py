"""What one of many environments did wrong, on its way to the fault that names it."""

from __future__ import annotations


class FailedEnvironment(Exception):
    """What environment `index` did wrong; the cause holds a worker process's traceback, where there was one."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
