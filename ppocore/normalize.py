"""Normalize advantages, observations and rewards, with statistics that ignore invalid rows.

Moments are stored in float64 and merged batch by batch (Chan, Golub and LeVeque 1979), which loses no precision for
any division of the data into batches. Variances are the population's (ddof 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np

from ppocore.advantages.arguments import positive, unit_interval
from ppocore.advantages.arrays import framework_of, give_back
from ppocore.advantages.calls import estimator
from ppocore.advantages.sequences import read_named
from ppocore.typing import AnyArray, Array, ArrayT, Bools, Floats


@overload
def normalize(x: ArrayT, valid: AnyArray | None = ..., epsilon: float = ...) -> ArrayT: ...


@overload
def normalize(x: Sequence[Any], valid: AnyArray | None = ..., epsilon: float = ...) -> Any: ...


@estimator
def normalize(x: AnyArray, valid: AnyArray | None = None, epsilon: float = 1e-8) -> AnyArray:
    """Return ``(x - mean) / (std + epsilon)``, mean and std (ddof 0) taken over the valid elements.

    ===== ============ ===========================================================
    x     any shape    numbers; NumPy, torch, paddle or JAX
    valid shape of ``x`` flags; invalid elements become 0, whatever they hold
    ===== ============ ===========================================================

    A single element, or finite elements that are all equal, become 0.

    Returns:
        The same kind of array; float32 in, float32 out; integers give float64. Computed in float64.

    Raises:
        ValueError: ``valid`` is not shaped as ``x``, or holds something other than flags.
    """
    return _where_valid(x, valid, lambda numbers: _standardized(numbers, epsilon))


@overload
def masked_whiten(
    x: ArrayT, mask: AnyArray, *, shift_mean: bool = ..., epsilon: float = ..., ddof: int = ...
) -> ArrayT: ...


@overload
def masked_whiten(
    x: Sequence[Any], mask: AnyArray, *, shift_mean: bool = ..., epsilon: float = ..., ddof: int = ...
) -> Any: ...


@estimator
def masked_whiten(
    x: AnyArray, mask: AnyArray, *, shift_mean: bool = True, epsilon: float = 1e-8, ddof: int = 1
) -> AnyArray:
    """Return ``(x - mean) / sqrt(var + epsilon)`` over the elements where ``mask`` is set, and 0 elsewhere.

    As libraries of language-model training do it: over all tokens of a batch together, epsilon below the root, with
    the unbiased variance. `normalize` is what PPO does with environments.

    Args:
        x: numbers of any shape; NumPy, torch, paddle or JAX. Not read where ``mask`` is not set.
        mask: flags, shaped as ``x``.
        shift_mean: whether the mean is taken away; if not, elements are only scaled about it.
        epsilon: added to the variance.
        ddof: the variance divides by the number of elements less ``ddof``: 1 unbiased, 0 the population's.

    Returns:
        The same kind of array; float32 in, float32 out. Computed in float64. Elements that are all equal, and a single
        one, become 0, or their mean without ``shift_mean``.

    Raises:
        ValueError: ``mask`` is not shaped as ``x`` or holds something other than flags, or ``ddof`` is not 0 or 1.
    """
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, but is {ddof}")

    def whiten(numbers: Floats) -> Floats:
        if numbers.size == 0:
            return numbers
        mean = np.add.reduce(numbers, axis=None) / numbers.size
        centered = np.zeros_like(numbers) if _is_constant(numbers) else numbers - mean
        variance = np.add.reduce(centered * centered, axis=None) / max(1, numbers.size - ddof)
        whitened = centered / math.sqrt(variance + epsilon)
        return whitened if shift_mean else whitened + mean

    return _where_valid(x, mask, whiten)


def _where_valid(x: AnyArray, valid: AnyArray | None, function: Callable[[Floats], Floats]) -> AnyArray:
    """Apply a function to the valid elements; the others become 0."""
    framework = framework_of(x)
    array, precision = read_named("x", x, framework)
    numbers = array.astype(np.float64)
    mask = _mask(valid, numbers.shape)
    if mask is None:
        result = function(numbers)
    else:
        result = np.zeros_like(numbers)
        result[mask] = function(numbers[mask])
    return give_back(result, precision, x, framework)


def _standardized(x: Floats, epsilon: float) -> Floats:
    """Normalize numbers that are all valid; plain sums, because ``mean`` and ``std`` are several times slower."""
    if x.size == 0:
        return x
    mean = np.add.reduce(x, axis=None) / x.size
    centered = x - mean
    variance = np.add.reduce(centered * centered, axis=None) / x.size
    if variance <= (1e-12 * mean) ** 2 and _is_constant(x):  # else the rounding error of the mean would be amplified
        return np.zeros_like(x)
    standardized: Floats = centered / (math.sqrt(variance) + epsilon)
    return standardized


def explained_variance(values: AnyArray, returns: AnyArray, valid: AnyArray | None = None) -> float:
    """Return ``1 - Var(returns - values) / Var(returns)`` over the valid elements.

    1 is a perfect prediction, 0 is as good as a constant, and below 0 is worse than a constant. It is NaN if
    ``returns`` have no variance.

    Raises:
        ValueError: ``returns`` or ``valid`` is not shaped as ``values``, or ``valid`` holds something other than flags.
    """
    predicted = read_named("values", values, framework_of(values)).array.astype(np.float64)
    observed = read_named("returns", returns, framework_of(returns)).array.astype(np.float64)
    if observed.shape != predicted.shape:
        raise ValueError(f"returns has shape {observed.shape}, but shape {predicted.shape} is expected")
    mask = _mask(valid, predicted.shape)
    if mask is not None:
        predicted, observed = predicted[mask], observed[mask]
    if observed.size == 0 or _is_constant(observed):
        return math.nan
    return float(1.0 - np.var(observed - predicted) / np.var(observed))


def _is_constant(x: Floats) -> bool:
    """Tell whether all elements are equal; their computed variance need not be exactly 0."""
    return bool(x.min() == x.max())


def _mask(valid: AnyArray | None, shape: tuple[int, ...]) -> Bools | None:
    """Return ``valid`` as bool, or None where every element is valid."""
    if valid is None:
        return None
    mask = _flags("valid", valid, shape)
    return None if mask.all() else mask


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
        mask = _mask(valid, samples.shape[:1])
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
        mask = _mask(valid, samples.shape[:1])
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
        ended = _flags("terminated", terminated, shape) | _flags("truncated", truncated, shape)
        mask = _mask(valid, shape)
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


def _flags(name: str, x: AnyArray, shape: tuple[int, ...]) -> Bools:
    array = x if type(x) is np.ndarray else read_named(name, x, framework_of(x)).array
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but shape {shape} is expected")
    if array.dtype != np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} must hold flags (True and False, or 0 and 1)")
        array = np.equal(array, 1)
    return array


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
