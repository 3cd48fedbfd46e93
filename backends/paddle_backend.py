"""PPO's network, loss and optimizer in PaddlePaddle: layers and autograd, and Adam in the few lines that it is.

Paddle's own Adam keeps its learning rate in float32 and steps through the parameters one by one; here gradients are
gathered into one flat tensor, so that clipping, Adam and the rounding of exact mode are single operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import (
    ADAM_BETAS,
    LOG_RATIO_LIMIT,
    Evaluation,
    Minibatch,
    Objective,
    OptimizerStep,
    UpdateStats,
    adam_factors,
    gradient_grid,
    is_critic,
)
from ppocore.backends.paddle_distributions import apply_masks, divergence, log_prob_and_entropy
from ppocore.backends.paddle_network import PaddleNetwork, Tensor, nn, paddle
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks.spec import NetworkSpec, check_outputs
from ppocore.state import AdamState, from_state, not_finite, to_state

Array = NDArray[Any]


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
            self._steps, self._held = 0, 0
            owners = [np.full(p.size, is_critic(name)) for name, p in self._parameters.items()]
            self._critic = self._tensor(np.concatenate(owners))  # which elements are the critic's
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
        terms |= {name: float(loss[name]) for name in ("policy_loss", "value_loss", "loss", "kl")}
        return Evaluation(**terms, value=loss["values"].numpy())

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""
        _, gradient = self._backward(batch, objective)
        return self._named(gradient, self._dtype)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        loss, gradient = self._backward(batch, objective)
        with paddle.no_grad():
            moved = loss["ratio"] - 1.0
            old_approx_kl = -loss["log_ratio"].mean()
            outside = (moved.abs() > objective.clip_range).astype(self._dtype).mean()
            figures = [
                *(loss[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
                *(old_approx_kl, moved.mean() + old_approx_kl, outside, gradient.dot(gradient).sqrt(), loss["kl"]),
            ]
            stats = UpdateStats(*paddle.stack(figures).tolist())
            if not isfinite(stats.loss + stats.grad_norm):
                raise self._not_finite(batch, loss, gradient)
            gradient = self._clipped(gradient, step, stats.grad_norm)
            if self._exact:
                gradient = gradient + self._grid - self._grid
            self._steps += 1
            self._held += step.hold_actor
            before = self._tensors()
            self._adam(gradient, step)
            if step.hold_actor:
                self._flat, self._first, self._second = (
                    paddle.where(self._critic, *pair) for pair in zip(self._tensors(), before, strict=True)
                )
            self._round()
            self._scatter()
        return stats

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._flat, self._first, self._second

    def _clipped(self, gradient: Tensor, step: OptimizerStep, grad_norm: float) -> Tensor:
        """The gradient with its norm, or each optimizer's, held to what is allowed."""
        limit = step.max_grad_norm
        if limit is None:
            return gradient
        if not step.separate:
            return gradient * (limit / float(np.float32(grad_norm))) if grad_norm > limit else gradient
        for part in (self._critic, ~self._critic):
            own = gradient[part]
            norm = float(own.dot(own).sqrt())
            if norm > limit:
                gradient = paddle.where(part, gradient * (limit / float(np.float32(norm))), gradient)
        return gradient

    def _adam(self, gradient: Tensor, step: OptimizerStep) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root."""
        beta1, beta2 = ADAM_BETAS
        critic, actor = adam_factors(step, self._steps, self._held)
        scale: Any
        rate: Any
        scale, rate = critic
        if actor != critic:
            pairs = self._tensor(np.array([critic, actor]))
            scale, rate = (paddle.where(self._critic, *pairs[:, i]) for i in range(2))
        self._first = self._first * beta1 + gradient * (1.0 - beta1)
        self._second = self._second * beta2 + gradient * gradient * (1.0 - beta2)
        root = self._second.sqrt() * scale + self._adam_epsilon
        self._flat = self._flat - self._first / root * rate

    def _round(self) -> None:
        """Exact mode keeps float32: round weights and moments."""
        if self._exact:
            rounded = (t.astype("float32").astype("float64") for t in self._tensors())
            self._flat, self._first, self._second = rounded

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
        given = {name: self._tensor(array) for name, array in batch.arrays().items()}
        advantages, returns, old_values = given["advantages"], given["returns"], given["values"]
        unmasked, values = self.network(given["observations"])
        parameters = self._masked(unmasked, given)
        log_prob, entropy = log_prob_and_entropy(self.spec, parameters, given["actions"])
        log_ratio = (log_prob - given["log_probs"]).clip(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        ratio = log_ratio.exp()
        surrogate = ratio * advantages
        if objective.clip:
            clipped = ratio.clip(1.0 - objective.clip_range, 1.0 + objective.clip_range)
            surrogate = paddle.minimum(surrogate, clipped * advantages)
        if objective.dual_clip is not None:
            least = objective.dual_clip * advantages
            surrogate = paddle.where((advantages < 0.0) & (surrogate < least), least, surrogate)
        policy_loss = -surrogate.mean()
        squared_error = (values - returns).square()
        if objective.value_clip_range is not None:
            limit = objective.value_clip_range
            bounded = old_values + (values - old_values).clip(-limit, limit)
            squared_error = paddle.maximum(squared_error, (bounded - returns).square())
        value_loss = 0.5 * squared_error.mean()
        mean_entropy = entropy.mean()
        loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
        kl = paddle.zeros_like(loss)
        if objective.kl_coef:
            kl = divergence(self.spec, self._masked(given["old_parameters"], given), parameters).mean()
            loss = loss + objective.kl_coef * kl
        if objective.critic_l2_coef:
            weights = [p for name, p in self._parameters.items() if is_critic(name) and p.ndim == 2]
            loss = loss + objective.critic_l2_coef * sum(p.square().sum() for p in weights)
        return {
            "parameters": unmasked, "values": values, "log_prob": log_prob, "log_ratio": log_ratio,
            "ratio": ratio, "entropy": entropy, "mean_entropy": mean_entropy, "policy_loss": policy_loss,
            "value_loss": value_loss, "kl": kl, "loss": loss,
        }  # fmt: skip

    def _masked(self, parameters: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        return apply_masks(self.spec, parameters, given["masks"]) if "masks" in given else parameters

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
        return not_finite(self._steps + 1, {**batch.arrays(), **computed, **gradients}.items())

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
        weights, first, second = map(self._named, self._tensors())
        return to_state(AdamState(weights, first, second, self._steps, self._held))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        adam = from_state(state, {name: tuple(p.shape) for name, p in self._parameters.items()})
        self._flat, self._first, self._second = (
            self._tensor(np.concatenate([part[name].reshape(-1) for name in self._parameters])) for part in adam[:3]
        )
        self._steps, self._held = adam.step, adam.held
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
