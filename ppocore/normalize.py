"""Normalize advantages, observations and rewards, with statistics that ignore invalid rows.

Moments are stored in float64 and merged batch by batch (Chan, Golub and LeVeque 1979), which loses no precision for
any division of the data into batches. Variances are the population's (ddof 0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Literal

import numpy as np

from ppocore.advantages.arguments import positive, unit_interval
from ppocore.advantages.arrays import framework_of
from ppocore.advantages.sequences import read_named
from ppocore.advantages.standardize import explained_variance, flags_of, mask_of, masked_whiten, normalize
from ppocore.typing import AnyArray, Array, Floats

__all__ = [
    "ObservationNormalizer",
    "RewardScaler",
    "RunningMeanStd",
    "explained_variance",
    "masked_whiten",
    "normalize",
]


class RunningMeanStd:
    """Track the mean and the population variance of all samples, element by element.

    ``shape`` is that of one sample; an int is a vector's, as in NumPy.

    ===== ================== ===========================
    mean  ``shape``, float64 0 before the first sample
    var   ``shape``, float64 1 before the second sample
    count int                number of samples
    ===== ================== ===========================

    One NaN or infinite number would make all later statistics NaN. With ``nan_policy="raise"`` a batch that holds one
    is refused, before anything changes; with ``"omit"`` samples that hold one are left out, as invalid ones are.

    Raises:
        TypeError: ``shape`` is neither a whole number nor a tuple of them.
        ValueError: ``nan_policy`` is neither ``raise`` nor ``omit``.
    """

    def __init__(self, shape: int | tuple[int, ...] = (), *, nan_policy: Literal["raise", "omit"] = "raise") -> None:
        if nan_policy not in ("raise", "omit"):
            raise ValueError(f"nan_policy must be 'raise' or 'omit', but is {nan_policy!r}")
        self.shape = _shape(shape)
        self.nan_policy = nan_policy
        self.count = 0
        self.mean: Floats = np.zeros(self.shape)
        self._squares: Floats = np.zeros(self.shape)  # sum of squared differences from the mean

    @property
    def var(self) -> Floats:
        """Return the population variance (ddof 0), or 1 for fewer than two samples."""
        return self._squares / self.count if self.count > 1 else np.ones(self.shape)

    def update(self, x: AnyArray, valid: AnyArray | None = None) -> None:
        """Add the samples ``x``, ``(N, *shape)``, where ``valid``, ``(N,)`` flags, is True.

        Raises:
            ValueError: a shape that does not match, a flag that is neither 0 nor 1, or a number that is not finite.
        """
        samples = _samples(x, self.shape)
        mask = mask_of(valid, samples.shape[:1])
        self._merge(samples if mask is None else samples[mask])

    def _merge(self, samples: Floats) -> None:
        added = len(samples)
        if added == 0:
            return
        mean = np.add.reduce(samples, axis=0) / added
        if not math.isfinite(np.add.reduce(mean, axis=None)):  # or finite numbers so large that their sum is not
            finite = np.isfinite(samples).reshape(added, -1).all(axis=1)
            if not finite.all():
                if self.nan_policy == "omit":
                    self._merge(samples[finite])
                    return
                raise ValueError(
                    f"a number is not finite in sample {int(np.argmin(finite))} of {added}: leave it out with valid=, "
                    "or make RunningMeanStd with nan_policy='omit'"
                )
        total = self.count + added
        spread = samples - mean
        shift = mean - self.mean
        squares = np.add.reduce(np.multiply(spread, spread, out=spread), axis=0)
        # New arrays, so that a mean or variance read earlier does not change.
        self.mean = self.mean + shift * (added / total)
        self._squares = self._squares + squares + shift * shift * (self.count * added / total)
        self.count = total

    def state(self) -> dict[str, Array]:
        """Return copies of what `load_state` needs."""
        return {
            "count": np.array(self.count),
            "mean": np.array(self.mean),
            "squares": np.array(self._squares),
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: an entry is missing or has another shape.
        """
        count = int(_entry(state, "count", ()))
        mean, squares = _entry(state, "mean", self.shape), _entry(state, "squares", self.shape)
        self.count, self.mean, self._squares = count, mean, squares


