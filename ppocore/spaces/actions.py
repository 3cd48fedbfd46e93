"""From a distribution's actions to the environment's, and what a file must hold to do it without Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocore.errors import UsageError
from ppocore.typing import Array

CONTINUOUS_POLICIES = ("gaussian", "squashed_gaussian", "beta")

_KINDS = {"discrete": "categorical", "multi_discrete": "multi_categorical", "multi_binary": "bernoulli"}


class ActionAdapter:
    """Turns actions as sampled into actions as the environment takes them.

    What was sampled is what is stored and learned from (37 details, continuous 4); the environment gets:

    ================= ==================================================================================
    Discrete          the choice, counted from the space's ``start``
    MultiDiscrete     the choices, likewise, in the space's shape
    MultiBinary       the bits, in the space's shape
    Box, gaussian     the numbers, clipped to the bounds
    Box, squashed     their hyperbolic tangent, moved from (-1, 1) to the bounds
    Box, beta         the numbers, moved from (0, 1) to the bounds
    ================= ==================================================================================

    Args:
        space: a Gymnasium ``Discrete``, ``MultiDiscrete``, ``MultiBinary`` or ``Box`` space.
        continuous_policy: what acts in a Box: ``gaussian``, ``squashed_gaussian`` or ``beta``.

    Raises:
        UsageError: a continuous policy for a space that is not a Box, or a bounded one for a Box without bounds.
    """

    def __init__(self, space: Any, continuous_policy: str = "gaussian") -> None:
        if continuous_policy not in CONTINUOUS_POLICIES:
            raise UsageError(
                f"continuous_policy={continuous_policy!r} is unknown: use one of {', '.join(CONTINUOUS_POLICIES)}"
            )
        self._fields: dict[str, Any]
        if hasattr(space, "nvec"):
            start = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
            self._fields = {
                "kind": "multi_discrete",
                "shape": list(space.shape),
                "dtype": str(space.dtype),
                "choices": np.ravel(space.nvec).tolist(),
                "start": np.ravel(start).tolist(),
            }
        elif hasattr(space, "n") and space.shape:
            self._fields = {"kind": "multi_binary", "shape": list(space.shape), "dtype": str(space.dtype)}
        elif hasattr(space, "n"):
            self._fields = {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
        else:
            self._fields = {
                "kind": "box",
                "shape": list(space.shape),
                "dtype": str(space.dtype),
                "low": np.asarray(space.low, np.float64).ravel().tolist(),
                "high": np.asarray(space.high, np.float64).ravel().tolist(),
                "policy": continuous_policy,
            }
        if continuous_policy != "gaussian":
            self._check_bounds(space, continuous_policy)
        self._prepare()

    def _check_bounds(self, space: Any, policy: str) -> None:
        described = " ".join(str(space).split())  # NumPy's arrays in it may take several lines
        if self._fields["kind"] != "box":
            raise UsageError(
                f"continuous_policy={policy} is for Box action spaces, this one is {described}: leave it out"
            )
        if not np.isfinite([*self._fields["low"], *self._fields["high"]]).all():
            raise UsageError(
                f"continuous_policy={policy} needs an action space with bounds on both sides, this one is {described}: "
                "use continuous_policy=gaussian, or give the Box bounds"
            )

    def _prepare(self) -> None:
        fields = self._fields
        self._start = np.array(fields.get("start", 0), np.int64)
        self._counts_from_0 = not self._start.any()
        self._shape = tuple(fields.get("shape", ()))
        self._dtype = np.dtype(fields.get("dtype", "int64"))
        self._policy = fields.get("policy", "gaussian")
        sizes = {"discrete": self.size, "multi_discrete": sum(self.choices), "multi_binary": 2 * self.size}
        self.mask_size = sizes.get(fields["kind"], 0)
        """Flags in one mask; 0 for a Box."""
        if fields["kind"] == "box":
            self._low = np.array(fields["low"], self._dtype)
            self._high = np.array(fields["high"], self._dtype)

    def __call__(self, actions: Array) -> Array:
        """Actions (B,) or (B, size) to (B,) or (B, *shape)."""
        kind = self._fields["kind"]
        if kind == "discrete":
            return actions if self._counts_from_0 else actions + self._start
        if kind != "box":
            counted = actions if self._counts_from_0 else actions + self._start
            return counted.astype(self._dtype).reshape(len(actions), *self._shape)
        bounded: Array = np.minimum(np.maximum(self._moved(actions).astype(self._dtype), self._low), self._high)
        return bounded.reshape(len(actions), *self._shape)

    def _moved(self, actions: Array) -> Array:
        """Into the bounds, for what comes from an interval of its own."""
        if self._policy == "gaussian":
            return actions
        part = actions.astype(np.float64)
        if self._policy == "squashed_gaussian":
            part = 0.5 * (np.tanh(part) + 1.0)
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        moved: Array = low + part * (high - low)
        return moved

    @property
    def kind(self) -> str:
        """The policy's kind, as `NetworkSpec.action_kind`."""
        kind: str = self._policy if self._fields["kind"] == "box" else _KINDS[self._fields["kind"]]
        return kind

    @property
    def size(self) -> int:
        """Choices, components, bits, or continuous dimensions."""
        fields = self._fields
        return int(fields["n"]) if fields["kind"] == "discrete" else int(np.prod(fields["shape"], dtype=np.int64))

    @property
    def choices(self) -> tuple[int, ...]:
        """Choices of each component of a MultiDiscrete space; otherwise empty."""
        return tuple(self._fields.get("choices", ()))

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON can hold it; infinite bounds as strings."""
        return {
            key: [_bound_to_json(x) for x in value] if key in ("low", "high") else value
            for key, value in self._fields.items()
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ActionAdapter:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: not what `to_dict` gives.
        """
        adapter = cls.__new__(cls)
        adapter._fields = {
            key: [float(x) for x in value] if key in ("low", "high") else value for key, value in fields.items()
        }
        if fields["kind"] == "box":
            adapter._fields.setdefault("policy", "gaussian")  # the first policy files knew no other
            if adapter._fields["policy"] not in CONTINUOUS_POLICIES:
                raise ValueError(f"there is no continuous policy {adapter._fields['policy']!r}")
        elif fields["kind"] not in _KINDS:
            raise ValueError(f"there is no action space of kind {fields['kind']!r}")
        adapter._prepare()
        return adapter


def _bound_to_json(bound: float) -> float | str:
    return bound if np.isfinite(bound) else str(bound)
