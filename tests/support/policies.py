"""Policies with random weights for every kind of action and observation."""

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from support.networks import random_weights

from ppocore import ObservationNormalizer, Policy
from ppocore.envs import action_space, observation_mapping
from ppocore.networks import NetworkSpec
from ppocore.spaces import ActionAdapter

OBSERVATIONS = {
    "box": Box(-1, 1, (2, 3), np.float32),
    "discrete": Discrete(4, start=-2),
    "multi_discrete": MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [5, -1]]),
    "multi_binary": MultiBinary((2, 2)),
    # Not in the order of the alphabet; one part is an array without an axis.
    "parts": Dict(
        {
            "z": Tuple([Discrete(3, start=1), Dict({"m": MultiBinary(3), "k": MultiDiscrete([3, 2], start=[-4, 2])})]),
            "a": Box(-1, 1, (), np.float32),
        }
    ),
}
ACTIONS = {
    "categorical": (Discrete(5, start=-2), "gaussian"),
    "multi_categorical": (MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [0, -1]]), "gaussian"),
    "bernoulli": (MultiBinary((2, 2)), "gaussian"),
    "gaussian": (Box(-0.5, 1, (1, 3), np.float64), "gaussian"),
    "gaussian without bounds": (Box(-np.inf, np.inf, (2,)), "gaussian"),
    "squashed_gaussian": (Box(np.float32([[-2, 5]]), np.float32([[-1, 9]])), "squashed_gaussian"),
    "beta": (Box(-2, 1, (2,), np.float16), "beta"),
}


def policy_for(actions, observations, normalized=False, zeroed=slice(0), **network):
    """Make a policy with random weights, whose outputs in ``zeroed`` are always 0."""
    space, continuous = ACTIONS[actions] if isinstance(actions, str) else actions
    adapter, mapping = ActionAdapter(action_space(space), continuous), observation_mapping(observations)
    spec = NetworkSpec(mapping.size, adapter.kind, adapter.size, choices=adapter.choices, **network)
    weights = random_weights(spec, np.random.default_rng(0))
    for name in ("actor.output.weight", "actor.output.bias"):
        weights[name][..., zeroed] = 0.0
    normalizer = ObservationNormalizer((mapping.size,))
    normalizer.update(np.random.default_rng(1).normal(0.5, 2.0, (50, mapping.size)))
    return Policy(spec, weights, adapter, mapping, normalizer.state() if normalized else None)
