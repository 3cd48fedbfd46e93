"""Export a policy as an ONNX model that maps the environment's observations to actions.

The graph does all that `Policy.act` does: one-hot encoding, normalization with the frozen statistics, the policy
network, the mask, the mode of the distribution, and scaling and clipping to the environment's bounds. It computes in
float64, as `Policy` does, with the policy's float32 weights, so that both agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from os import PathLike

import numpy as np

from ppocore.distributions import (
    MASKED,
    Bernoulli,
    Beta,
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
    SquashedGaussian,
)
from ppocore.errors import UsageError
from ppocore.export.graph import Graph
from ppocore.export.inputs import input_name, input_of
from ppocore.export.verify import check
from ppocore.files import check_replaceable, check_target, unwritable, write_atomically
from ppocore.files.version import __version__
from ppocore.policy import Policy
from ppocore.spaces import BoxAction

OPSET, IR_VERSION = 17, 8
"""Versions that ONNX 1.12 and later read."""


def export_onnx(
    policy: Policy, path: str | PathLike[str], *, with_mask: bool = False, checks: int = 256, seed: int = 0
) -> None:
    """Write a policy as an ONNX model, after comparing the model with the policy in onnxruntime.

    The model's inputs are ``observation``, or ``observation.<key>`` for each part of a Dict or Tuple: (batch, *shape),
    float32 for a Box, int64 for Discrete and MultiDiscrete, and int8 for MultiBinary. With ``with_mask`` there is also
    ``action_mask``, (batch, mask_size) bool. The outputs are ``action``, (batch, *shape) as the environment takes it,
    and ``parameters``, (batch, P) float64, the distribution's parameters before any mask.

    Args:
        policy: the policy.
        path: file to write.
        with_mask: whether the model has an input for action masks.
        checks: number of random observations on which model and policy are compared; half of them have random masks if
            there is an input for masks.
        seed: seed of these observations.

    Raises:
        UsageError: onnx or onnxruntime is not installed, the policy has a network of your own, a mask is requested for
            continuous actions, the path is not that of a new or a regular file, or is a file of a run or of ppocore's,
            two inputs would have the same name, or ``checks`` is below 1.
        RunError: the model differs from the policy; it is not written.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'ppocore[onnx]'") from error
    if policy.own_network:
        raise UsageError("the layers of a network of your own are unknown: export it with its framework")
    if with_mask and not policy.adapter.mask_size:
        raise UsageError("continuous actions have no mask: leave with_mask=True out")
    target = check_target(path)
    check_replaceable(target, None)
    if checks < 1:
        raise UsageError(f"checks={checks} must be at least 1: every model is compared with its policy")
    content = _encode(policy, with_mask)
    onnx.checker.check_model(onnx.load_model_from_string(content))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    check(policy, session, np.random.default_rng(seed), checks, with_mask)
    try:
        write_atomically(target, content)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def _encode(policy: Policy, with_mask: bool) -> bytes:
    """Encode the model of a policy."""
    graph = Graph()
    parameters = _parameters(graph, policy, _observations(graph, policy))
    masked = parameters
    if with_mask:
        masked = _masked(graph, policy, parameters, graph.input("action_mask", np.bool_, (policy.adapter.mask_size,)))
    space = policy.adapter.space
    action = graph.reshape(_action(graph, policy, masked), (-1, *space.shape))
    graph.output("action", action, space.dtype, space.shape)
    graph.output("parameters", parameters, np.float64, (policy.spec.distribution().parameter_size,))
    return graph.encode("ppocore", __version__, f"a {policy.spec.action_kind} policy", OPSET, IR_VERSION)


def _observations(graph: Graph, policy: Policy) -> str:
    """Add an input for each part of an observation, and the network's input (batch, size), float64."""
    parts = []
    names = [input_name(path) for path, _ in policy.mapping.leaves]
    for name, (_, leaf) in zip(names, policy.mapping.leaves, strict=True):
        if names.count(name) > 1:
            raise UsageError(f"two parts of the observation would have the input name {name}: rename a key")
        kind = input_of(leaf)
        parts += kind.flatten(graph, graph.input(name, kind.dtype, leaf.shape), leaf)
    flat = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    normalizer = policy.normalizer
    if normalizer is not None:
        scale = np.sqrt(normalizer.moments.var + normalizer.epsilon)
        centered = graph.add("Sub", flat, graph.constant(normalizer.moments.mean))
        scaled = graph.add("Div", centered, graph.constant(scale))
        flat = graph.clip(scaled, np.float64(-normalizer.clip), np.float64(normalizer.clip))
    return graph.cast(graph.cast(flat, np.float32), np.float64)  # the policy rounds its input to float32


