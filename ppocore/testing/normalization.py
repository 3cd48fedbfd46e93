"""Check normalization: whitening, running standard deviations, reward scaling and frozen statistics.

Each check draws data from a seed and raises an ``AssertionError`` with an example, which names the known mistakes that
give the same numbers. `MISTAKES` lists them as small wrong implementations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ppocore.typing import Array


class Mistake(NamedTuple):
    """Describe a known mistake.

    Attributes:
        check: name of the check that finds it.
        says: what is wrong, as a clause.
        function: an implementation that makes the mistake.
    """

    check: str
    says: str
    function: Callable[..., Any]


MISTAKES: dict[str, Mistake] = {}


def _mistake(check: str, says: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        MISTAKES[_to_words(function.__name__)] = Mistake(check, says, function)
        return function

    return add


def _to_words(name: str) -> str:
    """Convert ``CamelCase`` and ``snake_case`` names to words."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return spaced.replace("_", " ").strip()


def check_whitening(whiten: Callable[[Array, Array], Array], *, seed: int = 0) -> None:
    """Check whitening: mean 0 and standard deviation 1 over the masked entries.

    The standard deviation may be the population's or the sample's. For one number, or equal numbers, the result only
    has to be finite.

    Args:
        whiten: function ``whiten(x, mask)`` of x (B, T) and a mask (B, T) that is False in the padding.
        seed: seed of the data.

    Raises:
        AssertionError: the padding changes the result, or the moments are wrong, or a number is not finite.
    """
    rng = np.random.default_rng(seed)
    for trial in range(40):
        shape = (int(rng.integers(1, 5)), int(rng.integers(1, 7)))
        x = rng.normal(3.0, 2.0, shape).round(2)
        lengths = np.ones(shape[0], int) if trial % 8 == 0 else rng.integers(1, shape[1] + 1, shape[0])
        mask = np.arange(shape[1]) < lengths[:, None]
        if trial % 8 == 4:
            mask[...] = False
            mask[0, 0] = True
        found = np.asarray(whiten(x.copy(), mask.copy()))
        kept = found[mask]
        example = f"x = np.array({x.tolist()})\nmask = np.array({mask.tolist()})"
        mean, spread, count = x[mask].mean(), x[mask].std(), int(mask.sum())
        if not np.isfinite(kept).all():
            _fail("whitening", whiten, example, f"finite numbers, {count} of them", kept)
        if count > 1 and spread > 1e-6:
            for ddof in (0, 1):
                expected = (x[mask] - mean) / x[mask].std(ddof=ddof)
                if np.allclose(kept, expected, rtol=1e-3, atol=1e-3):
                    break
            else:
                _fail("whitening", whiten, example, (x[mask] - mean) / spread, kept)


def check_running_std(running_std: Callable[[Array], float], *, seed: int = 0) -> None:
    """Check a running standard deviation.

    It may be the population's or the sample's. For one sample it may be any finite number that does not depend on the
    sample.

    Args:
        running_std: function ``running_std(samples)`` that returns the standard deviation after updates with samples
            (n,) one by one.
        seed: seed of the data.

    Raises:
        AssertionError: it is neither, or for one sample it depends on the sample.
    """
    rng = np.random.default_rng(seed)
    single = [float(running_std(np.array([x]))) for x in (2.0, 5.0)]
    if not np.isfinite(single).all() or abs(single[0] - single[1]) > 1e-3:
        _fail("running std", running_std, "samples = np.array([5.0])", f"{single[0]:g}, as of [2.0]", single[1])
    for _ in range(20):
        samples = rng.normal(4.0, 2.0, int(rng.integers(30, 60))).round(2)
        found = float(running_std(samples.copy()))
        if not any(abs(found - samples.std(ddof=ddof)) < 1e-2 * samples.std() for ddof in (0, 1)):
            _fail("running std", running_std, f"samples = np.array({samples.tolist()})", samples.std(), found)


