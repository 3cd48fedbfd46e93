"""NumPy, torch, paddle and JAX agree on every property of `ppocore.testing.backends.properties`."""

import numpy as np
import pytest

from ppocore.backend import Minibatch, Objective, OptimizerStep
from ppocore.networks import NetworkSpec
from ppocore.registry import available_backends, backend_factory
from ppocore.testing import check_backend
from ppocore.testing.backends.properties import PROPERTIES

EXAMPLES = {"torch": 12, "paddle": 12, "jax": 2}  # JAX takes a second to compile each network and number of rows
FRAMEWORKS = [
    pytest.param(name, marks=pytest.mark.skipif(available_backends()[name] is not None, reason="not installed"))
    for name in EXAMPLES
]


@pytest.mark.slow
@pytest.mark.parametrize("checked", PROPERTIES, ids=lambda checked: checked.name)
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_a_property_holds(backend, checked):
    precisions = checked.precisions[: 1 if backend == "jax" else None]
    report = check_backend(backend, properties=[checked.name], precisions=precisions, max_examples=EXAMPLES[backend])
    report.raise_if_failed()


@pytest.mark.parametrize("precision", ["exact", "float32"])
@pytest.mark.parametrize("backend", ["numpy", *FRAMEWORKS])
def test_an_improbable_action_has_its_own_log_probability(backend, precision):
    """Its probability is not clipped at a minimum: logits of 0 and -120."""
    spec = NetworkSpec(1, "categorical", 2, hidden_sizes=())
    made = backend_factory(backend)(spec, precision=precision, adam_epsilon=1e-5, device="cpu")
    zeros = {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}
    made.load_state({**zeros, "actor.output.bias": np.float32([0.0, -120.0])})
    dtype = np.float64 if precision == "exact" else np.float32
    batch = Minibatch(np.ones((1, 1), dtype), np.array([1]), *(np.zeros(1, dtype) for _ in range(4)))
    assert made.evaluate(batch, Objective(0.2)).log_prob.tolist() == [-120.0]


@pytest.mark.parametrize("backend", ["numpy", *FRAMEWORKS])
def test_the_estimate_of_the_divergence_is_never_below_0(backend):
    """(r - 1) - log r is at least 0; of a policy that has hardly moved, float32 leaves nothing but rounding."""
    spec = NetworkSpec(1, "categorical", 2, hidden_sizes=())
    made = backend_factory(backend)(spec, precision="float32", adam_epsilon=1e-5, device="cpu")
    zeros = {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}
    rng = np.random.default_rng(0)
    for _ in range(20):
        made.load_state(zeros)
        old = np.log(0.5) + rng.normal(0.0, 1e-4, 64)
        actions, others = rng.integers(2, size=64), (np.zeros(64, np.float32),) * 3
        batch = Minibatch(np.ones((64, 1), np.float32), actions, old.astype(np.float32), *others)
        assert made.update(batch, Objective(0.2), OptimizerStep(1e-3)).approx_kl >= 0.0


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_moments_decay_through_the_subnormal_numbers_of_float32_as_in_numpy(backend):
    """A weight whose input is always 0 has no gradient; its moments shrink by their betas, never flushed to 0."""
    spec = NetworkSpec(2, "categorical", 2, hidden_sizes=())
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}
    tiny = {name: np.full(array.shape, 3e-38, np.float32) for name, array in weights.items()}
    state = {**weights, **{f"adam.{m}.{n}": a for m in "mv" for n, a in tiny.items()}, "adam.step": np.array(9)}
    batch = Minibatch(np.float64([[1.0, 0.0]] * 4), np.array([0, 1, 0, 1]), *(np.linspace(-1.0, 1.0, 4),) * 4)
    ended = []
    for name in ("numpy", backend):
        made = backend_factory(name)(spec, precision="exact", adam_epsilon=1e-5, device="cpu")
        made.load_state(state)
        for _ in range(40):
            made.update(batch, Objective(0.2), OptimizerStep(1e-3, 0.5))
        ended.append(made.state())
    unused = ended[0]["adam.m.actor.output.weight"][1]
    assert (unused > 0.0).all()
    assert (unused < np.finfo(np.float32).tiny).all()
    for key, array in ended[0].items():
        assert array.tobytes() == ended[1][key].tobytes(), key
