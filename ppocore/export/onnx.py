"""A policy for other programs: an ONNX model from the environment's observation to its action.

Everything that `Policy.act` does is in the graph: one-hot observations, normalization with the frozen statistics, the
policy's layers, the mask, the most probable action and its way into the environment's bounds.  Arithmetic is float64,
as in `Policy`, so that both agree to the last digits; weights are the float32 numbers of the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from os import PathLike
from pathlib import Path

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
from ppocore.files import write_atomically
from ppocore.files.version import __version__
from ppocore.policy import Policy
from ppocore.spaces import BoxAction

OPSET, IR_VERSION = 17, 8
"""What runtimes of the last years read: ONNX 1.12 and later."""


def export_onnx(
    policy: Policy, path: str | PathLike[str], *, with_mask: bool = False, checks: int = 256, seed: int = 0
) -> None:
    """Write a policy as an ONNX model, if what onnxruntime makes of it is what the policy does.

    Its inputs are ``observation``, or ``observation.<key>`` for each part of one in parts: (batch, *shape), float32
    where it is a Box, int64 where it is Discrete or MultiDiscrete, int8 where it is MultiBinary.  With ``with_mask``
    also ``action_mask``, (batch, mask_size) bool.  Its outputs are ``action``, (batch, *shape) as the environment
    takes it, and ``parameters``, (batch, P) float64, those of the distribution before any mask.

    Args:
        policy: what to write.
        path: of the model.
        with_mask: with an input for the mask.
        checks: random observations on which both are compared; half of them with masks, if there is an input for it.
        seed: of these.

    Raises:
        UsageError: onnx or onnxruntime is not installed; a policy around a network of your own; a mask for
            continuous actions; no such directory, or a directory itself; parts whose inputs would share a name; less
            than one check.
        RunError: the model does something else; it was not written.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"{error.name} is not installed, which ONNX models need: pip install 'ppocore[onnx]'"
        ) from error
    if policy.own_network:
        raise UsageError("a network of your own is not known layer by layer: export it with its framework")
    if with_mask and not policy.adapter.mask_size:
        raise UsageError("continuous actions have no mask: leave --mask out")
    if not Path(path).parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no directory {Path(path).parent}")
    if Path(path).is_dir():
        raise UsageError(f"{path} is a directory: name a file in it")
    if checks < 1:
        raise UsageError(f"checks={checks} must be at least 1: a model is not written unchecked")
    content = _model(policy, with_mask)
    onnx.checker.check_model(onnx.load_model_from_string(content))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    check(policy, session, np.random.default_rng(seed), checks, with_mask)
    write_atomically(Path(path), content)


def _model(policy: Policy, with_mask: bool) -> bytes:
    """The bytes of the model."""
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
    """Add the network's input, (batch, size) float64, from one input for each part of an observation."""
    parts = []
    names = [input_name(path) for path, _ in policy.mapping.leaves]
    for name, (_, leaf) in zip(names, policy.mapping.leaves, strict=True):
        if names.count(name) > 1:
            raise UsageError(f"two parts of the observation would be the input {name}: rename a key")
        kind = input_of(leaf)
        parts += kind.flatten(graph, graph.input(name, kind.dtype, leaf.shape), leaf)
    flat = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    normalizer = policy.normalizer
    if normalizer is not None:
        scale = np.sqrt(normalizer.moments.var + normalizer.epsilon)
        centred = graph.add("Sub", flat, graph.constant(normalizer.moments.mean))
        scaled = graph.add("Div", centred, graph.constant(scale))
        flat = graph.clipped(scaled, np.float64(-normalizer.clip), np.float64(normalizer.clip))
    return graph.cast(graph.cast(flat, np.float32), np.float64)  # what the network is given is float32


def _parameters(graph: Graph, policy: Policy, x: str) -> str:
    """The distribution's parameters, (batch, P)."""
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
    rows = graph.add("Mul", x, graph.constant(np.zeros(1)))  # as many as there are observations
    return graph.add("Concat", x, graph.add("Add", rows, graph.constant(weights["log_std"].astype(np.float64))), axis=1)


def _masked(graph: Graph, policy: Policy, parameters: str, mask: str) -> str:
    """Add the parameters under a mask, as `Distribution.apply_masks`."""
    limit = graph.constant(np.array([MASKED]))
    if policy.spec.action_kind != Bernoulli.kind:
        return graph.add("Where", mask, parameters, graph.add("Neg", limit))
    # Of each bit, whether it may be 0 and whether it may be 1.
    pairs = graph.reshape(mask, (-1, policy.spec.action_size, 2))
    zero, one = (graph.reshape(graph.columns(pairs, i, i + 1, axis=2), (-1, policy.spec.action_size)) for i in (0, 1))
    return graph.add("Where", one, graph.add("Where", zero, parameters, limit), graph.add("Neg", limit))


def _action(graph: Graph, policy: Policy, parameters: str) -> str:
    """Add the mode of the distribution in the environment's terms, before it has its shape."""
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
    together = graph.add("Concat", *best, axis=1) if len(best) > 1 else best[0]
    first = np.ravel(getattr(space, "start", 0)).astype(np.int64)
    return graph.cast(graph.add("Add", together, graph.constant(first)), space.dtype)


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
    """Add the rounding to float32, in which an action is stored."""
    return graph.cast(graph.cast(x, np.float32), np.float64)


def _within_bounds(graph: Graph, policy: Policy, space: BoxAction, x: str) -> str:
    """Add the scaling of a bounded distribution and the clipping to the bounds, as `BoxAction.from_samples`."""
    low, high = np.array(space.low), np.array(space.high)
    if policy.adapter.distribution.is_bounded:
        x = graph.add("Add", graph.add("Mul", x, graph.constant(high - low)), graph.constant(low))
    # First to the space's own precision, then within its bounds.
    x = graph.cast(graph.cast(x, space.dtype), np.float64)
    bounds = [graph.constant(bound.astype(space.dtype).astype(np.float64)) for bound in (low, high)]
    return graph.cast(graph.add("Min", graph.add("Max", x, bounds[0]), bounds[1]), space.dtype)


def _softplus(graph: Graph, x: str) -> str:
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    log = graph.add("Log", graph.add("Add", small, graph.constant(np.ones(1))))
    return graph.add("Add", graph.add("Max", x, graph.constant(np.zeros(1))), log)
