"""Distributions of every kind, samples of them, and their derivatives by finite differences."""

import numpy as np
import torch
from support.networks import random_masks, spec_of
from support.torch_reference import torch_kl, torch_policy

FALSE_ALARM = 1e-6


def drawn(distribution, parameters, count, seed):
    """``count`` actions from one row of parameters, drawn 8 environments at a time as a rollout does."""
    noise = distribution.noise(np.random.default_rng(seed), (count // 8, 8))
    out = np.empty((count // 8, 8, *distribution.action_shape), distribution.action_dtype)
    rows = np.broadcast_to(np.asarray(parameters, np.float64), (8, distribution.parameter_size))
    for t in range(count // 8):
        assert distribution.sample(rows, noise[t], out[t]) is not None
    return out


def some_actions(distribution, parameters, rng):
    """One action for each row of parameters."""
    actions = np.empty((len(parameters), *distribution.action_shape), distribution.action_dtype)
    distribution.sample(parameters, distribution.noise(rng, (len(parameters),)), actions)
    return actions.astype(np.float64) if actions.dtype.kind == "f" else actions


def slopes(function, parameters, step=1e-5):
    """The derivative of each row's number by each of its parameters, by central differences."""
    found = np.empty_like(parameters)
    for j in range(parameters.shape[1]):
        ends = []
        for sign in (1.0, -1.0):
            moved = parameters.copy()
            moved[:, j] += sign * step
            ends.append(function(moved))
        found[:, j] = (ends[0] - ends[1]) / (2.0 * step)
    return found


def example(kind, size, seed, scale=1.5, rows=6, masked=False):
    """A specification, its distribution, parameters and masks, a generator."""
    spec, rng = spec_of(kind, size), np.random.default_rng(seed)
    distribution = spec.distribution()
    parameters = rng.normal(0.0, scale, (rows, distribution.parameter_size))
    masks = random_masks(spec, rng, rows) if masked and distribution.mask_size else None
    return spec, distribution, parameters, masks, rng


def check_pullbacks_by_differences(kind, size, seed, masked):
    """Of log-probability, entropy and divergence, masks and all."""
    _, distribution, parameters, masks, rng = example(kind, size, seed, masked=masked)
    old = parameters + rng.normal(0.0, 0.5, parameters.shape)

    def apply(x):
        return x if masks is None else distribution.apply_masks(x, masks)

    actions = some_actions(distribution, apply(parameters), rng)
    weights = rng.normal(0.0, 1.0, (3, len(parameters)))

    def total(x):
        log_prob, entropy, _ = distribution.evaluate(apply(x), actions)
        return weights[0] * log_prob + weights[1] * entropy

    def kl(x):
        return weights[2] * distribution.divergence(apply(old), apply(x))[0]

    pullback = distribution.evaluate(apply(parameters), actions)[2]
    kl_pullback = distribution.divergence(apply(old), apply(parameters))[1]
    np.testing.assert_allclose(pullback(*weights[:2]), slopes(total, parameters), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(kl_pullback(weights[2]), slopes(kl, parameters), rtol=1e-6, atol=1e-7)


def check_against_torch(kind, size, seed, scale, masked):
    """Log-probability, entropy, divergence and the gradient of all three, with torch's distributions."""
    spec, distribution, parameters, masks, rng = example(kind, size, seed, scale, masked=masked)
    old = parameters + rng.normal(0.0, 0.5, parameters.shape)
    given = [x if masks is None else distribution.apply_masks(x, masks) for x in (parameters, old)]
    actions = some_actions(distribution, given[0], rng)
    log_prob, entropy, pullback = distribution.evaluate(given[0], actions)
    kl, kl_pullback = distribution.divergence(given[1], given[0])
    tensor = torch.tensor(parameters, requires_grad=True)
    flags = None if masks is None else torch.tensor(masks)
    policy, before = (torch_policy(spec, x, flags) for x in (tensor, torch.tensor(old)))
    taken = torch.tensor(actions.astype(np.float64) if kind == "bernoulli" else actions)
    theirs = policy.log_prob(taken), policy.entropy(), torch_kl(before, policy)
    for ours, other in zip((log_prob, entropy, kl), theirs, strict=True):
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=1e-9, atol=1e-10)
    weights = rng.normal(0.0, 1.0, (3, len(parameters)))
    sum((torch.tensor(w) * x).sum() for w, x in zip(weights, theirs, strict=True)).backward()
    gradient, expected = pullback(*weights[:2]) + kl_pullback(weights[2]), tensor.grad.numpy()
    atol = 1e-8 if kind == "beta" else 1e-10  # torch's trigamma is good to 5e-10
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=atol * max(1.0, np.abs(expected).max()))
