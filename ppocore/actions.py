"""From a distribution's actions to the environment's, and what a file must hold to do it without Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class ActionAdapter:
    """Turns actions as sampled into actions as the environment takes them.

    Discrete: the space's ``start`` is added.  Box: clipped to its bounds and reshaped, in its dtype; what was
    sampled is what is stored and learned from (37 details, continuous 4).

    Args:
        space: a Gymnasium ``Discrete`` or ``Box`` space.
    """

    def __init__(self, space: Any) -> None:
        if hasattr(space, "n"):
            self._fields: dict[str, Any] = {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
        else:
            self._fields = {
                "kind": "box",
                "shape": list(space.shape),
                "dtype": str(space.dtype),
                "low": np.asarray(space.low, np.float64).ravel().tolist(),
                "high": np.asarray(space.high, np.float64).ravel().tolist(),
            }
        self._prepare()

    def _prepare(self) -> None:
        fields = self._fields
        self._start = fields.get("start", 0)
        if fields["kind"] == "box":
            self._shape = tuple(fields["shape"])
            self._dtype = np.dtype(fields["dtype"])
            self._low = np.array(fields["low"], self._dtype)
            self._high = np.array(fields["high"], self._dtype)

    def __call__(self, actions: Array) -> Array:
        """Actions (B,) or (B, size) to (B,) or (B, *shape)."""
        if self._fields["kind"] == "discrete":
            return actions + self._start if self._start else actions
        bounded: Array = np.minimum(np.maximum(actions.astype(self._dtype), self._low), self._high)
        return bounded.reshape(len(actions), *self._shape)

    @property
    def kind(self) -> str:
        """The policy's kind: ``categorical`` or ``gaussian``."""
        return "categorical" if self._fields["kind"] == "discrete" else "gaussian"

    @property
    def size(self) -> int:
        """Choices, or continuous dimensions."""
        return int(self._fields["n"]) if self._fields["kind"] == "discrete" else len(self._low)

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON can hold it; infinite bounds as strings."""
        return {
            key: [_bound_to_json(x) for x in value] if key in ("low", "high") else value
            for key, value in self._fields.items()
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ActionAdapter:
        """The inverse of `to_dict`."""
        adapter = cls.__new__(cls)
        adapter._fields = {
            key: [float(x) for x in value] if key in ("low", "high") else value for key, value in fields.items()
        }
        adapter._prepare()
        return adapter


def _bound_to_json(bound: float) -> float | str:
    return bound if np.isfinite(bound) else str(bound)
