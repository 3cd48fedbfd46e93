"""A reference loss in float64 torch, with torch's distributions and autograd."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Independent,
    Normal,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import TanhTransform


class TorchLoss(NamedTuple):
    """Holds every term of the loss and the gradients."""

    log_prob: np.ndarray
    ratio: np.ndarray
    entropy: np.ndarray
    value: np.ndarray
    policy_loss: float
    value_loss: float
    loss: float
    kl: float
    gradients: dict[str, np.ndarray]


class Several:
    """Joins independent choices, one distribution each."""

    def __init__(self, parts):
        self.parts = parts

    def log_prob(self, actions):
        return sum(part.log_prob(actions[:, i]) for i, part in enumerate(self.parts))

    def entropy(self):
        return sum(part.entropy() for part in self.parts)


class Squashed(TransformedDistribution):
    """The distribution of the tanh of normal numbers, evaluated at the normal numbers; its entropy is a quadrature."""

    def __init__(self, mean, std):
        self.normal = Independent(Normal(mean, std), 1)
        super().__init__(Normal(mean, std), [TanhTransform(cache_size=1)])
        nodes, weights = (torch.tensor(x) for x in np.polynomial.hermite_e.hermegauss(16))
        self.points = mean[..., None] + std[..., None] * nodes
        self.weights = weights / weights.sum()

    def log_prob(self, before):
        return (self.base_dist.log_prob(before) - log_slope(before)).sum(1)

    def entropy(self):
        return self.normal.entropy() + (log_slope(self.points) * self.weights).sum((1, 2))


def log_slope(x):
    """Compute log(1 - tanh(x)^2); torch's TanhTransform uses a softplus with errors of 2e-9 beyond 20."""
    return 2.0 * (math.log(2.0) - x - torch.logaddexp(-2.0 * x, torch.zeros_like(x)))


def torch_policy(spec, parameters, masks=None):
    """Make torch's distribution of an action kind; masked logits are as low as torch allows."""
    kind, size = spec.action_kind, spec.action_size
    if kind in ("categorical", "multi_categorical"):
        choices = list(spec.choices) or [size]
        if masks is not None:
            parameters = parameters.masked_fill(~masks, -1e200)
        parts = [Categorical(logits=logits) for logits in parameters.split(choices, dim=1)]
        return parts[0] if kind == "categorical" else Several(parts)
    if kind == "bernoulli":
        if masks is not None:
            zero, one = masks[:, ::2], masks[:, 1::2]
            # Large enough for probabilities of 0 and 1, small enough for torch's products to be finite.
            parameters = parameters.masked_fill(~one, -1e30).masked_fill(~zero, 1e30)
        return Independent(Bernoulli(logits=parameters), 1)
    first, second = parameters[:, :size], parameters[:, size:]
    if kind == "beta":
        shapes = [1.0 + torch.logaddexp(x, torch.zeros_like(x)) for x in (first, second)]
        return Independent(Beta(*shapes), 1)
    return Squashed(first, second.exp()) if kind == "squashed_gaussian" else Independent(Normal(first, second.exp()), 1)


def torch_kl(old, new):
    """Compute torch's KL divergence, which squashing does not change."""
    if isinstance(old, Several):
        return sum(kl_divergence(*parts) for parts in zip(old.parts, new.parts, strict=True))
    if isinstance(old, Squashed):
        return kl_divergence(old.normal, new.normal)
    return kl_divergence(old, new)


def torch_loss(problem):
    """Compute the loss of arXiv:1707.06347, equations 7 to 9, with all optional terms."""
    spec, _, batch, objective = problem
    w = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in problem.weights.items()}
    old = type(batch)(*(x if x is None else torch.as_tensor(x) for x in batch))
    activation = {"tanh": torch.tanh, "relu": torch.relu}[spec.activation]

    def head(name):
        trunk, h = "trunk" if spec.shared_trunk else name, old.observations
        for i in range(len(spec.hidden_sizes)):
            h = activation(h @ w[f"{trunk}.hidden.{i}.weight"] + w[f"{trunk}.hidden.{i}.bias"])
        return h @ w[f"{name}.output.weight"] + w[f"{name}.output.bias"]

    output, value = head("actor"), head("critic").squeeze(-1)
    if "log_std" in w:
        log_std = w["log_std"] if spec.learn_log_std else w["log_std"].detach()
        output = torch.cat([output, log_std.expand_as(output)], dim=1)
    policy = torch_policy(spec, output, old.masks)
    # torch's Bernoulli takes floating-point actions.
    log_prob = policy.log_prob(old.actions.double() if spec.action_kind == "bernoulli" else old.actions)
    entropy = policy.entropy()
    ratio = (log_prob - old.log_probs).clamp(-20.0, 20.0).exp()
    surrogate = ratio * old.advantages
    if objective.clip:
        clipped = ratio.clamp(1.0 - objective.clip_range, 1.0 + objective.clip_range)
        surrogate = torch.min(surrogate, clipped * old.advantages)
    if objective.dual_clip is not None:
        floor = torch.max(surrogate, objective.dual_clip * old.advantages)
        surrogate = torch.where(old.advantages < 0.0, floor, surrogate)
    policy_loss = -surrogate.mean()
    squares = (value - old.returns) ** 2
    if objective.value_clip_range is not None:
        limit = objective.value_clip_range
        clipped_value = old.values + (value - old.values).clamp(-limit, limit)
        squares = torch.max(squares, (clipped_value - old.returns) ** 2)
    value_loss = 0.5 * squares.mean()
    loss = policy_loss - objective.entropy_coef * entropy.mean() + objective.value_coef * value_loss
    kl = torch.zeros(())
    if objective.kl_coef:
        kl = torch_kl(torch_policy(spec, old.old_parameters, old.masks), policy).mean()
        loss = loss + objective.kl_coef * kl
    matrices = [x for name, x in w.items() if name.startswith("critic.") and name.endswith(".weight")]
    loss = loss + objective.critic_l2_coef * sum(x.square().sum() for x in matrices)
    gradients = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    arrays = [x.detach().numpy() for x in (log_prob, ratio, entropy, value)]
    zeros = [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(w.values(), gradients, strict=True)]
    terms = [x.item() for x in (policy_loss, value_loss, loss, kl)]
    return TorchLoss(*arrays, *terms, dict(zip(w, zeros, strict=True)))