def check_reward_scaling(make: Callable[[float], Callable[[Array, Array, Array], Array]], *, seed: int = 0) -> None:
    """Check reward scaling: rewards divided by the running standard deviation of discounted returns.

    The return starts again from 0 after a termination or a truncation. Scaled rewards are compared late in a run, to
    two percent, so that the initial statistics do not matter, and they are too small for the usual clipping.

    Args:
        make: function ``make(gamma)`` that returns a function ``scale(rewards, terminated, truncated)`` of arrays (N,).
        seed: seed of the data.

    Raises:
        AssertionError: the rewards are divided by another number.
    """
    rng = np.random.default_rng(seed)
    for kind in ("none", "terminated", "truncated", "both"):
        gamma, scale = 0.99, make(0.99)
        accumulated, seen = np.zeros(2), []
        rewards = found = np.zeros(2)
        for t in range(3000):
            rewards = rng.normal(1.0, 0.1, 2)
            flags = {name: np.full(2, kind in (name, "both") and t % 10 == 9) for name in ("terminated", "truncated")}
            accumulated = gamma * accumulated + rewards
            seen.append(accumulated.copy())
            found = np.asarray(scale(rewards.copy(), flags["terminated"].copy(), flags["truncated"].copy()))
            accumulated[flags["terminated"] | flags["truncated"]] = 0.0
        expected = rewards / np.std(seen)
        if not np.allclose(found, expected, rtol=0.02):
            example = f"3000 steps of rewards near 1 with gamma 0.99 and an end ({kind}) every ten steps"
            _fail("reward scaling", make, example, expected, found)


def check_frozen_statistics(make: Callable[[], Any], *, seed: int = 0) -> None:
    """Check that normalizing does not update the statistics.

    Args:
        make: function ``make()`` that returns an object with methods ``update(x)`` and ``normalize(x)``, with x (B, n).
        seed: seed of the data.

    Raises:
        AssertionError: A call of ``normalize`` changes the result of the next one.
    """
    rng = np.random.default_rng(seed)
    normalizer = make()
    normalizer.update(rng.normal(1.0, 2.0, (50, 3)))
    x, far = rng.normal(1.0, 2.0, (4, 3)), rng.normal(100.0, 50.0, (200, 3))
    before = np.array(normalizer.normalize(x.copy()))
    normalizer.normalize(far)
    after = np.asarray(normalizer.normalize(x.copy()))
    if not np.allclose(before, after, rtol=1e-6):
        example = f"x = np.array({x.tolist()}), normalized again after other data was normalized"
        _fail("frozen statistics", make, example, before, after)


def _fail(check: str, candidate: Callable[..., Any], example: str, expected: Any, actual: Any) -> None:
    names = [
        f"{name} ({mistake.says})"
        for name, mistake in MISTAKES.items()
        if mistake.check == check and _agree(check, mistake.function, candidate)
    ]
    shown = [np.array2string(np.asarray(x), precision=6) if not isinstance(x, str) else x for x in (expected, actual)]
    raise AssertionError(
        f"{check} is wrong on\n{example}\nexpected {shown[0]}\nactual   {shown[1]}\n"
        f"Known mistake: {'; or '.join(names) or 'none of the known ones'}"
    )


def _agree(check: str, known: Callable[..., Any], candidate: Callable[..., Any]) -> bool:
    """Tell whether two implementations give the same results on random data."""
    pairs = zip(_results(check, known), _results(check, candidate), strict=True)
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in pairs)


