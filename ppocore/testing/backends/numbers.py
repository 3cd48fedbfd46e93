"""Check that a backend computes the oracle's numbers for one minibatch, to a few units in the last place."""

from __future__ import annotations

import numpy as np

from ppocore.backend import BackendFactory
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import compute_dtype
from ppocore.testing.backends.comparison import Disagreement, Errors, Inapplicable, reference, require_dtype, ulps
from ppocore.testing.backends.one_step import first_moments
from ppocore.testing.backends.problems import Problem


def forward(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that distribution parameters (B, P) and values (B,) equal the oracle's."""
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
    """Require that the log-probabilities (B,) of the actions equal the oracle's."""
    return _compare_evaluation("log_prob", factory, problem, precision, device)


def entropy(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the entropies (B,) equal the oracle's."""
    return _compare_evaluation("entropy", factory, problem, precision, device)


def ratio(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the probability ratios (B,) equal the oracle's, which clamps log-ratios to +-20."""
    return _compare_evaluation("ratio", factory, problem, precision, device)


def kl(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the KL divergence of the old and the new policy equals the oracle's, 0 without a KL term."""
    return _compare_evaluation("kl", factory, problem, precision, device)


def policy_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the policy loss equals the oracle's, with one clip, two or none."""
    return _compare_evaluation("policy_loss", factory, problem, precision, device)


def value_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that half the mean squared error of the values, clipped or not, equals the oracle's."""
    return _compare_evaluation("value_loss", factory, problem, precision, device)


def total_loss(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that the weighted sum of all loss terms, the critic's L2 term included, equals the oracle's."""
    return _compare_evaluation("loss", factory, problem, precision, device)


def gradients(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that every weight's gradient before clipping equals the oracle's, by canonical name and shape."""
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
    """Require that an update reports the global norm of the gradients before clipping."""
    return _compare_stats(("grad_norm",), factory, problem, precision, device)


def update_stats(factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu") -> Errors:
    """Require that an update reports the losses, entropy, KL divergence and clip fraction from before the step."""
    names = ("loss", "policy_loss", "value_loss", "entropy", "old_approx_kl", "approx_kl", "clip_fraction", "kl")
    return _compare_stats(names, factory, problem, precision, device)


def clipped_gradient(
    factory: BackendFactory, problem: Problem, *, precision: str = "exact", device: str = "cpu"
) -> Errors:
    """Require that the optimizer gets ``gradient * min(1, max_grad_norm / norm)``, with the norm over all weights.

    In exact mode the norm is first rounded to float32, and the product to the grid of
    `ppocore.optimizers.gradient_grid`. Compared is Adam's first moment, which after one step is a tenth of the clipped
    gradient, with limits of half and of twice the norm.
    """
    expected = reference(problem, precision)
    norm = float(expected.rounded.stats["grad_norm"].value)
    if norm < 1e-12:
        raise Inapplicable("there is no gradient to clip")
    for limit in (0.5 * norm, 2.0 * norm):
        # A small epsilon makes exact mode's grid fine, so that it hides no difference.
        limited = problem.with_one_optimizer(max_grad_norm=limit, adam_epsilon=1e-8)
        backend = limited.backend(factory, precision, device)
        limited.step(backend, limited.batch(precision))
        state = backend.state()
        for name, interval in first_moments(limited, expected, precision).items():
            quantity = f"first moment of {name}, the norm {norm!r} clipped to {limit!r},"
            interval.require(quantity, state[f"adam.m.{name}"])
    return {}


def _compare_evaluation(name: str, factory: BackendFactory, problem: Problem, precision: str, device: str) -> Errors:
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


def _compare_stats(
    names: tuple[str, ...], factory: BackendFactory, problem: Problem, precision: str, device: str
) -> Errors:
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