class ObservationNormalizer:
    """Normalize observations to mean 0 and variance 1: ``(obs - mean) / sqrt(var + epsilon)``, then clipped.

    A call updates the statistics, unless ``frozen``, and normalizes with the updated ones.

    ======= ================ ===========================================================
    shape                    of one observation; all arrays are ``(N, *shape)``
    clip    number > 0       results lie in [-clip, clip]
    frozen  bool             set it to True to evaluate: calls then leave the statistics unchanged
    moments `RunningMeanStd` of the observations so far
    ======= ================ ===========================================================
    """

    def __init__(self, shape: tuple[int, ...], *, clip: float = 10.0, epsilon: float = 1e-8) -> None:
        self.moments = RunningMeanStd(shape)
        self.clip = positive("clip", clip)
        self.epsilon = positive("epsilon", epsilon)
        self.frozen = False
        self._scale: Floats  # sqrt(var + epsilon), for the moments that have these squares
        self._scale_of: Floats | None = None

    def update(self, obs: AnyArray, valid: AnyArray | None = None) -> None:
        """Add the valid rows of ``obs`` to the statistics; see `RunningMeanStd.update`."""
        self.moments.update(obs, valid)

    def normalize(self, obs: AnyArray, out: Array | None = None) -> Array:
        """Normalize ``obs``, ``(N, *shape)``, in float64, and write to ``out`` in its dtype if it is given."""
        normalized = _samples(obs, self.moments.shape) - self.moments.mean
        if self._scale_of is not self.moments._squares:  # a new array whenever the moments change
            self._scale, self._scale_of = np.sqrt(self.moments.var + self.epsilon), self.moments._squares
        np.divide(normalized, self._scale, out=normalized)
        _clip(normalized, self.clip)
        if out is None:
            return normalized
        np.copyto(out, normalized)
        return out

    def __call__(self, obs: AnyArray, valid: AnyArray | None = None) -> Array:
        """Update with the valid rows, unless ``frozen``, and normalize; invalid rows become 0."""
        samples = _samples(obs, self.moments.shape)
        mask = mask_of(valid, samples.shape[:1])
        if not self.frozen:
            self.moments._merge(samples if mask is None else samples[mask])
        normalized = self.normalize(samples)
        if mask is not None:
            normalized[~mask] = 0.0
        return normalized

    def state(self) -> dict[str, Array]:
        """Return copies of the statistics."""
        return self.moments.state()

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore what `state` returned; see `RunningMeanStd.load_state`."""
        self.moments.load_state(state)


class RewardScaler:
    """Divide rewards by the standard deviation of the discounted return, so that returns have a variance of about 1.

    Each environment has an accumulator ``G = gamma * G + r``. A call adds its rewards, adds G to the statistics,
    divides the rewards by ``sqrt(var + epsilon)``, clips them to [-clip, clip], and then sets G to 0 where an episode
    was terminated or truncated. Invalid rows are ignored and get 0.
    """

    def __init__(self, num_envs: int, *, gamma: float, clip: float = 10.0, epsilon: float = 1e-8) -> None:
        self.gamma = unit_interval("gamma", gamma)
        self.clip = positive("clip", clip)
        self.epsilon = positive("epsilon", epsilon)
        self.moments = RunningMeanStd(())
        self._discounted: Floats = np.zeros(num_envs)

    def __call__(
        self, rewards: AnyArray, terminated: AnyArray, truncated: AnyArray, valid: AnyArray | None = None
    ) -> Array:
        """Return the scaled rewards of one step, float64; every argument is ``(num_envs,)``.

        Raises:
            ValueError: a shape that does not match, or a flag that is neither 0 nor 1.
        """
        shape = self._discounted.shape
        scaled = _samples(rewards, ()).copy()
        if scaled.shape != shape:
            raise ValueError(f"rewards has shape {scaled.shape}, but shape {shape} is expected")
        ended = flags_of("terminated", terminated, shape) | flags_of("truncated", truncated, shape)
        mask = mask_of(valid, shape)
        following = self.gamma * self._discounted + scaled
        if mask is None:
            self.moments._merge(following)
        else:
            self.moments._merge(following[mask])
            following = np.where(mask, following, self._discounted)
            ended = ended & mask
            scaled[~mask] = 0.0
        np.copyto(following, 0.0, where=ended)
        self._discounted = following
        np.divide(scaled, math.sqrt(self.moments.var + self.epsilon), out=scaled)
        _clip(scaled, self.clip)
        return scaled

    def forget(self, index: int) -> None:
        """Reset the accumulator of an environment whose episode was abandoned."""
        self._discounted[index] = 0.0

    def state(self) -> dict[str, Array]:
        """Return copies of the statistics and of every environment's accumulator."""
        return {**self.moments.state(), "discounted": self._discounted.copy()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: an entry is missing or has another shape.
        """
        discounted = _entry(state, "discounted", self._discounted.shape)
        self.moments.load_state(state)
        self._discounted = discounted


def _shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape as a tuple."""
    sides = (shape,) if isinstance(shape, Integral) else shape
    if not isinstance(sides, tuple | list) or not all(
        isinstance(side, Integral) and not isinstance(side, bool) and side >= 0 for side in sides
    ):
        raise TypeError(f"shape={shape!r} is not a shape: give a tuple of whole numbers, such as (3,)")
    return tuple(int(side) for side in sides)


def _samples(x: AnyArray, shape: tuple[int, ...]) -> Floats:
    """Return ``x``, which must be ``(N, *shape)``, as float64."""
    array = x if type(x) is np.ndarray else read_named("x", x, framework_of(x)).array
    if array.shape[1:] != shape or array.ndim == 0:
        raise ValueError(f"expected samples of shape (N, {', '.join(map(str, shape))}), but got {array.shape}")
    return array if array.dtype == np.float64 else array.astype(np.float64)


def _clip(x: Floats, limit: float) -> None:
    # Two ufuncs, because np.clip takes longer than the rest of a step for a few environments.
    np.minimum(x, limit, out=x)
    np.maximum(x, -limit, out=x)


def _entry(state: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Floats:
    if name not in state:
        raise ValueError(f"the state lacks {name!r}; it has {sorted(state)}")
    entry = np.array(state[name], dtype=np.float64)
    if entry.shape != shape:
        raise ValueError(f"{name} has shape {entry.shape} in the state, but shape {shape} is expected")
    return entry