def _results(check: str, candidate: Callable[..., Any]) -> list[Array]:
    """Return an implementation's results on data on which the known mistakes differ."""
    rng = np.random.default_rng(7)
    x = rng.normal(3.0, 2.0, (3, 5))
    with np.errstate(all="ignore"):
        if check == "whitening":
            mask = np.arange(5) < np.array([[5], [2], [3]])
            one = np.arange(15).reshape(3, 5) == 0
            return [np.asarray(candidate(x.copy(), m))[m] for m in (mask, one)]
        if check == "running std":
            return [
                np.asarray(candidate(samples)) for samples in (np.array([5.0]), np.array([2.0]), rng.normal(size=50))
            ]
        if check == "reward scaling":
            scale, results = candidate(0.99), []
            for t in range(400):
                ends = np.full(2, t % 10 == 9), np.full(2, t % 15 == 14)
                results.append(np.asarray(scale(rng.normal(1.0, 0.1, 2), *ends)))
            return results[200:]
        normalizer, results = candidate(), []
        normalizer.update(x)
        for _ in range(3):
            results.append(np.array(normalizer.normalize(2.0 * x)))
        return results


@_mistake("whitening", "mean and deviation are taken over the padding, too")
def padding_whitened_too(x: Array, mask: Array) -> Array:
    """Whiten, without reading the mask."""
    whitened: Array = (x - x.mean()) / (x.std() + 1e-8)
    return whitened


@_mistake("whitening", "the sample deviation of one number is 0 / 0")
def sample_deviation_of_one(x: Array, mask: Array) -> Array:
    """Whiten, dividing by zero for one sample (``ddof=1``)."""
    with np.errstate(all="ignore"):
        divisor = np.sqrt(((x[mask] - x[mask].mean()) ** 2).sum() / (mask.sum() - 1.0))
        whitened: Array = (x - x[mask].mean()) / (divisor + 1e-8)
    return whitened


@_mistake("running std", "after one sample the deviation is the sample itself")
def first_deviation_is_the_sample(samples: Array) -> float:
    """Return the standard deviation, but for one sample the sample."""
    return float(samples[0]) if len(samples) == 1 else float(samples.std())


@_mistake("reward scaling", "the discounted return goes on after a truncation")
def return_survives_truncation(gamma: float) -> Callable[[Array, Array, Array], Array]:
    """Scale rewards, with a return that is reset at terminations only."""
    return _scaler(gamma, resets_truncated=False, resets_terminated=True)


@_mistake("reward scaling", "the discounted return goes on after every end")
def return_never_begins_anew(gamma: float) -> Callable[[Array, Array, Array], Array]:
    """Scale rewards, with a return that is never reset."""
    return _scaler(gamma, resets_truncated=False, resets_terminated=False)


def _scaler(gamma: float, *, resets_truncated: bool, resets_terminated: bool) -> Callable[[Array, Array, Array], Array]:
    accumulated, sums = np.zeros(1), np.zeros(3)  # count, sum and sum of squares of the returns

    def scale(rewards: Array, terminated: Array, truncated: Array) -> Array:
        nonlocal accumulated, sums
        accumulated = gamma * accumulated + rewards
        sums = sums + np.array([accumulated.size, accumulated.sum(), np.square(accumulated).sum()])
        count, total, squares = sums
        scaled: Array = rewards / np.sqrt(squares / count - (total / count) ** 2 + 1e-8)
        ended = (terminated & resets_terminated) | (truncated & resets_truncated & ~terminated)
        accumulated = np.where(ended, 0.0, accumulated)
        return scaled

    return scale


@_mistake("frozen statistics", "normalizing updates the statistics, at evaluation as well")
class StatisticsUpdatedAtEvaluation:
    """Normalize, updating the statistics in ``normalize`` as well."""

    def __init__(self) -> None:
        self._samples = np.zeros((0, 3))

    def update(self, x: Array) -> None:
        """Update the statistics."""
        self._samples = np.concatenate([self._samples.reshape(-1, x.shape[1]), x])

    def normalize(self, x: Array) -> Array:
        """Normalize, and wrongly update the statistics."""
        self.update(x)
        normalized: Array = (x - self._samples.mean(0)) / (self._samples.std(0) + 1e-8)
        return normalized