def _parameters(graph: Graph, policy: Policy, x: str) -> str:
    """Add the distribution's parameters, (batch, P)."""
    spec, weights = policy.spec, policy.weights
    trunk = "trunk" if spec.shared_trunk else "actor"
    layers = [f"{trunk}.hidden.{i}" for i in range(len(spec.hidden_sizes))] + ["actor.output"]
    for layer in layers:
        x = graph.add("MatMul", x, graph.constant(weights[f"{layer}.weight"].astype(np.float64)))
        x = graph.add("Add", x, graph.constant(weights[f"{layer}.bias"].astype(np.float64)))
        if layer != "actor.output":
            x = graph.add({"tanh": "Tanh", "relu": "Relu"}[spec.activation], x)
    if not spec.has_log_std:
        return x
    zeros = graph.add("Mul", x, graph.constant(np.zeros(1)))  # a row for each observation
    log_std = graph.add("Add", zeros, graph.constant(weights["log_std"].astype(np.float64)))
    return graph.add("Concat", x, log_std, axis=1)


def _masked(graph: Graph, policy: Policy, parameters: str, mask: str) -> str:
    """Add the parameters under a mask, as ``Distribution.apply_masks`` does."""
    limit = graph.constant(np.array([MASKED]))
    if policy.spec.action_kind != Bernoulli.kind:
        return graph.add("Where", mask, parameters, graph.add("Neg", limit))
    # Two flags for each bit: whether it may be 0, and whether it may be 1.
    pairs = graph.reshape(mask, (-1, policy.spec.action_size, 2))
    zero, one = (graph.reshape(graph.columns(pairs, i, i + 1, axis=2), (-1, policy.spec.action_size)) for i in (0, 1))
    return graph.add("Where", one, graph.add("Where", zero, parameters, limit), graph.add("Neg", limit))


def _action(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the mode of the distribution as an action of the environment, before it is reshaped."""
    space = policy.adapter.space
    mode = _MODES[policy.spec.action_kind](graph, policy, parameters)
    return _within_bounds(graph, policy, space, mode) if isinstance(space, BoxAction) else mode


def _bits(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the more probable value of each bit."""
    above = graph.add("Greater", parameters, graph.constant(np.zeros(1)))
    return graph.cast(above, policy.adapter.space.dtype)


def _choices(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the most probable choice of each component."""
    space = policy.adapter.space
    edges = np.cumsum([0, *policy.adapter.distribution.mask_sections]).tolist()
    best = [
        graph.add("ArgMax", graph.columns(parameters, start, stop), axis=1, keepdims=1)
        for start, stop in pairwise(edges)
    ]
    choices = graph.add("Concat", *best, axis=1) if len(best) > 1 else best[0]
    start = np.ravel(getattr(space, "start", 0)).astype(np.int64)
    return graph.cast(graph.add("Add", choices, graph.constant(start)), space.dtype)


def _gaussian(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the mean."""
    return _rounded(graph, graph.columns(parameters, 0, policy.spec.action_size))


def _squashed_gaussian(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the squashed mean, in (0, 1)."""
    mean = _gaussian(graph, policy, parameters)
    half = graph.constant(np.array([0.5]))
    return graph.add("Mul", graph.add("Add", graph.add("Tanh", mean), graph.constant(np.ones(1))), half)


def _beta(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the mean, in (0, 1)."""
    size = policy.spec.action_size
    x = graph.columns(parameters, 0, size)
    a, b = (
        graph.add("Add", _softplus(graph, y), graph.constant(np.ones(1)))
        for y in (x, graph.columns(parameters, size, 2 * size))
    )
    return _rounded(graph, graph.add("Div", a, graph.add("Add", a, b)))


_MODES: dict[str, Callable[[Graph, Policy, str], str]] = {
    Categorical.kind: _choices,
    MultiCategorical.kind: _choices,
    Bernoulli.kind: _bits,
    DiagonalGaussian.kind: _gaussian,
    SquashedGaussian.kind: _squashed_gaussian,
    Beta.kind: _beta,
}


def _rounded(graph: Graph, x: str) -> str:
    """Add the rounding to float32, the dtype in which actions are stored."""
    return graph.cast(graph.cast(x, np.float32), np.float64)


def _within_bounds(graph: Graph, policy: Policy, space: BoxAction, x: str) -> str:
    """Add the scaling of a bounded distribution and the clip to the bounds, as ``BoxAction.from_samples`` does."""
    low, high = np.array(space.low), np.array(space.high)
    if policy.adapter.distribution.is_bounded:
        x = graph.add("Add", graph.add("Mul", x, graph.constant(high - low)), graph.constant(low))
    # Rounded to the space's dtype first, because that may cross a bound.
    x = graph.cast(graph.cast(x, space.dtype), np.float64)
    bounds = [graph.constant(bound.astype(space.dtype).astype(np.float64)) for bound in (low, high)]
    return graph.cast(graph.add("Min", graph.add("Max", x, bounds[0]), bounds[1]), space.dtype)


def _softplus(graph: Graph, x: str) -> str:
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    log = graph.add("Log", graph.add("Add", small, graph.constant(np.ones(1))))
    return graph.add("Add", graph.add("Max", x, graph.constant(np.zeros(1))), log)
