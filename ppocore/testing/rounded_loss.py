"""The network, the loss and its gradient in numbers that know their rounding: the scale of every comparison.

The formulas are those of `ppocore.backend.Objective` and `ppocore.distributions`; a new kind of action needs an
entry in `KINDS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import LOG_RATIO_LIMIT, Minibatch, Objective
from ppocore.networks import NetworkSpec

from .rounding import Rounded, as_rounded, concatenate, maximum, minimum

Array = NDArray[Any]
Pullback = Callable[[Rounded, Rounded], Rounded]
"""Gradients of (log_prob, entropy), (B,) each, to that of the distribution's parameters (B, P)."""


class RoundedLoss(NamedTuple):
    """Everything that a backend can be asked for, with its doubt; (B,) or scalars, gradients by weight name."""

    parameters: Rounded
    value: Rounded
    log_prob: Rounded
    log_ratio: Rounded
    ratio: Rounded
    entropy: Rounded
    policy_loss: Rounded
    value_loss: Rounded
    loss: Rounded
    gradients: dict[str, Rounded]
    stats: dict[str, Rounded]


def rounded_loss(
    spec: NetworkSpec, weights: Mapping[str, Array], batch: Minibatch, objective: Objective, arithmetic: np.finfo[Any]
) -> RoundedLoss:
    """Compute the loss with the doubt of every part of it.

    Args:
        spec: the network.
        weights: by canonical name.
        batch: B samples.
        objective: the loss.
        arithmetic: the one that is judged: its epsilon decides what is near a kink, and it says what underflows.
    """
    epsilon = float(arithmetic.eps)
    underflow = float(arithmetic.tiny) / epsilon
    network = _Network(spec, weights, epsilon)
    parameters, value = network.forward(Rounded(batch.observations))
    log_prob, entropy, pullback = KINDS[spec.action_kind](parameters, batch.actions, underflow)
    count, clip = len(batch.advantages), objective.clip_range

    moved = log_prob - batch.log_probs
    log_ratio = moved.clip(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, epsilon)
    ratio = log_ratio.exp()
    surrogate = ratio * batch.advantages
    clipped = ratio.clip(1.0 - clip, 1.0 + clip, epsilon) * batch.advantages
    policy_loss = -minimum(surrogate, clipped).mean()
    at_an_edge = ratio.near(1.0 - clip, epsilon) | ratio.near(1.0 + clip, epsilon)
    at_the_clamp = moved.near(LOG_RATIO_LIMIT, epsilon) | moved.near(-LOG_RATIO_LIMIT, epsilon)
    flows = (surrogate.value <= clipped.value) & (log_ratio.value == moved.value)
    d_log_prob = (surrogate * (-1.0 / count)).where(flows, epsilon, undecided=at_an_edge | at_the_clamp)

    squared_error, error = _value_error(value, batch, objective.value_clip_range, epsilon)
    value_loss = 0.5 * squared_error.mean()
    d_value = error * (objective.value_coef / count)

    mean_entropy = entropy.mean()
    loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
    d_entropy = Rounded(np.full(count, -objective.entropy_coef / count))
    gradients = network.backward(pullback(d_log_prob, d_entropy), d_value)

    old_approx_kl = -log_ratio.mean()
    outside = np.abs(ratio.value - 1.0) > clip
    squares = [(gradient * gradient).sum() for gradient in gradients.values()]
    stats = {
        "loss": loss,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": mean_entropy,
        "old_approx_kl": old_approx_kl,
        "approx_kl": (ratio - 1.0).mean() + old_approx_kl,
        "clip_fraction": Rounded(np.ones(count)).where(outside, epsilon, undecided=at_an_edge).mean(),
        "grad_norm": sum(squares, Rounded(0.0)).sqrt(),
    }
    return RoundedLoss(
        parameters, value, log_prob, log_ratio, ratio, entropy, policy_loss, value_loss, loss, gradients, stats
    )


def _value_error(value: Rounded, batch: Minibatch, limit: float | None, epsilon: float) -> tuple[Rounded, Rounded]:
    """The squared error of each sample, and the error that flows back."""
    error = value - batch.returns
    if limit is None:
        return error * error, error
    moved = value - batch.values
    clipped_error = batch.values + moved.clip(-limit, limit, epsilon) - batch.returns
    outside = np.abs(moved.value) > limit
    excess = clipped_error * clipped_error - error * error
    edge = moved.near(limit, epsilon) | moved.near(-limit, epsilon)
    flows = ~(outside & (excess.value > 0.0))
    # Inside the range the clipped error is the error, computed in more steps: either may be what flows.
    either = Rounded(error.value, np.where(outside, error.doubt, np.maximum(error.doubt, clipped_error.doubt)))
    flowing = either.where(flows, epsilon, undecided=edge | (outside & excess.near(0.0, epsilon)))
    return maximum(error * error, clipped_error * clipped_error), flowing


