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
    if spec.action_kind == "gaussian":
        parameters = [np.concatenate([mean, weights["log_std"]]) for mean in parameters]
    values = [head("critic", x)[0] for x in observations.astype(np.float64)]
    return np.array(parameters), np.array(values)


def random_batch(spec, weights, rng, size, moves=MOVES, advantages=ADVANTAGES, dtype=np.float64):
    """Samples whose log-probabilities have moved by ``moves`` since, and values and targets of all sizes."""
    backend = loaded_backend(spec, weights)
    observations = rng.normal(0.0, 1.0, (size, spec.observation_size))
    parameters, values = backend.forward(observations)
    distribution = spec.distribution()
    actions = np.empty((size, *distribution.action_shape), distribution.action_dtype)
    distribution.sample(parameters, distribution.noise(rng, (size,)), actions)
    log_probs = distribution.evaluate(parameters, actions)[0] - rng.choice(moves, size)
    if spec.action_kind == "gaussian":
        actions = actions.astype(dtype)
    # As a rollout does, round what is stored to float32.  Half the advantages are ties, some of them zero.
    tied = rng.random(size) < 0.5
    stored = (
        np.where(tied, rng.choice(advantages, size), rng.normal(0.0, 1.5, size)),
        values + rng.normal(0.0, 1.0, size),
        values + rng.choice((0.0, 0.02, 0.5, 3.0), size) * rng.normal(0.0, 1.0, size),
    )
    advantages, returns, old_values = (x.astype(np.float32).astype(dtype) for x in stored)
    return Minibatch(observations.astype(dtype), actions, log_probs.astype(dtype), advantages, returns, old_values)


@st.composite
def specs(draw, max_hidden=3):
    return NetworkSpec(
        observation_size=draw(st.integers(1, 5)),
        action_kind=draw(st.sampled_from(["categorical", "gaussian"])),
        action_size=draw(st.integers(1, 4)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 9), max_size=max_hidden))),
        activation=draw(st.sampled_from(["tanh", "relu"])),
        shared_trunk=draw(st.booleans()),
        log_std_init=draw(st.floats(-1.0, 1.0)),
    )


objectives = st.builds(
    Objective,
    clip_range=st.sampled_from([0.01, 0.1, 0.2, 0.5, 0.9]),
    value_clip_range=st.sampled_from([None, 0.01, 0.2, 1.0, 10.0]),
    entropy_coef=st.sampled_from([0.0, 0.01, 1.0]),
    value_coef=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)


@st.composite
def problems(draw):
    spec, rng = draw(specs()), np.random.default_rng(draw(SEEDS))
    weights = random_weights(spec, rng)
    return Problem(spec, weights, random_batch(spec, weights, rng, draw(st.integers(1, 40))), draw(objectives))


class TorchLoss(NamedTuple):
    """Every term of the loss, by torch's own distributions, and the gradient by autograd."""

    log_prob: np.ndarray
    ratio: np.ndarray
    entropy: np.ndarray
    value: np.ndarray
    policy_loss: float
    value_loss: float
    loss: float
    gradients: dict[str, np.ndarray]


def torch_loss(problem):
    """The loss of arXiv:1707.06347, equations 7 and 9, as one would write it in torch, in float64."""
    import torch
    from torch.distributions import Categorical, Independent, Normal

    spec, _, batch, objective = problem
    w = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in problem.weights.items()}
    old = Minibatch(*map(torch.as_tensor, batch))
    activation = {"tanh": torch.tanh, "relu": torch.relu}[spec.activation]

    def head(name):
        trunk, h = "trunk" if spec.shared_trunk else name, old.observations
        for i in range(len(spec.hidden_sizes)):
            h = activation(h @ w[f"{trunk}.hidden.{i}.weight"] + w[f"{trunk}.hidden.{i}.bias"])
        return h @ w[f"{name}.output.weight"] + w[f"{name}.output.bias"]

    output, value = head("actor"), head("critic").squeeze(-1)
    if spec.action_kind == "categorical":
        policy = Categorical(logits=output)
    else:
        policy = Independent(Normal(output, w["log_std"].exp().expand_as(output)), 1)
    log_prob, entropy = policy.log_prob(old.actions), policy.entropy()
    ratio = (log_prob - old.log_probs).clamp(-20.0, 20.0).exp()
    clipped = ratio.clamp(1.0 - objective.clip_range, 1.0 + objective.clip_range)
    policy_loss = -torch.min(ratio * old.advantages, clipped * old.advantages).mean()
    squares = (value - old.returns) ** 2
    if objective.value_clip_range is not None:
        limit = objective.value_clip_range
        near = old.values + (value - old.values).clamp(-limit, limit)
        squares = torch.max(squares, (near - old.returns) ** 2)
    value_loss = 0.5 * squares.mean()
    loss = policy_loss - objective.entropy_coef * entropy.mean() + objective.value_coef * value_loss
    gradients = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    arrays = [x.detach().numpy() for x in (log_prob, ratio, entropy, value)]
    zeros = [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(w.values(), gradients, strict=True)]
    return TorchLoss(*arrays, policy_loss.item(), value_loss.item(), loss.item(), dict(zip(w, zeros, strict=True)))


def assert_states_equal(actual, expected):
    """Equal names, dtypes, shapes and bits."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
        assert actual[name].tobytes() == array.tobytes(), name
