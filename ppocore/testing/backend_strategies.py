"""Hypothesis strategies for what a backend is given: networks, losses, minibatches and runs of them.

Sizes, scales and settings are drawn one by one, so that a failure shrinks to a small network and few rows; the
numbers in the arrays come from a drawn seed, which keeps drawing fast and makes every problem two lines of code.
"""

from __future__ import annotations

from hypothesis import strategies as st

from ppocore.backend import Objective
from ppocore.networks import NetworkSpec

from .problems import Problem, random_problem
from .rounded_loss import KINDS

ACTION_KINDS = tuple(KINDS)
ACTIVATIONS = ("tanh", "relu")


@st.composite
def network_specs(draw: st.DrawFn, action_kinds: tuple[str, ...] = ACTION_KINDS, max_layers: int = 3) -> NetworkSpec:
    """Networks of every kind, from no hidden layer to ``max_layers``."""
    return NetworkSpec(
        observation_size=draw(st.integers(1, 6)),
        action_kind=draw(st.sampled_from(action_kinds)),
        action_size=draw(st.integers(1, 5)),
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 16), max_size=max_layers))),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        shared_trunk=draw(st.booleans()),
    )


def objectives() -> st.SearchStrategy[Objective]:
    """Losses with and without value clipping, entropy and value terms."""
    return st.builds(
        Objective,
        clip_range=st.sampled_from([0.2, 0.01, 0.1, 0.5, 0.9]),
        value_clip_range=st.sampled_from([None, 0.2, 0.01, 1.0, 10.0]),
        entropy_coef=st.sampled_from([0.0, 0.01, 1.0]),
        value_coef=st.sampled_from([0.5, 0.0, 1.0, 3.0]),
    )


@st.composite
def edge_problems(draw: st.DrawFn) -> Problem:
    """One minibatch at the edges of the loss; weights from all zero to large, observations up to ten thousands."""
    return random_problem(
        draw(network_specs()),
        draw(objectives()),
        seed=draw(st.integers(0, 2**32 - 1)),
        rows=draw(st.integers(1, 48)),
        weight_scale=draw(st.sampled_from([1.0, 0.0, 0.1, 3.0])),
        observation_scale=draw(st.sampled_from([1.0, 0.0, 1e-3, 30.0, 1e4])),
        learning_rate=draw(st.sampled_from([3e-3, 1e-5, 0.1])),
        max_grad_norm=draw(st.sampled_from([0.5, None, 1e-3, 1e3])),
        adam_epsilon=draw(st.sampled_from([1e-5, 1e-8, 1e-3])),
    )


@st.composite
def runs_of_steps(draw: st.DrawFn, min_steps: int = 2, max_steps: int = 8) -> Problem:
    """A few optimizer steps on minibatches as a run makes them."""
    return random_problem(
        draw(network_specs()),
        draw(objectives()),
        seed=draw(st.integers(0, 2**32 - 1)),
        rows=draw(st.integers(1, 48)),
        steps=draw(st.integers(min_steps, max_steps)),
        edges=False,
        learning_rate=draw(st.floats(1e-4, 1e-2)),
        max_grad_norm=draw(st.sampled_from([0.5, None, 0.05])),
    )
