"""Checks of somebody's normalization: whitening, running deviations, reward scaling, frozen statistics.

Each check draws from a seed, raises an ``AssertionError`` that shows an example and, where it is one, names the known
mistake; the mistakes themselves are in `MISTAKES`, as small wrong implementations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ppocore.typing import Array


class Mistake(NamedTuple):
    """A known mistake: which check it concerns, what is wrong, and an implementation that makes it."""

    check: str
    says: str
    function: Callable[..., Any]


MISTAKES: dict[str, Mistake] = {}


def _mistake(check: str, says: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        MISTAKES[_words(function.__name__)] = Mistake(check, says, function)
        return function

    return add


def _words(name: str) -> str:
    """``LikeThis`` and ``like_this`` to ``like this``."""
    apart = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return apart.replace("_", " ").strip()


def check_whitening(whiten: Callable[[Array, Array], Array], *, seed: int = 0) -> None:
    """Check ``whiten(x, mask)``: x (B, T) to mean 0 and deviation 1 over what the mask holds.

    The deviation may be the population's or the sample's.  Of one number, or of equal ones, all that is asked is that
    the result is finite.

    Raises:
        AssertionError: padding changes what is not padding, the moments are wrong, or something is not finite.
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
    """Check ``running_std(samples)``: the deviation that running statistics have after the samples (n,), one by one.

    The population's or the sample's for two and more; of a single sample any finite number that does not depend on it.

    Raises:
        AssertionError: it is neither, or that of one sample says something about it.
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
    """Check ``make(gamma)(rewards, terminated, truncated)``: rewards (N,) over the deviation of discounted returns.

    A return begins anew after an end of either kind.  Judged late in a run, to two percent, so that it does not matter
    how the running statistics began; rewards are small enough that no usual clipping changes them.

    Raises:
        AssertionError: it divides by something else.
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
    """Check ``make()``: an object with ``update(x)`` and ``normalize(x)``, x (B, n), of which only the first learns.

    Raises:
        AssertionError: normalizing changes how it normalizes.
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
        if mistake.check == check and _alike(check, mistake.function, candidate)
    ]
    shown = [np.array2string(np.asarray(x), precision=6) if not isinstance(x, str) else x for x in (expected, actual)]
    raise AssertionError(
        f"{check} is wrong on\n{example}\nexpected {shown[0]}\nactual   {shown[1]}\n"
        f"Known mistake: {'; or '.join(names) or 'none of the known ones'}"
    )


def _alike(check: str, known: Callable[..., Any], candidate: Callable[..., Any]) -> bool:
    """Whether two candidates of one check do the same on drawn data."""
    pairs = zip(_signature(check, known), _signature(check, candidate), strict=True)
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in pairs)


def _signature(check: str, candidate: Callable[..., Any]) -> list[Array]:
    """What a candidate gives on data that tells the mistakes of its check apart."""
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
            scale, given = candidate(0.99), []
            for t in range(400):
                ends = np.full(2, t % 10 == 9), np.full(2, t % 15 == 14)
                given.append(np.asarray(scale(rng.normal(1.0, 0.1, 2), *ends)))
            return given[200:]
        normalizer, given = candidate(), []
        normalizer.update(x)
        for _ in range(3):
            given.append(np.array(normalizer.normalize(2.0 * x)))
        return given


@_mistake("whitening", "mean and deviation are taken over the padding, too")
def padding_whitened_too(x: Array, mask: Array) -> Array:
    """Wrong: the mask is not read."""
    whitened: Array = (x - x.mean()) / (x.std() + 1e-8)
    return whitened


@_mistake("whitening", "the sample deviation of one number is 0 / 0")
def sample_deviation_of_one(x: Array, mask: Array) -> Array:
    """Wrong: ddof 1 with one sample."""
    with np.errstate(all="ignore"):
        divisor = np.sqrt(((x[mask] - x[mask].mean()) ** 2).sum() / (mask.sum() - 1.0))
        whitened: Array = (x - x[mask].mean()) / (divisor + 1e-8)
    return whitened


@_mistake("running std", "after one sample the deviation is the sample itself")
def first_deviation_is_the_sample(samples: Array) -> float:
    """Wrong: the first std."""
    return float(samples[0]) if len(samples) == 1 else float(samples.std())


@_mistake("reward scaling", "the discounted return goes on after a truncation")
def return_survives_truncation(gamma: float) -> Callable[[Array, Array, Array], Array]:
    """Wrong: cleared at terminations only."""
    return _scaler(gamma, clears_truncated=False, clears_terminated=True)


@_mistake("reward scaling", "the discounted return goes on after every end")
def return_never_begins_anew(gamma: float) -> Callable[[Array, Array, Array], Array]:
    """Wrong: never cleared."""
    return _scaler(gamma, clears_truncated=False, clears_terminated=False)


def _scaler(gamma: float, *, clears_truncated: bool, clears_terminated: bool) -> Callable[[Array, Array, Array], Array]:
    accumulated, sums = np.zeros(1), np.zeros(3)  # how many returns there were, their sum and that of their squares

    def scale(rewards: Array, terminated: Array, truncated: Array) -> Array:
        nonlocal accumulated, sums
        accumulated = gamma * accumulated + rewards
        sums = sums + np.array([accumulated.size, accumulated.sum(), np.square(accumulated).sum()])
        count, total, squares = sums
        scaled: Array = rewards / np.sqrt(squares / count - (total / count) ** 2 + 1e-8)
        ended = (terminated & clears_terminated) | (truncated & clears_truncated & ~terminated)
        accumulated = np.where(ended, 0.0, accumulated)
        return scaled

    return scale


@_mistake("frozen statistics", "normalizing updates the statistics, at evaluation as well")
class StatisticsUpdatedAtEvaluation:
    """Wrong: `normalize` learns."""

    def __init__(self) -> None:
        self._seen = np.zeros((0, 3))

    def update(self, x: Array) -> None:
        """Learn."""
        self._seen = np.concatenate([self._seen.reshape(-1, x.shape[1]), x])

    def normalize(self, x: Array) -> Array:
        """Normalize, and wrongly learn."""
        self.update(x)
        normalized: Array = (x - self._seen.mean(0)) / (self._seen.std(0) + 1e-8)
        return normalized
