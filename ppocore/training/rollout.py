"""Define a rollout, and compute its values, log-ratios, divergences and minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

from ppocore.advantages import AdvantageEstimate
from ppocore.backend import Minibatch
from ppocore.distributions import Distribution
from ppocore.errors import RunError
from ppocore.networks import in_chunks
from ppocore.normalize import normalize
from ppocore.typing import Array


class Actor(Protocol):
    """Define the network that collecting and re-evaluating a rollout needs."""

    def policy(self, observations: Array) -> Array:
        """Compute distribution parameters (B, P); the next call may overwrite them."""

    def values(self, observations: Array) -> Array:
        """Compute values (B,), float32."""


class Rollout(NamedTuple):
    """Hold T steps of N environments, time-major.

    Floating-point arrays are float32, which makes runs exact (see docs/exact-runs.md), but observations may have any
    dtype and shape.

    ========================  =====================  =================================================================
    ``observations``          (T, N, *O)             as the policy saw them
    ``actions``               (T, N, *A)             as sampled, before they are clipped for the environment
    ``rewards``               (T, N)                 after scaling
    ``terminated``            (T, N) bool            the step reached a terminal state
    ``truncated``             (T, N) bool            the episode was cut off after the step
    ``valid``                 (T, N) bool            False if the step only reset its environment
    ``parameters``            (T, N, P)              of the distribution that acted, before masks
    ``log_probs``             (T, N)                 of the actions under the policy that acted
    ``values``                (T, N)                 of the observations, by the network that acted
    ``next_values``           (T, N)                 of each step's true successor, by the network that acted
    ``last_observations``     (N, *O)                that follow the last row
    ``final_observations``    (K, *O)                true successors that are not the next row's observation, because
                                                     an episode ended and its environment was reset
    ``final_index``           (K, 2) integers        row and environment of the step before each of them
    ``masks``                 (T, N, M) bool         the allowed actions; None if all actions were always allowed
    ========================  =====================  =================================================================
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    parameters: Array
    log_probs: Array
    values: Array
    next_values: Array
    last_observations: Array
    final_observations: Array
    final_index: Array
    masks: Array | None = None

    @property
    def num_valid(self) -> int:
        """The number of valid steps, at most T * N."""
        return int(np.count_nonzero(self.valid))


def check_rollout(rollout: Rollout, num_steps: int, num_envs: int) -> None:
    """Check that the arrays of a rollout have consistent shapes, and that it has a valid step.

    Raises:
        RunError: an array of another shape, or no valid step.
    """
    observation, count = rollout.observations.shape[2:], len(rollout.final_observations)
    others = {
        "last_observations": (num_envs, *observation),
        "final_observations": (count, *observation),
        "final_index": (count, 2),
    }
    for name, array in rollout._asdict().items():
        if array is None:
            continue
        expected = others.get(name, (num_steps, num_envs))
        found = array.shape if name in others else array.shape[:2]
        if found != expected:
            raise RunError(f"the collector returned {name} of shape {array.shape}, expected {expected}")
    if not rollout.valid.any():  # the run would never end
        raise RunError("the collector returned a rollout without a valid step")


def evaluate(rollout: Rollout, actor: Actor) -> tuple[Array, Array]:
    """Compute the values of the rollout's observations and of each step's true successor, (T, N) each."""
    steps, envs = rollout.rewards.shape
    parts = [_rows(rollout.observations), rollout.last_observations, rollout.final_observations]
    found = actor.values(np.concatenate(parts))
    next_values = found[envs : (steps + 1) * envs].reshape(steps, envs).copy()
    next_values[rollout.final_index[:, 0], rollout.final_index[:, 1]] = found[(steps + 1) * envs :]
    return found[: steps * envs].reshape(steps, envs), next_values


def log_probs(rollout: Rollout, parameters: Array, distribution: Distribution) -> Array:
    """Compute the log-probabilities (T, N) of the rollout's actions under distribution parameters (T * N, P)."""
    masked = _masked(rollout, parameters, distribution)
    found, _, _ = distribution.evaluate(masked, _rows(rollout.actions))
    shaped: Array = found.reshape(rollout.rewards.shape)
    return shaped


def log_ratios(rollout: Rollout, actor: Actor, distribution: Distribution) -> Array:
    """Compute the change of the log-probabilities of the rollout's actions, (T, N), float32."""
    new = log_probs(rollout, _parameters(rollout, actor), distribution)
    return new.astype(np.float32) - rollout.log_probs


