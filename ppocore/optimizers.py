"""Define the optimizer for all backends: its step, Adam, and its state as a dict of arrays.

After the gradient, every backend must perform the same elementwise operations in the same order. They are therefore
written once, with operators that every array library has. `Adam` is the only optimizer; another one would be a class
with the same members.

Each array of the state has a canonical name: a weight has its own, and its moments are ``adam.m.<name>`` and
``adam.v.<name>`` (all float32). ``adam.step`` (int64) is the number of optimizer steps, and ``adam.held`` (int64),
which is present only if it is not 0, is the number of steps in which the actor was frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log2, sqrt
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppocore.errors import NonFiniteError, UsageError

Array = NDArray[Any]
Pair = tuple[float, float]
"""A number for the critic's weights and one for all others."""

ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class OptimizerStep:
    """Configure one optimizer step.

    Attributes:
        learning_rate: Adam's step size.
        max_grad_norm: the gradient is multiplied by ``min(1, max_grad_norm / norm)``; None for no clipping.
        critic_learning_rate: the step size of the weights named ``critic.*``; None for ``learning_rate``.
        separate: whether the actor and the critic (``critic.*``) have separate optimizers, so that each one's gradient
            is clipped by its own norm.
        freeze_actor: whether only the critic's optimizer takes the step; all other weights, their moments and their
            step count do not change.
    """

    learning_rate: float
    max_grad_norm: float | None = None
    critic_learning_rate: float | None = None
    separate: bool = False
    freeze_actor: bool = False


def gradient_grid(adam_epsilon: float) -> float:
    """Return the number that rounds an element of the gradient to a multiple of ``g`` if it is added and subtracted.

    ``g`` is the largest power of two that is at most 1/128 of Adam's epsilon, so the rounding error is too small to
    move a weight. Sums over a minibatch differ between frameworks by about 1e-16 of their largest term, however much
    of it cancels; rounding to an absolute grid removes these differences. All later operations are additions,
    products, quotients and roots of single elements, which IEEE 754 defines to the bit.
    """
    return 1.5 * 2.0 ** (52 + floor(log2(adam_epsilon / 128.0)))


def clip_factors(step: OptimizerStep, norms: Pair) -> Pair:
    """Return the factors that clip the norm of the critic's gradient and that of all others."""
    limit = step.max_grad_norm

    def factor(norm: float) -> float:
        return 1.0 if limit is None or norm <= limit else limit / float(np.float32(norm))

    return factor(norms[0]), factor(norms[1])


def norms_apart(gradient: Array, critic: NDArray[np.bool_]) -> Pair:
    """Return the norm of the critic's part of a flat gradient and that of the rest."""
    parts = gradient[critic], gradient[~critic]
    return sqrt(float(parts[0].dot(parts[0]))), sqrt(float(parts[1].dot(parts[1])))


def per_element(pair: Pair, critic: NDArray[np.bool_], dtype: Any) -> float | Array:
    """Expand a pair to one number per element, or return a single number if both are equal."""
    return pair[0] if pair[0] == pair[1] else np.where(critic, *pair).astype(dtype)


class Adam:
    """Implement algorithm 1 of arXiv:1412.6980, with epsilon added to the bias-corrected root.

    A framework's own Adam would not do: each fuses and orders its operations differently, or stores the learning rate
    in float32.

    Args:
        epsilon: added to the root of the second moment.
    """

    name: ClassVar[str] = "adam"
    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def factors(self, step: OptimizerStep, count: int, frozen_steps: int) -> tuple[Pair, ...]:
        """Return the bias-corrected factors of the root of the second moment and of the step.

        Args:
            step: the learning rates.
            count: number of optimizer steps, including this one.
            frozen_steps: number of these steps in which the actor was frozen, including this one.
        """
        beta1, beta2 = ADAM_BETAS
        # An actor that has never moved has no bias to correct, and does not move now.
        counts = count, max(1, count - frozen_steps)
        critic_rate = step.learning_rate if step.critic_learning_rate is None else step.critic_learning_rate
        scales = [1.0 / sqrt(1.0 - beta2**n) for n in counts]
        rates = [r / (1.0 - beta1**n) for r, n in zip((critic_rate, step.learning_rate), counts, strict=True)]
        return (scales[0], scales[1]), (rates[0], rates[1])

    def step(self, xp: Any, weights: Any, slots: Sequence[Any], gradient: Any, factors: Sequence[Any]) -> list[Any]:
        """Return the weights and slots after a step; computed in place for mutable arrays, as is the gradient.

        Args:
            xp: the array library, for its ``sqrt``.
            weights: a flat array.
            slots: the moments of each weight, in the order of ``Adam.slots``.
            gradient: clipped and rounded; overwritten.
            factors: for each pair of `factors`, one number or one per element.
        """
        (m, v), (scale, rate), (beta1, beta2) = slots, factors, ADAM_BETAS
        m *= beta1
        m += gradient * (1.0 - beta1)
        v *= beta2
        gradient *= gradient
        gradient *= 1.0 - beta2
        v += gradient
        root = xp.sqrt(v)
        root *= scale
        root += self.epsilon
        moved = m / root
        moved *= rate
        weights -= moved
        return [weights, m, v]


