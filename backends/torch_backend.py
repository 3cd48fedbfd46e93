"""PPO's network, loss and optimizer in PyTorch: modules and autograd, and Adam in the few lines that it is.

All weights and gradients are views into two flat tensors, which the module's parameters share: clipping, Adam and
the rounding of exact mode are then single operations, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from ppocore.backend import ADAM_BETAS, LOG_RATIO_LIMIT, Evaluation, Minibatch, Objective, UpdateStats, gradient_grid
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import NetworkSpec, check_outputs
from ppocore.state import AdamState, from_state, not_finite, to_state

Array = NDArray[Any]


def tanh(x: Tensor) -> Tensor:
    """`torch.tanh` by way of the sigmoid, which in float64 on a CPU takes a third of the time; to 3.4e-16."""
    return 2.0 * torch.sigmoid(2.0 * x) - 1.0


class Stack(nn.Module):
    """Hidden layers, then an output layer where ``output_size`` is given."""

    def __init__(self, sizes: list[int], output_size: int | None, activation: str) -> None:
        super().__init__()
        # skip_init: the weights are loaded, and drawing others would move torch's global generator.
        layers = [skip_init(nn.Linear, n_in, n_out) for n_in, n_out in pairwise(sizes)]
        self.hidden = nn.ModuleList(layers)
        if output_size is not None:
            self.output = skip_init(nn.Linear, sizes[-1], output_size)
        self._activate = {"tanh": tanh, "relu": torch.relu}[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, in) to outputs (B, out)."""
        for layer in self.hidden:
            x = self._activate(layer(x))
        return self.output(x) if hasattr(self, "output") else x


class TorchNetwork(nn.Module):
    """The network of a `NetworkSpec`; its parameters bear the canonical names, weights transposed."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        sizes = [spec.observation_size, *spec.hidden_sizes]
        self.trunk = Stack(sizes, None, spec.activation) if spec.shared_trunk else nn.Identity()
        own = sizes[-1:] if spec.shared_trunk else sizes
        self.actor = Stack(own, spec.output_size, spec.activation)
        self.critic = Stack(own, 1, spec.activation)
        if spec.action_kind == "gaussian":
            self.log_std = nn.Parameter(torch.zeros(spec.action_size))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Observations (B, O) to distribution parameters (B, P) and values (B,)."""
        features = self.trunk(observations)
        parameters = self.actor(features)
        if hasattr(self, "log_std"):
            parameters = torch.cat([parameters, self.log_std.expand_as(parameters)], dim=1)
        return parameters, self.critic(features).squeeze(1)


