"""Define hypothesis strategies for a backend's inputs: networks, losses and minibatches.

Sizes, scales and settings are drawn one by one, so that a failure shrinks to a small network and few rows. The numbers
in the arrays come from a drawn seed: this is fast, and a problem is one call of `random_problem`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ppocore.backend import Objective
from ppocore.distributions import KINDS
from ppocore.networks import NetworkSpec
from ppocore.testing.backends.error_bounds.distributions import KINDS as ERROR_BOUNDS
from ppocore.testing.backends.problems import Problem
from ppocore.testing.backends.random_problems import MASKS, random_problem

ACTION_KINDS = tuple(ERROR_BOUNDS)
ACTIVATIONS = ("tanh", "relu")


@st.composite
def network_specs(draw: st.DrawFn, action_kinds: tuple[str, ...] = ACTION_KINDS, max_layers: int = 3) -> NetworkSpec:
    """Draw networks of every kind, from no hidden layer to ``max_layers``."""
    kind = draw(st.sampled_from(action_kinds))
    several = KINDS[kind].has_choices
    choices = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))) if several else ()
    return NetworkSpec(
        observation_size=draw(st.integers(1, 6)),
        action_kind=kind,
        action_size=len(choices) or draw(st.integers(1, 5)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 16), max_size=max_layers))),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        shared_trunk=draw(st.booleans()),
        choices=choices,
        learn_log_std=not KINDS[kind].has_log_std or draw(st.sampled_from([True, False])),
    )


@st.composite
def objectives(draw: st.DrawFn, critic_l2: bool = True) -> Objective:
    """Draw losses with and without clipping, dual clipping, value clipping, and entropy, value, KL and L2 terms."""
    clip = draw(st.sampled_from([True, True, True, False]))
    return Objective(
        clip_range=draw(st.sampled_from([0.2, 0.01, 0.1, 0.5, 0.9])),
        value_clip_range=draw(st.sampled_from([None, 0.2, 0.01, 1.0, 10.0])),
        entropy_coef=draw(st.sampled_from([0.0, 0.01, 1.0])),
        value_coef=draw(st.sampled_from([0.5, 0.0, 1.0, 3.0])),
        clip=clip,
        dual_clip=draw(st.sampled_from([None, 1.5, 3.0])) if clip else None,
        kl_coef=draw(st.sampled_from([0.0, 0.5, 3.0])),
        critic_l2_coef=draw(st.sampled_from([0.0, 1e-3])) if critic_l2 else 0.0,
    )


def _masks(spec: NetworkSpec) -> st.SearchStrategy[str | None]:
    return st.sampled_from(MASKS) if spec.distribution().mask_size else st.none()


def _optimizers(spec: NetworkSpec, steps: int) -> st.SearchStrategy[dict[str, Any]]:
    """Draw one optimizer for all weights, or settings of the critic's own."""
    held = st.tuples(*[st.booleans()] * steps)
    different = st.fixed_dictionaries(
        {
            "critic_learning_rate": st.sampled_from([None, 1e-2, 1e-4]),
            "separate": st.booleans(),
            "freeze_actor": st.just(()) if spec.shared_trunk else st.just(()) | held,
        }
    )
    return st.just({}) | different


@st.composite
def edge_problems(draw: st.DrawFn) -> Problem:
    """Draw one minibatch at the edges of the loss, with weights from zero to large and observations up to 1e4."""
    spec = draw(network_specs())
    return random_problem(
        spec,
        draw(objectives(critic_l2=not spec.shared_trunk)),
        seed=draw(st.integers(0, 2**32 - 1)),
        rows=draw(st.integers(1, 48)),
        masks=draw(_masks(spec)),
        weight_scale=draw(st.sampled_from([1.0, 0.0, 0.1, 3.0])),
        observation_scale=draw(st.sampled_from([1.0, 0.0, 1e-3, 30.0, 1e4])),
        learning_rate=draw(st.sampled_from([3e-3, 1e-5, 0.1])),
        max_grad_norm=draw(st.sampled_from([0.5, None, 1e-3, 1e3])),
        adam_epsilon=draw(st.sampled_from([1e-5, 1e-8, 1e-3])),
        **draw(_optimizers(spec, 1)),
    )


@st.composite
def runs_of_steps(draw: st.DrawFn, min_steps: int = 2, max_steps: int = 8) -> Problem:
    """Draw a few optimizer steps on minibatches as in training."""
    spec = draw(network_specs())
    steps = draw(st.integers(min_steps, max_steps))
    return random_problem(
        spec,
        draw(objectives(critic_l2=not spec.shared_trunk)),
        seed=draw(st.integers(0, 2**32 - 1)),
        rows=draw(st.integers(1, 48)),
        steps=steps,
        edges=False,
        masks=draw(_masks(spec)),
        learning_rate=draw(st.floats(1e-4, 1e-2)),
        max_grad_norm=draw(st.sampled_from([0.5, None, 0.05])),
        **draw(_optimizers(spec, steps)),
    )