class _Network:
    """The passes of a `NetworkSpec`'s network, layer by layer."""

    def __init__(self, spec: NetworkSpec, weights: Mapping[str, Array], epsilon: float) -> None:
        self._spec, self._epsilon = spec, epsilon
        self._weights = {name: weight.astype(np.float64) for name, weight in weights.items()}

    def forward(self, observations: Rounded) -> tuple[Rounded, Rounded]:
        """Distribution parameters (B, P) and values (B,)."""
        self._layers = {trunk: [observations] for trunk in self._spec.trunks}
        for trunk, layers in self._layers.items():
            for i in range(len(self._spec.hidden_sizes)):
                z = self._linear(layers[-1], f"{trunk}.hidden.{i}")
                layers.append(z.tanh() if self._spec.activation == "tanh" else z.relu(self._epsilon))
        outputs = [self._linear(self._features(head), f"{head}.output") for head in ("actor", "critic")]
        parameters, values = outputs
        if self._spec.action_kind == "gaussian":
            log_std = np.broadcast_to(self._weights["log_std"], parameters.value.shape)
            parameters = concatenate(parameters, Rounded(log_std))
        return parameters, values[:, 0]

    def backward(self, d_parameters: Rounded, d_values: Rounded) -> dict[str, Rounded]:
        """The gradient of every weight, in canonical order."""
        found: dict[str, Rounded] = {}
        size = self._spec.output_size
        d_features: dict[str, Rounded] = {}
        for head, d_output in (("actor", d_parameters[:, :size]), ("critic", d_values[:, None])):
            self._linear_backward(f"{head}.output", self._features(head), d_output, found)
            trunk = self._trunk(head)
            d_below = d_output @ self._weights[f"{head}.output.weight"].T
            d_features[trunk] = d_features[trunk] + d_below if trunk in d_features else d_below
        if self._spec.action_kind == "gaussian":
            found["log_std"] = d_parameters[:, size:].sum(0)
        for trunk, layers in self._layers.items():
            d_h = d_features[trunk]
            for i in reversed(range(len(self._spec.hidden_sizes))):
                d_z = self._through_activation(d_h, layers[i + 1], f"{trunk}.hidden.{i}", layers[i])
                self._linear_backward(f"{trunk}.hidden.{i}", layers[i], d_z, found)
                d_h = d_z @ self._weights[f"{trunk}.hidden.{i}.weight"].T
        return {name: found[name] for name in self._spec.shapes()}

    def _through_activation(self, d_h: Rounded, h: Rounded, name: str, below: Rounded) -> Rounded:
        if self._spec.activation == "tanh":
            return d_h * (1.0 - h * h)
        z = self._linear(below, name)
        return d_h.where(z.value > 0.0, self._epsilon, undecided=z.near(0.0, self._epsilon))

    def _linear(self, x: Rounded, name: str) -> Rounded:
        return x @ self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _linear_backward(self, name: str, x: Rounded, d_output: Rounded, found: dict[str, Rounded]) -> None:
        found[f"{name}.weight"] = x.T @ d_output
        found[f"{name}.bias"] = d_output.sum(0)

    def _trunk(self, head: str) -> str:
        return "trunk" if self._spec.shared_trunk else head

    def _features(self, head: str) -> Rounded:
        return self._layers[self._trunk(head)][-1]


def _categorical(logits: Rounded, actions: Array, underflow: float) -> tuple[Rounded, Rounded, Pullback]:
    shifted: Rounded = logits - logits.value.max(axis=1, keepdims=True)  # any constant will do: it has no doubt
    log_p = shifted - shifted.exp(underflow).sum(1, keepdims=True).log()
    p = log_p.exp(underflow)
    rows = np.arange(len(actions))
    chosen = np.zeros(p.value.shape)
    chosen[rows, actions] = 1.0

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        d_log_p = d_log_prob[:, None] * chosen - p * (log_p + 1.0) * d_entropy[:, None]
        return d_log_p - p * d_log_p.sum(1, keepdims=True)

    return log_p[rows, actions], -(p * log_p).sum(1), pullback


def _gaussian(parameters: Rounded, actions: Array, underflow: float) -> tuple[Rounded, Rounded, Pullback]:
    size = actions.shape[1]
    mean, std = parameters[:, :size], parameters[:, size:].exp(underflow)
    inverse_std = (-parameters[:, size:]).exp(underflow)
    z = (actions - mean) * inverse_std
    total = std.log().sum(1)
    half_log_2pi = as_rounded(0.5 * math.log(2.0 * math.pi)) * size

    def pullback(d_log_prob: Rounded, d_entropy: Rounded) -> Rounded:
        d_mean = d_log_prob[:, None] * z * inverse_std
        d_log_std = d_log_prob[:, None] * (z * z - 1.0) + d_entropy[:, None]
        return concatenate(d_mean, d_log_std)

    return -0.5 * (z * z).sum(1) - total - half_log_2pi, total + half_log_2pi + 0.5 * size, pullback


KINDS: dict[str, Callable[[Rounded, Array, float], tuple[Rounded, Rounded, Pullback]]] = {
    "categorical": _categorical,
    "gaussian": _gaussian,
}