def divergence(rollout: Rollout, actor: Actor, distribution: Distribution) -> float:
    """Compute the mean KL(policy that acted || ``actor``'s policy) over the valid steps, rounded to float32."""
    new = _masked(rollout, _parameters(rollout, actor), distribution)
    old = _masked(rollout, _rows(rollout.parameters), distribution)
    kl, _ = distribution.divergence(old.astype(new.dtype), new)
    return float(np.float32(kl[rollout.valid.ravel()].mean()))


def minibatches(
    rollout: Rollout,
    estimates: AdvantageEstimate[Array],
    size: int,
    rng: np.random.Generator,
    *,
    epochs: int = 1,
    normalize_advantages: bool = True,
    advantage_scope: str = "minibatch",
    with_parameters: bool = False,
    reestimate: Callable[[], AdvantageEstimate[Array]] | None = None,
    dtype: Any = np.float64,
) -> Iterator[Minibatch]:
    """Draw shuffled minibatches of the valid steps, each step once per epoch (37 details, core 6).

    An epoch is split into the smallest number of minibatches with at most ``size`` samples, of nearly equal size, so
    that no minibatch is a small remainder. Each minibatch is a view that the next epoch overwrites.

    Args:
        rollout: the rollout, which is not changed.
        estimates: its advantages and returns, (T, N) each.
        size: maximum number of samples in one minibatch.
        rng: draws one permutation per epoch.
        epochs: passes over the rollout.
        normalize_advantages: whether to normalize advantages and round them to float32 (core 7).
        advantage_scope: where to normalize them: in each ``minibatch``, or over the ``rollout``.
        with_parameters: whether minibatches have ``old_parameters``.
        reestimate: returns new advantages and returns at the start of every epoch except the first.
        dtype: dtype of the floating-point arrays.
    """
    rows = np.flatnonzero(rollout.valid)
    count = len(rows)
    over_rollout = normalize_advantages and advantage_scope == "rollout"

    def flat(array: Array) -> Array:
        return _flat(array, rows, dtype)

    def flat_estimates(estimates: AdvantageEstimate[Array]) -> list[Array]:
        advantages, returns = flat(estimates.advantages), flat(estimates.returns)
        return [_normalized(advantages) if over_rollout else advantages, returns]

    sources = [
        *(flat(array) for array in (rollout.observations, rollout.actions, rollout.log_probs)),
        *flat_estimates(estimates),
        flat(rollout.values),
    ]
    names = list(Minibatch._fields[: len(sources)])
    if rollout.masks is not None:
        names.append("masks")
        sources.append(flat(rollout.masks))
    if with_parameters:
        names.append("old_parameters")
        sources.append(flat(rollout.parameters))
    shuffled = [np.empty_like(source) for source in sources]
    parts = -(-count // size)
    edges = [count * k // parts for k in range(parts + 1)] if parts else [0]
    for epoch in range(epochs):
        if epoch and reestimate is not None:
            sources[3:5] = flat_estimates(reestimate())
        order = rng.permutation(count)
        for source, target in zip(sources, shuffled, strict=True):
            np.take(source, order, axis=0, out=target, mode="clip")  # "raise" would buffer the output
        for start, stop in pairwise(edges):
            batch = Minibatch(**{n: a[start:stop] for n, a in zip(names, shuffled, strict=True)})
            if normalize_advantages and not over_rollout:
                batch = batch._replace(advantages=_normalized(batch.advantages))
            yield batch


def _masked(rollout: Rollout, parameters: Array, distribution: Distribution) -> Array:
    """Apply the rollout's masks to parameters (T * N, P)."""
    return parameters if rollout.masks is None else distribution.apply_masks(parameters, _rows(rollout.masks))


def _parameters(rollout: Rollout, actor: Actor) -> Array:
    """Compute the parameters (T * N, P) of the rollout's observations."""
    return in_chunks(actor.policy, _rows(rollout.observations))


def _rows(array: Array) -> Array:
    """Reshape ``array`` (T, N, ...) to (T * N, ...)."""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _normalized(advantages: Array) -> Array:
    """Normalize advantages and round them to float32, without a change of dtype."""
    normalized: Array = normalize(advantages).astype(np.float32).astype(advantages.dtype)
    return normalized


def _flat(array: Array, rows: Array, dtype: Any) -> Array:
    """Copy the chosen rows of ``array`` (T, N, ...) to (rows, ...), and convert floating-point numbers to ``dtype``."""
    flat = _rows(array)
    flat = flat if len(rows) == len(flat) else flat[rows]
    return flat.astype(dtype if array.dtype.kind == "f" else array.dtype)
