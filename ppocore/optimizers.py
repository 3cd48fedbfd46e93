"""The optimizer, once for every backend: how a step is made, Adam, and its state as a dict of arrays.

What follows the gradient must be the same operations on single elements, in the same order, on every backend; so it is
written once, in operators that every array library has. `Adam` is the one optimizer there is; another is a class with
the same members.

State has a canonical name for each array: a weight its own, its moments ``adam.m.<name>`` and ``adam.v.<name>`` (all
float32), the number of optimizer steps ``adam.step`` (int64), and where the actor was held at some of them, the number
of those ``adam.held``.
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
"""A number for the critic's weights, and one for the others."""

ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class OptimizerStep:
    """How one optimizer step is made.

    Attributes:
        learning_rate: Adam's step size.
        max_grad_norm: the gradient is multiplied by ``min(1, max_grad_norm / norm)``; None leaves it.
        critic_learning_rate: of the weights named ``critic.*``; None for the same.
        separate: the actor and the critic (``critic.*``) have an optimizer each: gradients are clipped by each
            one's own norm.
        hold_actor: make the step of the critic's optimizer alone; weights, moments and step count of the rest stay
            as they are.
    """

    learning_rate: float
    max_grad_norm: float | None = None
    critic_learning_rate: float | None = None
    separate: bool = False
    hold_actor: bool = False


def gradient_grid(adam_epsilon: float) -> float:
    """What exact mode adds to and takes from each element of the clipped gradient, which rounds it to a multiple of g.

    ``g`` is the power of two at or below 1/128 of Adam's epsilon: what is lost is too small to move a weight. Sums
    over a minibatch differ between frameworks by about 1e-16 of their largest term, whatever is left of them after
    cancellation; a grid in absolute terms is where those differences end. After it there are only additions,
    products, quotients and roots of single elements, which IEEE 754 defines to the bit.
    """
    return 1.5 * 2.0 ** (52 + floor(log2(adam_epsilon / 128.0)))


def clip_factors(step: OptimizerStep, norms: Pair) -> Pair:
    """What the gradients of the critic and of the rest are multiplied by to hold their norms to what is allowed."""
    limit = step.max_grad_norm

    def factor(norm: float) -> float:
        return 1.0 if limit is None or norm <= limit else limit / float(np.float32(norm))

    return factor(norms[0]), factor(norms[1])


def norms_apart(gradient: Array, critic: NDArray[np.bool_]) -> Pair:
    """The norms of the critic's part of a flat gradient and of the rest."""
    parts = gradient[critic], gradient[~critic]
    return sqrt(float(parts[0].dot(parts[0]))), sqrt(float(parts[1].dot(parts[1])))


def per_element(pair: Pair, critic: NDArray[np.bool_], dtype: Any) -> float | Array:
    """The number for each element, or the one number where it is the same for all."""
    return pair[0] if pair[0] == pair[1] else np.where(critic, *pair).astype(dtype)


class Adam:
    """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root.

    Not a framework's own, which fuses and orders its operations in a way of its own, or keeps its rate in float32.

    Args:
        epsilon: added to the root of the second moment.
    """

    name: ClassVar[str] = "adam"
    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def factors(self, step: OptimizerStep, count: int, held: int) -> tuple[Pair, ...]:
        """Bias corrections and learning rates: what the root is multiplied by, and then the step.

        Args:
            step: says which learning rates.
            count: optimizer steps made, this one included.
            held: at how many of them the actor was held, this one included.
        """
        beta1, beta2 = ADAM_BETAS
        # An actor that has never moved has no bias to correct, and does not move now.
        counts = count, max(1, count - held)
        critic_rate = step.learning_rate if step.critic_learning_rate is None else step.critic_learning_rate
        scales = [1.0 / sqrt(1.0 - beta2**n) for n in counts]
        rates = [r / (1.0 - beta1**n) for r, n in zip((critic_rate, step.learning_rate), counts, strict=True)]
        return (scales[0], scales[1]), (rates[0], rates[1])

    def step(self, xp: Any, weights: Any, slots: Sequence[Any], gradient: Any, factors: Sequence[Any]) -> list[Any]:
        """The weights and slots after a step, in place where the arrays can be; the gradient is overwritten too.

        Args:
            xp: the library of the arrays, for its ``sqrt``.
            weights: a flat array.
            slots: the moments of each weight, in the order of the names.
            gradient: clipped, and on the grid.
            factors: of each pair of `factors` a number, or one for each element.
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
    """Weights and an optimizer's slots by weight name, the steps made, and at how many the actor was held."""

    weights: dict[str, Array]
    slots: tuple[dict[str, Array], ...]
    step: int
    held: int = 0


def to_state(optimizer: Adam, made: OptimizerState) -> dict[str, Array]:
    """The state of a backend."""
    prefix = optimizer.name
    state = dict(made.weights)
    for slot, arrays in zip(optimizer.slots, made.slots, strict=True):
        state |= {f"{prefix}.{slot}.{name}": array for name, array in arrays.items()}
    state[f"{prefix}.step"] = np.array(made.step, np.int64)
    if made.held:
        state[f"{prefix}.held"] = np.array(made.held, np.int64)
    return state


def from_state(optimizer: Adam, state: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> OptimizerState:
    """The inverse, for weights of the given names and shapes.

    Without a number of steps the state is weights alone, and the moments are zero.

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
    """The error for an update whose loss or gradient is not finite.

    Args:
        step: the update, counted from 1.
        tensors: names and values in the order in which they were computed; the first bad one is named.
    """
    for name, tensor in tensors:
        if not np.isfinite(tensor).all():
            return NonFiniteError(f"{name} is not finite at update {step}: the update was not applied")
    return NonFiniteError(f"the loss or its gradient overflows at update {step}: the update was not applied")