def log_prob_and_entropy(kind: str, parameters: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of actions and entropies, (B,) each; see `ppocore.distributions`."""
    if kind == "categorical":
        log_p = F.log_softmax(parameters, dim=1)
        return log_p.gather(1, actions.unsqueeze(1)).squeeze(1), -(log_p.exp() * log_p).sum(1)
    mean, log_std = parameters.chunk(2, dim=1)
    normal = torch.distributions.Normal(mean, log_std.exp(), validate_args=False)
    return normal.log_prob(actions).sum(1), normal.entropy().sum(1)


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
        self._steps = 0
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
        terms |= {name: float(loss[name]) for name in ("policy_loss", "value_loss", "loss")}
        return Evaluation(**terms, value=loss["values"].cpu().numpy())

    def gradients(self, batch: Minibatch, objective: Objective) -> dict[str, Array]:
        """The gradient of the loss by weight name, before clipping."""
        self._backward(batch, objective)
        return self._named(self._flat.grad, self._flat.grad.dtype)

    def update(
        self, batch: Minibatch, objective: Objective, *, learning_rate: float, max_grad_norm: float | None
    ) -> UpdateStats:
        """One optimizer step; see `ppocore.backend.Backend.update`."""
        loss = self._backward(batch, objective)
        gradient = self._flat.grad
        with torch.no_grad():
            moved = loss["ratio"] - 1.0
            old_approx_kl = -loss["log_ratio"].mean()
            outside = (moved.abs() > objective.clip_range).to(self._dtype).mean()
            figures = [
                *(loss[name] for name in ("loss", "policy_loss", "value_loss", "mean_entropy")),
                *(old_approx_kl, moved.mean() + old_approx_kl, outside, torch.linalg.vector_norm(gradient)),
            ]
            stats = UpdateStats(*torch.stack(figures).tolist())  # one transfer, where the device is another
        if not isfinite(stats.loss + stats.grad_norm):
            raise self._not_finite(batch, loss)
        if max_grad_norm is not None and stats.grad_norm > max_grad_norm:
            gradient.mul_(max_grad_norm / float(np.float32(stats.grad_norm)))
        if self._exact:
            gradient.add_(self._grid).sub_(self._grid)
        self._adam(learning_rate)
        self._round()
        return stats

    def _adam(self, learning_rate: float) -> None:
        """Algorithm 1 of arXiv:1412.6980, epsilon added to the bias-corrected root.

        In the same operations as on the other backends, which `torch.optim.Adam` fuses and orders in its own way.
        """
        beta1, beta2 = ADAM_BETAS
        self._steps += 1
        m, v, g = self._first, self._second, self._flat.grad
        m.mul_(beta1).add_(g * (1.0 - beta1))
        v.mul_(beta2).add_((g * g).mul_(1.0 - beta2))
        root = v.sqrt().mul_(1.0 / sqrt(1.0 - beta2**self._steps)).add_(self._adam_epsilon)
        self._flat.sub_(torch.div(m, root).mul_(learning_rate / (1.0 - beta1**self._steps)))

    def _loss(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        """The terms of the loss, by name; see `ppocore.backend.Objective`."""
        observations, actions, old_log_probs, advantages, returns, old_values = map(self._tensor, batch)
        parameters, values = self.network(observations)
        log_prob, entropy = log_prob_and_entropy(self.spec.action_kind, parameters, actions)
        log_ratio = (log_prob - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1.0 - objective.clip_range, 1.0 + objective.clip_range)
        policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
        squared_error = (values - returns).square()
        if objective.value_clip_range is not None:
            limit = objective.value_clip_range
            bounded = old_values + (values - old_values).clamp(-limit, limit)
            squared_error = torch.max(squared_error, (bounded - returns).square())
        value_loss = 0.5 * squared_error.mean()
        mean_entropy = entropy.mean()
        loss = policy_loss - objective.entropy_coef * mean_entropy + objective.value_coef * value_loss
        return {
            "parameters": parameters, "values": values, "log_prob": log_prob, "log_ratio": log_ratio,
            "ratio": ratio, "entropy": entropy, "mean_entropy": mean_entropy, "policy_loss": policy_loss,
            "value_loss": value_loss, "loss": loss,
        }  # fmt: skip

    def _backward(self, batch: Minibatch, objective: Objective) -> dict[str, Tensor]:
        self._flat.grad.zero_()
        with torch.enable_grad():
            loss = self._loss(batch, objective)
            loss["loss"].backward()
        return {name: tensor.detach() for name, tensor in loss.items()}

    def _round(self) -> None:
        """Exact mode keeps float32: round weights and moments."""
        if self._exact:
            for tensor in (self._flat, self._first, self._second):
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
        return not_finite(self._steps + 1, {**batch._asdict(), **computed}.items())

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
        weights, first, second = map(self._named, (self._flat, self._first, self._second))
        return to_state(AdamState(weights, first, second, self._steps))

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state; weights alone are enough, the moments then start at zero."""
        shapes = {name: tuple(p.shape) for name, p in self._parameters.items()}
        adam = from_state(state, {n: s[::-1] if self._transposed(n) else s for n, s in shapes.items()})
        for flat, part in zip((self._flat, self._first, self._second), adam[:3], strict=True):
            self._fill(flat, part)
        self._steps = adam.step


def _device(device: str) -> torch.device:
    """The device, or a sentence if this machine lacks it."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device={device!r} is not a device that torch knows: use cpu or cuda") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={device!r} was asked for but torch finds no CUDA device here: use cpu")
    return found
