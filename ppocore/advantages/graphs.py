"""Call an estimator from code that torch or JAX compiles, where arrays hold no numbers yet.

Both compilers are given one opaque operation, which calls the estimator when the compiled code runs. No gradient flows
through it, as outside. Nothing is registered before it is needed: torch and JAX are imported by whoever compiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ppocore.advantages.arrays import common_precision, is_traced

R = TypeVar("R")

FLAGS = ("terminated", "truncated", "ended", "valid", "mask")
_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def register(name: str, function: Callable[..., Any]) -> None:
    """Remember an estimator by its name, by which torch's operation calls it."""
    _FUNCTIONS[name] = function


def in_torch(function: Callable[..., R], names: tuple[str, ...], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call an estimator while ``torch.compile`` or ``torch.export`` traces it; written in what they can trace."""
    torch: Any = sys.modules["torch"]
    given = dict(zip(names, args, strict=False))
    given.update(kwargs)
    is_numpy = isinstance(args[0] if args else given[names[0]], np.ndarray)
    tensors, tensor_names, numbers, number_names, others = [], [], [], [], {}
    for name, x in given.items():
        if isinstance(x, list | tuple):
            x = torch.stack(tuple(x))
        elif isinstance(x, np.ndarray):
            x = torch.from_numpy(x)
        if isinstance(x, torch.Tensor):
            tensors.append(x.detach())
            tensor_names.append(name)
        elif isinstance(x, float):
            numbers.append(x)
            number_names.append(name)
        elif x is not None:
            others[name] = x
    _make_operation()
    parts = torch.ops.ppocore.estimate(
        function.__name__,
        tensors,
        ",".join(tensor_names),
        numbers,
        ",".join(number_names),
        list(others.values()),
        ",".join(others),
    )
    if is_numpy:
        parts = [part.numpy() for part in parts]
    result = _RESULTS.get(function.__name__)
    return parts[0] if result is None else result(*parts)


_RESULTS: dict[str, Callable[..., Any]] = {}


def gives(name: str, result: Callable[..., Any]) -> None:
    """Say that an estimator returns several arrays, as ``result``."""
    _RESULTS[name] = result


def _make_operation() -> None:
    """Register torch's operation, once; called while torch traces, not when the compiled code runs."""
    torch: Any = sys.modules["torch"]
    if hasattr(torch.ops.ppocore, "estimate"):
        return

    def estimate(function, tensors, tensor_names, numbers, number_names, integers, integer_names):  # type: ignore[no-untyped-def]
        arguments = dict(zip(tensor_names.split(","), tensors, strict=True))
        arguments.update(zip(number_names.split(","), numbers, strict=False))
        arguments.update(zip(integer_names.split(","), integers, strict=False))
        result = _FUNCTIONS[function](**arguments)
        return list(result) if isinstance(result, tuple) else [result]

    def empty(function, tensors, tensor_names, *rest):  # type: ignore[no-untyped-def]
        formats = {
            str(x.dtype).removeprefix("torch.") if x.is_floating_point() else "float64"
            for x, name in zip(tensors, tensor_names.split(","), strict=True)
            if name not in (*FLAGS, "lam") and (x.ndim > 0 or name == "values")
        }
        first, dtype = tensors[0], getattr(torch, common_precision(formats))
        count = 1 if function not in _RESULTS else 2
        return [torch.empty(first.shape, dtype=dtype, device=first.device) for _ in range(count)]

    operation = torch.library.custom_op(
        "ppocore::estimate",
        estimate,
        mutates_args=(),
        schema="(str function, Tensor[] tensors, str tensor_names, float[] numbers, str number_names, "
        "int[] integers, str integer_names) -> Tensor[]",
    )
    operation.register_fake(empty)


_make_operation._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch calls it while it traces


def in_jax(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    """Call an estimator inside ``jax.jit``, ``vmap`` or ``grad``: as a callback to the host, without a gradient."""
    jax: Any = sys.modules["jax"]
    leaves, structure = jax.tree.flatten((args, kwargs))
    traced = [is_traced(x) for x in leaves]

    def call(*numbers: Any, host: bool = False) -> Any:
        given = iter(numbers)
        known = [np.asarray(x) if host and isinstance(x, jax.Array) and not is_traced(x) else x for x in leaves]
        filled = [next(given) if late else x for x, late in zip(known, traced, strict=True)]
        positional, named = jax.tree.unflatten(structure, filled)
        return function(*positional, **named)

    with jax.ensure_compile_time_eval():  # with zeros, for the shapes and the formats of the results, or an error
        zeros = [jax.numpy.zeros(x.shape, x.dtype) if x.shape else 0.0 for x in leaves if is_traced(x)]
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), call(*zeros))

    def on_the_host(*arrays: Any) -> Any:
        result = call(*[np.asarray(x) if np.ndim(x) else np.asarray(x).item() for x in arrays], host=True)
        return jax.tree.map(lambda x, shape: np.asarray(x, shape.dtype), result, shapes)

    inputs = [jax.lax.stop_gradient(x) for x, late in zip(leaves, traced, strict=True) if late]
    result: R = jax.pure_callback(on_the_host, shapes, *inputs, vmap_method="sequential")
    return result
