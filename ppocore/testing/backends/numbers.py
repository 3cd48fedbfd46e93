"""Properties of one minibatch: a backend computes what the oracle computes, to a few units in the last place."""

from __future__ import annotations

import numpy as np

from ppocore.backend import BackendFactory
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import compute_dtype
from ppocore.testing.backends.judging import Disagreement, Errors, Inapplicable, reference, require_dtype, ulps
from ppocore.testing.backends.one_step import first_moments
from ppocore.testing.backends.problems import Problem


def forward(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Distribution parameters (B, P) and values (B,) are the oracle's."""
    expected = reference(problem, precision).rounded
    backend, oracle = problem.backend(factory, precision, device), problem.backend(NumpyBackend, "exact")
    observations = problem.batch(precision).observations
    named = zip(("parameters", "values"), backend.forward(observations), strict=True)
    errors: Errors = {}
    for (name, actual), value, rounded in zip(
        named, oracle.forward(observations.astype(np.float64)), (expected.parameters, expected.value), strict=True
    ):
        require_dtype(name, actual, compute_dtype(precision))
        errors[name] = ulps(name, actual, value, rounded, precision)
    return errors


def log_prob(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Log-probabilities (B,) of the actions are the oracle's."""
    return _evaluated("log_prob", factory, problem, precision, device)


def entropy(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Entropies (B,) are the oracle's."""
    return _evaluated("entropy", factory, problem, precision, device)


def ratio(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Probability ratios (B,) are the oracle's, log-ratios beyond +-20 held there before they are exponentiated."""
    return _evaluated("ratio", factory, problem, precision, device)


def kl(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """The divergence of the old policy and this one is the oracle's, and 0 where the objective has none."""
    return _evaluated("kl", factory, problem, precision, device)


def policy_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """The surrogate is the oracle's, clipped once, twice or not at all."""
    return _evaluated("policy_loss", factory, problem, precision, device)


def value_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Half the mean squared error of the values, clipped or not, is the oracle's."""
    return _evaluated("value_loss", factory, problem, precision, device)


def total_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """The sum of all terms with their weights, L2 of the critic's weights among them, is the oracle's."""
    return _evaluated("loss", factory, problem, precision, device)


def gradients(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """The gradient of every weight is the oracle's, under its canonical name and shape, before clipping."""
    expected = reference(problem, precision)
    actual = problem.backend(factory, precision, device).gradients(problem.batch(precision), problem.objective)
    if list(actual) != list(expected.gradients):
        raise Disagreement("gradients: names", list(expected.gradients), list(actual))
    worst = 0.0
    for name, gradient in expected.gradients.items():
        require_dtype(f"gradient of {name}", actual[name], compute_dtype(precision))
        rounded = expected.rounded.gradients[name]
        worst = max(worst, ulps(f"gradient of {name}", actual[name], gradient, rounded, precision))
    return {"gradient": worst}


def global_norm(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """An update reports the norm of all gradients together, as it was before clipping."""
    return _reported(("grad_norm",), factory, problem, precision, device)


def update_stats(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """An update reports the losses, entropy, divergence, its estimates and the clip fraction, of before the step."""
    names = ("loss", "policy_loss", "value_loss", "entropy", "old_approx_kl", "approx_kl", "clip_fraction", "kl")
    return _reported(names, factory, problem, precision, device)


def clipped_gradient(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """The optimizer gets gradient * min(1, max_grad_norm / norm), norm over all weights, nothing added to it.

    In exact mode the norm is rounded to float32 first, and the product to the grid of
    `ppocore.backend.gradient_grid`. Seen through Adam's first moment, which after one step is a tenth of what the
    optimizer got: with a limit of half the norm, and with one of twice the norm.
    """
    expected = reference(problem, precision)
    norm = float(expected.rounded.stats["grad_norm"].value)
    if norm < 1e-12:
        raise Inapplicable("there is no gradient to clip")
    for limit in (0.5 * norm, 2.0 * norm):
        # With little epsilon exact mode's grid is fine, so that it hides no difference.
        limited = problem.with_one_optimizer(max_grad_norm=limit, adam_epsilon=1e-8)
        backend = limited.backend(factory, precision, device)
        limited.step(backend, limited.batch(precision))
        state = backend.state()
        for name, interval in first_moments(limited, expected, precision).items():
            interval.require(f"first moment of {name}, the norm {norm!r} held to {limit!r},", state[f"adam.m.{name}"])
    return {}


def _evaluated(name: str, factory: BackendFactory, problem: Problem, precision: str, device: str) -> Errors:
    """Compare one field of `ppocore.backend.Evaluation`."""
    expected = reference(problem, precision)
    evaluation = problem.backend(factory, precision, device).evaluate(problem.batch(precision), problem.objective)
    actual = getattr(evaluation, name)
    if name == "kl" or name.endswith("loss"):
        if not isinstance(actual, float):
            raise Disagreement(name, "a float", type(actual).__name__)
    else:
        require_dtype(name, actual, compute_dtype(precision))
    rounded = getattr(expected.rounded, name)
    return {name: ulps(name, actual, getattr(expected.evaluation, name), rounded, precision)}


def _reported(names: tuple[str, ...], factory: BackendFactory, problem: Problem, precision: str, device: str) -> Errors:
    """Compare fields of `ppocore.backend.UpdateStats`."""
    rounded = reference(problem, precision).rounded.stats
    stats = problem.step(problem.backend(factory, precision, device), problem.batch(precision))
    errors: Errors = {}
    for name in names:
        actual = getattr(stats, name)
        if not isinstance(actual, float):
            raise Disagreement(name, "a float", type(actual).__name__)
        errors[name] = ulps(name, actual, rounded[name].value, rounded[name], precision)
    return errors
