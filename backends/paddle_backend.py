"""PPO's network, loss and optimizer in PaddlePaddle: layers and autograd, and Adam in the few lines that it is.

Paddle's own Adam keeps its learning rate in float32 and steps through the parameters one by one; here gradients are
gathered into one flat tensor, so that clipping, Adam and the rounding of exact mode are single operations.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import ADAM_BETAS, LOG_RATIO_LIMIT, Evaluation, Minibatch, Objective, UpdateStats, gradient_grid
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, check_outputs
from ppocore.state import AdamState, from_state, not_finite, to_state

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "No ccache found")  # said at import; it concerns who compiles extensions
    import paddle
    from paddle import Tensor, nn
    from paddle.nn import functional as F

Array = NDArray[Any]

_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


def tanh(x: Tensor) -> Tensor:
    """`paddle.tanh` by way of the sigmoid, which in float64 on a CPU takes a third of the time; to 3.4e-16."""
    return paddle.scale(F.sigmoid(paddle.scale(x, 2.0)), 2.0, -1.0)


class Stack(nn.Layer):
    """Hidden layers, then an output layer where ``output_size`` is given."""

    def __init__(self, sizes: list[int], output_size: int | None, activation: str) -> None:
        super().__init__()
        layers = [_linear(n_in, n_out) for n_in, n_out in pairwise(sizes)]
        self.hidden = nn.LayerList(layers)
        self.output = None if output_size is None else _linear(sizes[-1], output_size)
        self._activate = {"tanh": tanh, "relu": F.relu}[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, in) to outputs (B, out)."""
        for layer in self.hidden:
            x = self._activate(layer(x))
        return x if self.output is None else self.output(x)


