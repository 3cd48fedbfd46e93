"""Define how a run is computed, which does not affect its result and may change when it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ppocore.backend import BackendFactory
from ppocore.config import check_types, require, setting
from ppocore.errors import UsageError

VECTORIZATIONS = ("sync", "async", "vector")
MOST_THREADS = 1024
LONGEST_TIMEOUT = 1e6  # seconds; every system's timers take as many


@dataclass(frozen=True)
class Runtime:
    """Configure how a run is computed, which does not affect its result and is not part of a checkpoint.

    The exception is ``vectorization="vector"``: an environment's own vector implementation draws its own random
    numbers, so the result differs, and a run cannot be resumed with ``sync`` or ``async``, nor vice versa.

    Raises:
        UsageError: (a `ValueError`) a value outside its range, naming the field and the range.
        TypeError: a value of the wrong type.
    """

    backend: str | BackendFactory = setting("numpy", "what computes the updates", "docs/exact-runs.md")
    device: str = setting("cpu", "device of the backend: cpu or cuda", "docs/performance.md")
    vectorization: str = setting(
        "sync",
        "sync: one process; async: a process per environment; vector: the environment's own vector implementation",
        "Gymnasium's make_vec",
    )
    env_timeout: float | None = setting(
        None,
        "time limit in seconds for a step or a reset of the environments (none: no limit)",
        "docs/resuming.md",
    )
    threads: int = setting(
        1, "threads of the linear algebra library; 1 is fastest for small networks", "docs/performance.md"
    )

    def __post_init__(self) -> None:
        """Check each field."""
        if isinstance(self.threads, int):
            require(self, "threads", 1 <= self.threads <= MOST_THREADS, f"between 1 and {MOST_THREADS}")
        check_types(self)
        if not isinstance(self.backend, str) and not callable(self.backend):
            raise UsageError(f"backend={self.backend!r} must be a backend's name, or a class or object that makes one")
        limit = self.env_timeout
        holds = limit is None or 0.0 < limit <= LONGEST_TIMEOUT
        require(self, "env_timeout", holds, f"greater than 0 and at most {LONGEST_TIMEOUT:.0f}, or none")
        require(self, "vectorization", self.vectorization in VECTORIZATIONS, "one of " + ", ".join(VECTORIZATIONS))

    def replace(self, **changes: Any) -> Runtime:
        """Return a copy with some fields changed.

        Raises:
            UsageError: an unknown field, or a value that does not pass the checks.
        """
        unknown = sorted(set(changes) - {field.name for field in dataclasses.fields(self)})
        if unknown:
            known = ", ".join(field.name for field in dataclasses.fields(self))
            raise UsageError(f"Runtime has no field {unknown[0]!r}: it has {known}")
        return dataclasses.replace(self, **changes)

    def updated(
        self,
        runtime: Runtime | Mapping[str, Any] | None,
        backend: str | BackendFactory | None,
        device: str | None,
    ) -> Runtime:
        """Return ``runtime``, or this one updated with a mapping, and then with ``backend`` and ``device`` if given.

        Raises:
            UsageError: an unknown field, a value that does not pass the checks, or neither a runtime nor a mapping.
        """
        if not isinstance(runtime, Runtime | Mapping | None):
            raise UsageError(f"runtime={runtime!r} must be a ppocore.Runtime or a dict of its fields")
        merged = runtime if isinstance(runtime, Runtime) else self.replace(**(runtime or {}))
        given = {"backend": backend, "device": device}
        return merged.replace(**{name: value for name, value in given.items() if value is not None})
