"""PPO's network, loss and optimizer in PyTorch: modules and autograd, and Adam in the few lines that it is.

All weights and gradients are views into two flat tensors, which the module's parameters share: clipping, Adam and
the rounding of exact mode are then single operations, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
from ppocore.backends.torch_distributions import apply_masks, divergence, log_prob_and_entropy
from ppocore.backends.torch_network import TorchNetwork
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks.spec import NetworkSpec, check_outputs
from ppocore.state import AdamState, from_state, not_finite, to_state

Array = NDArray[Any]


class TorchBackend:
    """See `ppocore.backend.Backend`.

    Args:
        spec: the network; not needed where ``network`` is given, see below.
        network: a module of the user's own, from observations (B, O) to (distribution parameters (B, P), values
            (B,)); it keeps the weights it has, is converted to the precision's dtype and trained in place.
            ``TorchBackend(network=...)`` is given to `ppocore.train` as its backend.
        precision: ``exact`` (float64 arithmetic, float32 state) or ``float32``.
        adam_epsilon: added to the root of Adam's second moment.
        device: where to compute, ``cpu`` or ``cuda``.

    Raises:
        UsageError: a device that this machine lacks, or a network whose outputs have the wrong shape.
    """

    name: ClassVar[str] = "torch"

    def __init__(
        self,
        spec: NetworkSpec | None = None,
        *,
        network: nn.Module | None = None,
        precision: str = "exact",
        adam_epsilon: float = 1e-5,
        device: str = "cpu",
    ) -> None:
        if network is not None and not isinstance(network, nn.Module):
            raise UsageError(f"network={network!r} must be a torch.nn.Module")
        self.own_network = network
        if spec is None:
            if network is None:
                raise UsageError("TorchBackend needs a NetworkSpec or a network")
            return  # unbound: calling it with a specification makes the backend
        self.spec = spec
        self._device = _device(device)
        self._exact = precision == "exact"
        self._dtype = torch.float64 if self._exact else torch.float32
        self.network = TorchNetwork(spec) if network is None else network
        self.network.to(self._device, self._dtype)
        found = dict(self.network.named_parameters())
        names = spec.shapes() if network is None else found  # in canonical order, not in torch's
        self._parameters = {name: found[name] for name in names if found[name].requires_grad}
        if not self._parameters:
            raise UsageError("the network has no parameter to train: none requires a gradient")
        size = sum(p.numel() for p in self._parameters.values())
        self._flat = torch.zeros(size, dtype=self._dtype, device=self._device)
        self._flat.grad = torch.zeros_like(self._flat)
        start = 0
        for parameter in self._parameters.values():
            place = slice(start, start := start + parameter.numel())
            self._flat[place] = parameter.data.reshape(-1)
            parameter.data = self._flat[place].view_as(parameter)
            parameter.grad = self._flat.grad[place].view_as(parameter)
        self._first, self._second = torch.zeros_like(self._flat), torch.zeros_like(self._flat)
        self._steps, self._held = 0, 0
        owners = [torch.full((p.numel(),), is_critic(name)) for name, p in self._parameters.items()]
        self._critic = torch.cat(owners).to(self._device)  # which elements are the critic's
        self._adam_epsilon, self._grid = adam_epsilon, gradient_grid(adam_epsilon)
        self._round()
        if network is not None:
            self._check_outputs()

    def __call__(self, spec: NetworkSpec, **settings: Any) -> TorchBackend:
        """A backend for ``spec`` around this one's network: what `ppocore.train` calls."""
        return TorchBackend(spec, network=self.own_network, **settings)

    @contextmanager
    def using_threads(self, threads: int) -> Iterator[None]:
        """Torch's thread count, given back afterwards."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def forward(self, observations: Array) -> tuple[Array, Array]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        with torch.no_grad():
            parameters, values = self.network(self._tensor(observations))
        return parameters.cpu().numpy(), values.cpu().numpy()

    def evaluate(self, batch: Minibatch, objective: Objective) -> Evaluation:
        """Every term of the loss, without a step."""
        with torch.no_grad():
            loss = self._loss(batch, objective)
        terms: dict[str, Any] = {name: loss[name].cpu().numpy() for name in ("log_prob", "ratio", "entropy")}
        terms |= {name: float(loss[name]) for name in ("policy_loss", "value_loss", "loss", "kl")}
        return Evaluation(**terms, value=loss["values"].cpu().numpy())

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""
        self._backward(batch, objective)
        return self._named(self._flat.grad, self._flat.grad.dtype)

    def update(self, batch: Minibatch, objective: Objective, step: OptimizerStep) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        loss = self._backward(batch, objective)
        gradient = self._flat.grad
        with torch.no_grad():
            moved = loss["ratio"] - 1.0
            old_approx_kl = -loss["log_ratio"].mean()
            outside = (moved.abs() > objective.clip_range).to(self._dtype).mean()
            figures = [
                *(loss[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
                *(old_approx_kl, moved.mean() + old_approx_kl, outside, torch.linalg.vector_norm(gradient), loss["kl"]),
            ]
            stats = UpdateStats(*torch.stack(figures).tolist())  # one transfer, where the device is another
        if not isfinite(stats.loss + stats.grad_norm):
            raise self._not_finite(batch, loss)
        self._clip(step, stats.grad_norm)
        if self._exact:
            gradient.add_(self._grid).sub_(self._grid)
        self._steps += 1
        self._held += step.hold_actor
        kept = [tensor.clone() for tensor in self._tensors()] if step.hold_actor else []
        self._adam(step)
        for tensor, before in zip(self._tensors(), kept, strict=False):
            torch.where(self._critic, tensor, before, out=tensor)
        self._round()
        return stats

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._flat, self._first, self._second

    def _clip(self, step: OptimizerStep, grad_norm: float) -> None:
        """Hold the gradient's norm, or each optimizer's, to what is allowed; in place."""
        limit, gradient = step.max_grad_norm, self._flat.grad
        if limit is None:
            return
        if not step.separate:
            if grad_norm > limit:
                gradient.mul_(limit / float(np.float32(grad_norm)))
            return
        for part in (self._critic, ~self._critic):
            norm = float(torch.linalg.vector_norm(gradient[part]))
            if norm > limit:
                gradient[part] *= limit / float(np.float32(norm))

    def _adam(self, step: OptimizerStep) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root.

        In the same operations as on the other backends, which `torch.optim.Adam` fuses and orders in its own way.
        """
        beta1, beta2 = ADAM_BETAS
        critic, actor = adam_factors(step, self._steps, self._held)
        scale: Any
        rate: Any
        scale, rate = critic
        if actor != critic:
            pairs = torch.tensor([critic, actor], dtype=torch.float64, device=self._device).to(self._dtype)
            scale, rate = (torch.where(self._critic, *pairs[:, i]) for i in range(2))
        m, v, g = self._first, self._second, self._flat.grad
        m.mul_(beta1).add_(g * (1.0 - beta1))
        v.mul_(beta2).add_((g * g).mul_(1.0 - beta2))
        root = v.sqrt().mul_(scale).add_(self._adam_epsilon)
        self._flat.sub_(torch.div(m, root).mul_(rate))

    def _loss(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        """The terms of the loss, by name; see `ppocore.backend.Objective`."""
        given = {name: self._tensor(array) for name, array in batch.arrays().items()}
        advantages, returns, old_values = given["advantages"], given["returns"], given["values"]
        unmasked, values = self.network(given["observations"])
        parameters = self._masked(unmasked, given)
        log_prob, entropy = log_prob_and_entropy(self.spec, parameters, given["actions"])
        log_ratio = (log_prob - given["log_probs"]).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        ratio = log_ratio.exp()
        surrogate = ratio * advantages
        if objective.clip:
            clipped = ratio.clamp(1.0 - objective.clip_range, 1.0 + objective.clip_range)
            surrogate = torch.min(surrogate, clipped * advantages)
        if objective.dual_clip is not None:
            least = objective.dual_clip * advantages
            surrogate = torch.where((advantages < 0.0) & (surrogate < least), least, surrogate)
        policy_loss = -surrogate.mean()
        squared_error = (values - returns).square()
        if objective.value_clip_range is not None:
            limit = objective.value_clip_range
            bounded = old_values + (values - old_values).clamp(-limit, limit)
            squared_error = torch.max(squared_error, (bounded - returns).square())
        value_loss = 0.5 * squared_error.mean()
        mean_entropy = entropy.mean()
        loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
        kl = torch.zeros_like(loss)
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

    def _backward(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        self._flat.grad.zero_()
        with torch.enable_grad():
            loss = self._loss(batch, objective)
            loss["loss"].backward()
        return {name: tensor.detach() for name, tensor in loss.items()}

    def _round(self) -> None:
        """Exact mode keeps float32: round weights and moments."""
        if self._exact:
            for tensor in self._tensors():
                tensor.copy_(tensor.to(torch.float32))

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _not_finite(self, batch: Minibatch, loss: Mapping[str, Tensor]) -> NonFiniteError:
        tensors = {
            "policy output": loss["parameters"],
            "value output": loss["values"],
            "ratio": loss["ratio"],
            **{f"gradient of {name}": p.grad for name, p in self._parameters.items() if p.grad is not None},
        }
        computed = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return not_finite(self._steps + 1, {**batch.arrays(), **computed}.items())

    def _check_outputs(self) -> None:
        """A user's network must give (B, P) and (B,); found out before anything is collected."""
        observations = np.zeros((2, self.spec.observation_size))
        try:
            with torch.no_grad():
                outputs = self.network(self._tensor(observations))
        except Exception as error:
            raise UsageError(f"the network fails on observations of shape {observations.shape}: {error}") from error
        check_outputs(outputs, 2, self.spec)

    def _transposed(self, name: str) -> bool:
        """Whether a canonical weight (in, out) is torch's (out, in); a user's own network is left as it is."""
        return self.own_network is None and name.endswith(".weight")

    def _named(self, flat: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Array]:
        """Copies of the pieces of a flat tensor, by canonical name."""
        array, named, start = flat.detach().to(dtype).cpu().numpy(), {}, 0
        for name, parameter in self._parameters.items():
            piece = array[start : (start := start + parameter.numel())].reshape(tuple(parameter.shape))
            named[name] = np.array(piece.T if self._transposed(name) else piece, order="C")
        return named

    def _fill(self, flat: Tensor, arrays: Mapping[str, Array]) -> None:
        """The inverse of `_named`, in place."""
        pieces = [a.T if self._transposed(name) else a for name, a in ((n, arrays[n]) for n in self._parameters)]
        flat.copy_(torch.from_numpy(np.concatenate([piece.reshape(-1) for piece in pieces])))

    def weights(self) -> dict[str, Array]:
        """The weights alone, as float32 copies."""
        return self._named(self._flat)

    def state(self) -> dict[str, Array]:
        """The weights, Adam's moments and its step count: copies."""
        weights, first, second = map(self._named, self._tensors())
        return to_state(AdamState(weights, first, second, self._steps, self._held))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        shapes = {name: tuple(p.shape) for name, p in self._parameters.items()}
        adam = from_state(state, {n: s[::-1] if self._transposed(n) else s for n, s in shapes.items()})
        for flat, part in zip(self._tensors(), adam[:3], strict=True):
            self._fill(flat, part)
        self._steps, self._held = adam.step, adam.held


def _device(device: str) -> torch.device:
    """The device, or a sentence if this machine lacks it."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device={device!r} is not a device that torch knows: use cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={device!r} was asked for but torch finds no CUDA device here: use cpu")
    return found