def stepped(
    xp: Any, optimizer: Adam, grid: float | None, tensors: Sequence[Any], gradient: Any, clip: Any,
    factors: Sequence[Any], only: Any,
) -> list[Any]:  # fmt: skip
    """Return the weights and slots after one step with a gradient, in place where they can be.

    Args:
        xp: the library of the arrays: ``sqrt``, ``copy``, ``where``, and ``rounded``, to float32 and back.
        optimizer: makes the step.
        grid: what rounds the gradient in exact mode, which keeps float32; None in float32 mode.
        tensors: the weights and each slot, flat.
        gradient: as it is, flat; it may be overwritten.
        clip: what the gradient is multiplied by.
        factors: the optimizer's.
        only: which elements move; None for all.
    """
    if not isinstance(clip, float) or clip != 1.0:
        gradient *= clip
    if grid is not None:
        gradient += grid
        gradient -= grid
    before = tensors if only is None else [xp.copy(tensor) for tensor in tensors]
    weights, *slots = tensors
    after = optimizer.step(xp, weights, slots, gradient, factors)
    if only is not None:
        after = [xp.where(only, *pair) for pair in zip(after, before, strict=True)]
    return after if grid is None else [xp.rounded(tensor) for tensor in after]


class OptimizerState(NamedTuple):
    """Hold the weights and slots by weight name, the step count, and the number of steps with a frozen actor."""

    weights: dict[str, Array]
    slots: tuple[dict[str, Array], ...]
    step: int
    frozen_steps: int = 0


def to_state(optimizer: Adam, values: OptimizerState) -> dict[str, Array]:
    """Return a backend's state under its canonical names."""
    prefix = optimizer.name
    state = dict(values.weights)
    for slot, arrays in zip(optimizer.slots, values.slots, strict=True):
        state |= {f"{prefix}.{slot}.{name}": array for name, array in arrays.items()}
    state[f"{prefix}.step"] = np.array(values.step, np.int64)
    if values.frozen_steps:
        state[f"{prefix}.held"] = np.array(values.frozen_steps, np.int64)
    return state


def from_state(optimizer: Adam, state: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> OptimizerState:
    """Invert `to_state`, for weights of the given names and shapes.

    A state without a step count has only weights; the moments are then zero.

    Raises:
        UsageError: a tensor is missing or has another shape.
    """
    count = f"{optimizer.name}.step"
    prefixes = ["", *(f"{optimizer.name}.{slot}." for slot in optimizer.slots if count in state)]
    parts: list[dict[str, Array]] = []
    for prefix in prefixes:
        part = {}
        for name, shape in shapes.items():
            value = state.get(prefix + name)
            if value is None or value.shape != shape:
                found = "is missing" if value is None else f"has shape {value.shape}"
                raise UsageError(f"tensor {prefix + name!r} {found}, expected shape {shape}")
            part[name] = value
        parts.append(part)
    if count not in state:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return OptimizerState(parts[0], (zeros,) * len(optimizer.slots), 0)
    return OptimizerState(parts[0], tuple(parts[1:]), int(state[count]), int(state.get(f"{optimizer.name}.held", 0)))


def not_finite(step: int, tensors: Iterable[tuple[str, Array]]) -> NonFiniteError:
    """Return the error for an update whose loss or gradient is not finite.

    Args:
        step: the update, counted from 1.
        tensors: names and values in the order of computation; the error names the first that is not finite.
    """
    for name, tensor in tensors:
        if not np.isfinite(tensor).all():
            return NonFiniteError(f"{name} is not finite at update {step}: the update was not applied")
    return NonFiniteError(f"the loss or its gradient overflows at update {step}: the update was not applied")
