"""Networks, batches and plain second implementations that several test files share."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from ppocore.backend import Minibatch, Objective
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.networks import NetworkSpec

SEEDS = st.integers(0, 2**32 - 1)
# How far a sample's log-probability has moved: not at all, inside the clip range, outside it, beyond the clamp.
MOVES = (0.0, 0.0, 0.03, -0.03, 0.3, -0.3, 1.0, -1.0, 19.5, -19.5, 21.0, -25.0, 300.0, -300.0)
ADVANTAGES = (0.0, 1.0, 1.0, -1.0, 0.5, -2.5)


KINDS = ("categorical", "gaussian", "multi_categorical", "bernoulli", "squashed_gaussian", "beta")


class Problem(NamedTuple):
    """A network, its weights, and a loss to compute with them."""

    spec: NetworkSpec
    weights: dict[str, np.ndarray]
    batch: Minibatch
    objective: Objective

    def backend(self, precision="exact", **settings):
        return loaded_backend(self.spec, self.weights, precision, **settings)


def loaded_backend(spec, weights, precision="exact", **settings):
    backend = NumpyBackend(spec, precision=precision, **settings)
    backend.load_state(weights)
    return backend


def random_weights(spec, rng, scale=0.6):
    """Weights, biases included, that are multiples of 2**-10: a step of 2**-18 changes them exactly."""
    return {
        name: (np.round(rng.normal(0.0, scale, shape) * 1024.0) / 1024.0).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


def plain_forward(spec, weights, observations):
    """Distribution parameters and values, one observation at a time."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}

    def layer(name, x):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return np.array([sum(x[i] * weight[i, j] for i in range(len(x))) + bias[j] for j in range(len(bias))])

    def head(name, x):
        trunk = "trunk" if spec.shared_trunk else name
        for i in range(len(spec.hidden_sizes)):
            x = layer(f"{trunk}.hidden.{i}", x)
            x = np.tanh(x) if spec.activation == "tanh" else x * (x > 0.0)
        return layer(f"{name}.output", x)

    parameters = [head("actor", x) for x in observations.astype(np.float64)]
    if "gaussian" in spec.action_kind:
        parameters = [np.concatenate([mean, weights["log_std"]]) for mean in parameters]
    values = [head("critic", x)[0] for x in observations.astype(np.float64)]
    return np.array(parameters), np.array(values)


def random_masks(spec, rng, size):
    """At least one flag of each component; a third of the rows have no other."""
    components = {"bernoulli": (2,) * spec.action_size, "multi_categorical": spec.choices}
    flags, one_alone = [], rng.random((size, 1)) < 1 / 3
    for n in components.get(spec.action_kind, (spec.action_size,)):
        flags.append((np.arange(n) == rng.integers(n, size=(size, 1))) | (rng.random((size, n)) < 0.6) & ~one_alone)
    return np.concatenate(flags, axis=1)


def random_batch(
    spec, weights, rng, size, moves=MOVES, advantages=ADVANTAGES, dtype=np.float64, masked=False, old=False
):
    """Samples whose log-probabilities have moved by ``moves`` since, and values and targets of all sizes."""
    backend = loaded_backend(spec, weights)
    observations = rng.normal(0.0, 1.0, (size, spec.observation_size))
    parameters, values = backend.forward(observations)
    distribution = spec.distribution()
    masks = random_masks(spec, rng, size) if masked and distribution.mask_size else None
    before = (parameters + rng.normal(0.0, 0.3, parameters.shape)).astype(np.float32).astype(dtype) if old else None
    if masks is not None:
        parameters = distribution.apply_masks(parameters, masks)
    actions = np.empty((size, *distribution.action_shape), distribution.action_dtype)
    distribution.sample(parameters, distribution.noise(rng, (size,)), actions)
    actions = actions.astype(dtype) if actions.dtype.kind == "f" else actions
    log_probs = distribution.evaluate(parameters, actions.astype(np.result_type(actions, np.int64)))[0]
    log_probs = log_probs - rng.choice(moves, size)
    # As a rollout does, round what is stored to float32. Half the advantages are ties, some of them zero.
    tied = rng.random(size) < 0.5
    stored = (
        np.where(tied, rng.choice(advantages, size), rng.normal(0.0, 1.5, size)),
        values + rng.normal(0.0, 1.0, size),
        values + rng.choice((0.0, 0.02, 0.5, 3.0), size) * rng.normal(0.0, 1.0, size),
    )
    stored = [x.astype(np.float32).astype(dtype) for x in stored]
    return Minibatch(observations.astype(dtype), actions, log_probs.astype(dtype), *stored, masks, before)


def spec_of(kind, size=2, hidden_sizes=(64, 64), **settings):
    """A network whose actions are of a kind; of several choices, 3 each and then 2."""
    if kind == "multi_categorical":
        settings["choices"] = tuple(3 - i % 2 for i in range(size))
    return NetworkSpec(settings.pop("observation_size", 3), kind, size, hidden_sizes, **settings)


@st.composite
def specs(draw, max_hidden=3):
    kind = draw(st.sampled_from(KINDS))
    choices = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))) if kind == "multi_categorical" else ()
    return NetworkSpec(
        observation_size=draw(st.integers(1, 5)),
        action_kind=kind,
        action_size=len(choices) or draw(st.integers(1, 4)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 9), max_size=max_hidden))),
        activation=draw(st.sampled_from(["tanh", "relu"])),
        shared_trunk=draw(st.booleans()),
        log_std_init=draw(st.floats(-1.0, 1.0)),
        choices=choices,
        learn_log_std=draw(st.sampled_from([True, True, False])),
    )


@st.composite
def _objectives(draw):
    clip = draw(st.sampled_from([True, True, False]))
    return Objective(
        clip_range=draw(st.sampled_from([0.01, 0.1, 0.2, 0.5, 0.9])),
        value_clip_range=draw(st.sampled_from([None, 0.01, 0.2, 1.0, 10.0])),
        entropy_coef=draw(st.sampled_from([0.0, 0.01, 1.0])),
        value_coef=draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
        clip=clip,
        dual_clip=draw(st.sampled_from([None, 1.5, 3.0])) if clip else None,
        kl_coef=draw(st.sampled_from([0.0, 0.5, 3.0])),
        critic_l2_coef=draw(st.sampled_from([0.0, 1e-3])),
    )


objectives = _objectives()


@st.composite
def problems(draw):
    spec, rng = draw(specs()), np.random.default_rng(draw(SEEDS))
    weights = random_weights(spec, rng)
    objective, masked = draw(objectives), draw(st.booleans())
    batch = random_batch(spec, weights, rng, draw(st.integers(1, 40)), masked=masked, old=objective.kl_coef > 0.0)
    return Problem(spec, weights, batch, objective)


def assert_states_equal(actual, expected):
    """Equal names, dtypes, shapes and bits."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert actual[name].tobytes() == array.tobytes(), name