def _linear(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer of zeros: the weights are loaded, and drawing others would move paddle's global generator."""
    zeros = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
    return nn.Linear(n_in, n_out, weight_attr=zeros, bias_attr=zeros)


class PaddleNetwork(nn.Layer):
    """The network of a `NetworkSpec`; its parameters bear the canonical names and shapes."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        sizes = [spec.observation_size, *spec.hidden_sizes]
        self.trunk = Stack(sizes, None, spec.activation) if spec.shared_trunk else nn.Identity()
        own = sizes[-1:] if spec.shared_trunk else sizes
        self.actor = Stack(own, spec.output_size, spec.activation)
        self.critic = Stack(own, 1, spec.activation)
        self.log_std = None
        if spec.action_kind == "gaussian":
            zeros = nn.initializer.Constant(0.0)
            self.log_std = self.create_parameter([spec.action_size], default_initializer=zeros)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        features = self.trunk(observations)
        parameters = self.actor(features)
        if self.log_std is not None:
            parameters = paddle.concat([parameters, self.log_std.expand_as(parameters)], axis=1)
        return parameters, self.critic(features).squeeze(1)


def log_prob_and_entropy(kind: str, parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of actions and entropies, (B,) each; see `ppocore.distributions`.

    Not by paddle's ``Categorical``: its ``log_prob`` takes logits for unnormalised probabilities.
    """
    if kind == "categorical":
        # Not F.log_softmax: on the CPU it holds logits at 64 below the largest.
        log_p = parameters - paddle.logsumexp(parameters, axis=1, keepdim=True)
        chosen = paddle.take_along_axis(log_p, actions.unsqueeze(1), axis=1).squeeze(1)
        return chosen, -(log_p.exp() * log_p).sum(1)
    mean, log_std = parameters.chunk(2, axis=1)
    z = (actions - mean) / log_std.exp()
    total = log_std.sum(1)
    size = mean.shape[1]
    return -0.5 * z.square().sum(1) - total - size * _HALF_LOG_2PI, total + size * (0.5 + _HALF_LOG_2PI)


class PaddleBackend:
    """See `ppocore.backend.Backend`.

    Args:
        spec: the network; not needed where ``network`` is given, see below.
        network: a layer of the user's own, from observations (B, O) to (distribution parameters (B, P), values
            (B,)); it keeps the weights it has, is converted to the precision's dtype and trained in place.
            ``PaddleBackend(network=...)`` is given to `ppocore.train` as its backend.
        precision: ``exact`` (float64 arithmetic, float32 state) or ``float32``.
        adam_epsilon: added to the root of Adam's second moment.
        device: where to compute, ``cpu`` or ``cuda``.

    Raises:
        UsageError: a device that this machine lacks, or a network whose outputs have the wrong shape.
    """

    name: ClassVar[str] = "paddle"

    def __init__(
        self,
        spec: NetworkSpec | None = None,
        *,
        network: nn.Layer | None = None,
        precision: str = "exact",
        adam_epsilon: float = 1e-5,
        device: str = "cpu",
    ) -> None:
        if network is not None and not isinstance(network, nn.Layer):
            raise UsageError(f"network={network!r} must be a paddle.nn.Layer")
        self.own_network = network
        if spec is None:
            if network is None:
                raise UsageError("PaddleBackend needs a NetworkSpec or a network")
            return  # unbound: calling it with a specification makes the backend
        self.spec = spec
        self._place = _place(device)
        self._exact = precision == "exact"
        self._dtype = "float64" if self._exact else "float32"
        self._adam_epsilon, self._grid = adam_epsilon, gradient_grid(adam_epsilon)
        self.network = PaddleNetwork(spec) if network is None else network
        _convert(self.network, self._place, self._dtype)
        found = dict(self.network.named_parameters())
        names = spec.shapes() if network is None else found  # in canonical order, not in paddle's
        self._parameters = {name: found[name] for name in names if not found[name].stop_gradient}
        if not self._parameters:
            raise UsageError("the network has no parameter to train: every one has stop_gradient set")
        with paddle.no_grad():
            self._flat = self._gather(self._parameters.values())
            self._first, self._second = (paddle.zeros_like(self._flat) for _ in range(2))
            self._steps = 0
            self._round()
            self._scatter()
        if network is not None:
            self._check_outputs()

    def __call__(self, spec: NetworkSpec, **settings: Any) -> PaddleBackend:
        """A backend for ``spec`` around this one's network: what `ppocore.train` calls."""
        return PaddleBackend(spec, network=self.own_network, **settings)

    def using_threads(self, threads: int) -> AbstractContextManager[None]:
        """Paddle computes on the linear algebra library's threads, and the trainer limits those."""
        return nullcontext()

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        with paddle.no_grad():
            parameters, values = self.network(self._tensor(observations))
        return parameters.numpy(), values.numpy()

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Every term of the loss, without a step."""
        with paddle.no_grad():
            loss = self._loss(batch, objective)
        terms: dict[str, Any] = {name: loss[name].numpy() for name in ("log_prob", "ratio", "entropy")}
        terms |= {name: float(loss[name]) for name in ("policy_loss", "value_loss", "loss")}
        return Evaluation(**terms, value=loss["values"].numpy())

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""
        _, gradient = self._backward(batch, objective)
        return self._named(gradient, self._dtype)

    def update(
        self, batch: Minibatch, objective: Objective, *, learning_rate: float, max_grad_norm: float | None
    ) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        loss, gradient = self._backward(batch, objective)
        with paddle.no_grad():
            moved = loss["ratio"] - 1.0
            old_approx_kl = -loss["log_ratio"].mean()
            outside = (moved.abs() > objective.clip_range).astype(self._dtype).mean()
            figures = [
                *(loss[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
                *(old_approx_kl, moved.mean() + old_approx_kl, outside, gradient.dot(gradient).sqrt()),
            ]
            stats = UpdateStats(*paddle.stack(figures).tolist())
            if not isfinite(stats.loss + stats.grad_norm):
                raise self._not_finite(batch, loss, gradient)
            if max_grad_norm is not None and stats.grad_norm > max_grad_norm:
                gradient = gradient * (max_grad_norm / float(np.float32(stats.grad_norm)))
            if self._exact:
                gradient = gradient + self._grid - self._grid
            self._adam(gradient, learning_rate)
            self._round()
            self._scatter()
        return stats

    def _adam(self, gradient: Tensor, learning_rate: float) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root."""
        beta1, beta2 = ADAM_BETAS
        self._steps += 1
        self._first = self._first * beta1 + gradient * (1.0 - beta1)
        self._second = self._second * beta2 + gradient * gradient * (1.0 - beta2)
        root = self._second.sqrt() * (1.0 / sqrt(1.0 - beta2**self._steps)) + self._adam_epsilon
        self._flat = self._flat - self._first / root * (learning_rate / (1.0 - beta1**self._steps))

    def _round(self) -> None:
        """Exact mode keeps float32: round weights and moments."""
        if self._exact:
            tensors = (self._flat, self._first, self._second)
            self._flat, self._first, self._second = (t.astype("float32").astype("float64") for t in tensors)

    def _gather(self, tensors: Any) -> Tensor:
        return paddle.concat([tensor.reshape([-1]) for tensor in tensors])

    def _scatter(self) -> None:
        """The flat weights back into the network's parameters."""
        start = 0
        for parameter in self._parameters.values():
            piece = self._flat[start : (start := start + parameter.size)].reshape(parameter.shape)
            paddle.assign(piece, parameter)

    def _loss(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        """The terms of the loss, by name; see `ppocore.backend.Objective`."""
        observations, actions, old_log_probs, advantages, returns, old_values = map(self._tensor, batch)
        parameters, values = self.network(observations)
        log_prob, entropy = log_prob_and_entropy(self.spec.action_kind, parameters, actions)
        log_ratio = (log_prob - old_log_probs).clip(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        ratio = log_ratio.exp()
        clipped = ratio.clip(1.0 - objective.clip_range, 1.0 + objective.clip_range)
        policy_loss = -paddle.minimum(ratio * advantages, clipped * advantages).mean()
        squared_error = (values - returns).square()
        if objective.value_clip_range is not None:
            limit = objective.value_clip_range
            bounded = old_values + (values - old_values).clip(-limit, limit)
            squared_error = paddle.maximum(squared_error, (bounded - returns).square())
        value_loss = 0.5 * squared_error.mean()
        mean_entropy = entropy.mean()
        loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
        return {
            "parameters": parameters, "values": values, "log_prob": log_prob, "log_ratio": log_ratio,
            "ratio": ratio, "entropy": entropy, "mean_entropy": mean_entropy, "policy_loss": policy_loss,
            "value_loss": value_loss, "loss": loss,
        }  # fmt: skip

    def _backward(self, batch: Minibatch, objective: Objective) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of the loss, and its gradient as a flat tensor."""
        for parameter in self._parameters.values():
            parameter.clear_gradient(set_to_zero=False)
        with paddle.enable_grad():
            loss = self._loss(batch, objective)
            loss["loss"].backward()
        gradients = (
            paddle.zeros_like(p) if p.grad is None else p.grad for p in self._parameters.values()
        )  # a user's layer may have parameters that nothing reads
        return {name: tensor.detach() for name, tensor in loss.items()}, self._gather(gradients)

    def _tensor(self, array: Array) -> Tensor:
        kind = self._dtype if array.dtype.kind == "f" else None
        return paddle.to_tensor(array, dtype=kind, place=self._place)

    def _not_finite(self, batch: Minibatch, loss: Mapping[str, Tensor], gradient: Tensor) -> NonFiniteError:
        computed = {
            "policy output": loss["parameters"].numpy(),
            "value output": loss["values"].numpy(),
            "ratio": loss["ratio"].numpy(),
        }
        gradients = {f"gradient of {name}": array for name, array in self._named(gradient).items()}
        return not_finite(self._steps + 1, {**batch._asdict(), **computed, **gradients}.items())

    def _check_outputs(self) -> None:
        """A user's network must give (B, P) and (B,); found out before anything is collected."""
        observations = np.zeros((2, self.spec.observation_size))
        try:
            with paddle.no_grad():
                outputs = self.network(self._tensor(observations))
        except Exception as error:
            raise UsageError(f"the network fails on observations of shape {observations.shape}: {error}") from error
        check_outputs(outputs, 2, self.spec)

    def _named(self, flat: Tensor, dtype: str = "float32") -> dict[str, Array]:
        """Copies of the pieces of a flat tensor, by canonical name."""
        array, named, start = flat.detach().astype(dtype).numpy(), {}, 0
        for name, parameter in self._parameters.items():
            piece = array[start : (start := start + parameter.size)]
            named[name] = piece.reshape(parameter.shape).copy()
        return named

    def weights(self) -> dict[str, Array]:
        """The weights alone, as float32 copies."""
        return self._named(self._flat)

    def state(self) -> dict[str, Array]:
        """The weights, Adam's moments and its step count: copies."""
        weights, first, second = map(self._named, (self._flat, self._first, self._second))
        return to_state(AdamState(weights, first, second, self._steps))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        adam = from_state(state, {name: tuple(p.shape) for name, p in self._parameters.items()})
        self._flat, self._first, self._second = (
            self._tensor(np.concatenate([part[name].reshape(-1) for name in self._parameters])) for part in adam[:3]
        )
        self._steps = adam.step
        with paddle.no_grad():
            self._scatter()


def _convert(network: nn.Layer, place: Any, dtype: str) -> None:
    """``network.to``, which by itself would turn whole numbers and flags into floating point, too."""
    kept = [
        (layer, name, buffer)
        for layer in network.sublayers(include_self=True)
        for name, buffer in layer.named_buffers(include_sublayers=False)
        if not buffer.is_floating_point()
    ]
    copies = [buffer.clone() for _, _, buffer in kept]
    network.to(device=place, dtype=dtype)
    for (layer, name, _), copy in zip(kept, copies, strict=True):
        setattr(layer, name, copy.to(place))


def _place(device: str) -> Any:
    """The place, or a sentence if this machine lacks it."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return paddle.CPUPlace()
    if kind not in ("cuda", "gpu"):
        raise UsageError(f"device={device!r} is not a device that paddle knows: use cpu or cuda")
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise UsageError(f"device={device!r} was asked for but paddle finds no CUDA device here: use cpu")
    return paddle.CUDAPlace(int(index or 0))
