"""Define hypothesis strategies for configurations, action masks, minibatches and policies.

`ppocore.testing.backends.strategies` has those for networks and losses, `ppocore.testing.gae.trajectories` those for
rewards and flags.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ppocore.backend import Minibatch
from ppocore.config import PPOConfig
from ppocore.distributions import Bernoulli, Categorical
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec
from ppocore.normalize import ObservationNormalizer
from ppocore.policy import Policy
from ppocore.spaces import (
    ActionAdapter,
    ActionSpace,
    BoxAction,
    BoxObservation,
    DiscreteAction,
    MultiBinaryAction,
    MultiDiscreteAction,
    ObservationMapping,
)
from ppocore.testing.backends.random_problems import MASKS, component_sizes, random_problem
from ppocore.testing.backends.strategies import network_specs, objectives
from ppocore.typing import Bools

_SWITCHES = (
    "anneal_learning_rate anneal_clip_range anneal_entropy_coef separate_optimizers recompute_advantages "
    "normalize_advantages normalize_observations normalize_rewards shared_trunk learn_log_std"
).split()
_ESTIMATORS = ["gae", "monte_carlo", "n_step", "td", "vtrace"]
_CHOICES: dict[str, list[Any]] = {
    "learning_rate": [2.5e-4, 1e-3, 1e-5],
    "critic_learning_rate": [None, 1e-3],
    "adaptive_lr_kl": [None, 0.01],
    "adam_epsilon": [1e-5, 1e-8],
    "gamma": [0.99, 1.0, 0.9, 0.0],
    "gae_lambda": [0.95, 1.0, 0.0],
    "advantage_estimator": _ESTIMATORS,
    "n_step": [5, 1, 40],
    "value_target": ["same", *_ESTIMATORS],
    "objective": ["clip", "kl", "clip+kl", "none"],
    "clip_range": [0.2, 0.05, 0.9],
    "dual_clip": [None, 3.0],
    "kl_coef": [1.0, 0.1],
    "kl_penalty_target": [None, 0.01],
    "value_clip_range": [None, 0.2],
    "entropy_coef": [0.01, 0.0, 0.1],
    "entropy_decay": [1.0, 0.9],
    "value_coef": [0.5, 0.0, 2.0],
    "max_grad_norm": [0.5, None, 0.05],
    "target_kl": [None, 0.01],
    "critic_l2_coef": [0.0, 1e-3],
    "advantage_scope": ["minibatch", "rollout"],
    "activation": ["tanh", "relu"],
    "log_std_init": [0.0, -1.0],
}


@st.composite
def configurations(draw: st.DrawFn, /, iterations: int = 3, **fixed: Any) -> PPOConfig:
    """Draw valid settings of a short run.

    They shrink towards the defaults, so that a failing example has only the settings that it needs.

    Args:
        draw: passed by hypothesis.
        iterations: number of iterations of the run.
        fixed: settings that are not drawn, by name.
    """
    num_envs, num_steps = draw(st.integers(1, 4)), draw(st.integers(1, 16))
    size = num_envs * num_steps
    sizes = {
        "num_envs": num_envs,
        "num_steps": num_steps,
        "total_steps": iterations * size,
        "minibatch_size": draw(st.integers(1, size)),
        "update_epochs": draw(st.integers(1, 3)),
        "hidden_sizes": tuple(draw(st.lists(st.integers(1, 8), max_size=2))),
    }
    config = PPOConfig(**{**sizes, **fixed})
    default = PPOConfig()
    drawn: dict[str, Any] = {
        name: draw(st.sampled_from([getattr(default, name), not getattr(default, name)])) for name in _SWITCHES
    }
    drawn |= {name: draw(st.sampled_from(values)) for name, values in _CHOICES.items()}
    for name, value in drawn.items():
        if name not in fixed:
            try:
                config = config.replace(**{name: value})
            except UsageError:  # it contradicts a setting drawn before
                continue
    return config


@st.composite
def action_masks(draw: st.DrawFn, spec: NetworkSpec, rows: int) -> Bools:
    """Draw masks (rows, mask_size) that allow a choice in every component, and shrink towards allowing everything.

    Args:
        draw: passed by hypothesis.
        spec: A network whose actions can be masked.
        rows: number of masks.
    """
    parts = []
    for size in component_sizes(spec):
        forbidden = draw(st.lists(st.booleans(), min_size=rows * size, max_size=rows * size))
        allowed = ~np.array(forbidden, np.bool_).reshape(rows, size)
        kept = draw(st.lists(st.integers(0, size - 1), min_size=rows, max_size=rows))
        allowed[np.arange(rows), kept] = True
        parts.append(allowed)
    return np.concatenate(parts, axis=1)


@st.composite
def minibatches(draw: st.DrawFn, spec: NetworkSpec | None = None, edges: bool = True) -> Minibatch:
    """Draw float64 minibatches, with masks if the network's actions can be masked.

    Args:
        draw: passed by hypothesis.
        spec: the network; by default any.
        edges: whether log-ratios lie beyond every clip and advantages are tied; otherwise minibatches are as in
            training.
    """
    spec = draw(network_specs()) if spec is None else spec
    masks = draw(st.sampled_from(MASKS)) if spec.distribution().mask_size else None
    seed, rows = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 48))
    problem = random_problem(
        spec, draw(objectives(critic_l2=not spec.shared_trunk)), seed=seed, rows=rows, edges=edges, masks=masks
    )
    return problem.batch("exact")


@st.composite
def policies(draw: st.DrawFn, normalized: bool | None = None) -> Policy:
    """Draw policies of every kind with random weights, for vector observations.

    Args:
        draw: passed by hypothesis.
        normalized: whether they normalize observations; by default either.
    """
    spec = draw(network_specs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = {name: rng.normal(0.0, 1.0, shape).astype(np.float32) for name, shape in spec.shapes().items()}
    mapping = ObservationMapping(BoxObservation((spec.observation_size,)))
    state = None
    if draw(st.booleans()) if normalized is None else normalized:
        normalizer = ObservationNormalizer((spec.observation_size,))
        normalizer.update(rng.normal(rng.normal(), 3.0 * rng.random(), (20, spec.observation_size)))
        state = normalizer.state()
    return Policy(spec, weights, _adapter(draw, spec), mapping, state)


def _adapter(draw: st.DrawFn, spec: NetworkSpec) -> ActionAdapter:
    """Draw an action space for a network."""
    size, start = spec.action_size, draw(st.integers(-3, 3))
    if spec.distribution().is_continuous:
        low = draw(st.sampled_from([-1.0, -0.25, 0.0]))
        high = low + draw(st.sampled_from([1.0, 0.5, 2.0]))
        return ActionAdapter(BoxAction((size,), "float32", (low,) * size, (high,) * size), spec.action_kind)
    spaces: dict[str, ActionSpace] = {
        Categorical.kind: DiscreteAction(size, start),
        Bernoulli.kind: MultiBinaryAction((size,), "int8"),
    }
    if spec.choices:
        return ActionAdapter(MultiDiscreteAction((size,), "int64", spec.choices, (start,) * size))
    return ActionAdapter(spaces[spec.action_kind])
