"""Store a failed update in one small file, a bundle, and replay it in float64 NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from ppocore.backend import Backend, Minibatch, Objective, OptimizerStep
from ppocore.errors import NonFiniteError, UsageError
from ppocore.files import Format, encode, part, read, tensor
from ppocore.files.descriptions import BUNDLE
from ppocore.files.schema import TOP
from ppocore.networks import NetworkSpec, read_spec
from ppocore.registry import backend_factory
from ppocore.training import FailedUpdate
from ppocore.typing import Array

BUNDLE_FORMAT = Format("ppocore-bundle", "bundle", (1,))
_RENAMED = {"hold_actor": "freeze_actor"}  # fields of the step in older bundles


def encode_bundle(failed: FailedUpdate) -> bytes:
    """Encode a failed update as the bytes of a bundle."""
    tensors = {f"state.{name}": array for name, array in failed.state.items()}
    tensors |= {f"batch.{name}": a for name, a in failed.batch._asdict().items() if a is not None}
    description = {
        "network": failed.spec.to_dict(),
        "objective": asdict(failed.objective),
        "step": asdict(failed.step),
        "adam_epsilon": failed.adam_epsilon,
        "update": failed.update,
        "backend": failed.backend,
        "precision": failed.precision,
    }
    return encode(BUNDLE_FORMAT, tensors, description)


def read_bundle(path: str | PathLike[str]) -> FailedUpdate:
    """Read a bundle of this version or an older one.

    Raises:
        UsageError: not a bundle, or one that is damaged or inconsistent.
    """
    file = read(path, BUNDLE_FORMAT)
    known = file.description
    try:
        BUNDLE(known, TOP)
        state = part(file.tensors, "state.")
        spec = read_spec(known, state, finite=False)
        for name in ("adam.step", *(["adam.held"] if "adam.held" in state else [])):
            tensor(state, name, (), "int64", least=0)
        for slot, name in product("mv", spec.shapes()):
            tensor(state, f"adam.{slot}.{name}", spec.shapes()[name], "float32", finite=False, nan=True)
        batch = part(file.tensors, "batch.")
        _check_batch(batch, spec)
        return FailedUpdate(
            spec,
            state,
            Minibatch(**batch),
            Objective(**known["objective"]),
            OptimizerStep(**{_RENAMED.get(name, name): value for name, value in known["step"].items()}),
            float(known["adam_epsilon"]),
            int(known["update"]),
            str(known["backend"]),
            str(known["precision"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{path} does not describe an optimizer step: {error}") from error


def _check_batch(batch: Mapping[str, Array], spec: NetworkSpec) -> None:
    """Check the shapes and dtypes of a minibatch; its numbers need not be finite, as that is why it was stored.

    Raises:
        ValueError: they are not those of a minibatch for the network.
    """
    distribution = spec.distribution()
    size = np.shape(batch.get("advantages", ()))[:1]
    shapes = {
        "observations": (*size, spec.observation_size),
        "actions": (*size, *distribution.action_shape),
        **dict.fromkeys(("log_probs", "advantages", "returns", "values"), size),
    }
    optional = {"masks": (*size, distribution.mask_size), "old_parameters": (*size, distribution.parameter_size)}
    numbers = ("float32", "float64")
    integers = np.dtype(distribution.action_dtype).kind == "i"
    dtypes = {"masks": ("bool",), "actions": ("int64",) if integers else numbers}
    for name, shape in {**shapes, **optional}.items():
        if name in optional and name not in batch:
            continue
        if name not in batch:
            raise ValueError(f"tensor batch.{name} is missing")
        found = batch[name]
        if found.shape != shape or found.size == 0 or found.dtype.name not in dtypes.get(name, numbers):
            raise ValueError(f"tensor batch.{name} is {found.dtype.name} {found.shape}, expected shape {shape}")


class Quantity(NamedTuple):
    """Summarize one array of the step: the number of elements that are not finite, and the range of the others."""

    name: str
    size: int
    not_finite: int
    first: tuple[int, ...] | None
    """Index of the first element that is not finite; the sample comes first in an array of samples."""
    low: float | None
    high: float | None


class Replay(NamedTuple):
    """Hold the result of a replay; ``error`` is the message of the error that the step raised, or None."""

    quantities: list[Quantity]
    error: str | None

    @property
    def first(self) -> Quantity | None:
        """The first quantity that is not finite, in the order of computation."""
        return next((quantity for quantity in self.quantities if quantity.not_finite), None)


def replay(failed: FailedUpdate) -> Replay:
    """Repeat the step with the NumPy backend, in float64.

    Raises:
        UsageError: the arrays of the bundle have inconsistent shapes.
    """
    try:
        return _replay(failed)
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(f"the arrays of the bundle do not fit together: {error}") from error


def _replay(failed: FailedUpdate) -> Replay:
    backend = backend_factory("numpy")(failed.spec, precision="exact", adam_epsilon=failed.adam_epsilon, device="cpu")
    backend.load_state(failed.state)
    batch = Minibatch(*(_as_float64(array) for array in failed.batch))
    error = None
    with np.errstate(all="ignore"):
        quantities = [_quantity(name, array) for name, array in _arrays(failed, backend, batch)]
        try:
            backend.update(batch, failed.objective, failed.step)
        except NonFiniteError as raised:
            error = str(raised)
    return Replay(quantities, error)


def _arrays(failed: FailedUpdate, backend: Backend, batch: Minibatch) -> Iterator[tuple[str, Array]]:
    """Yield every array of the step, in the order of computation."""
    for name in failed.spec.shapes():
        yield f"weight {name}", failed.state[name]
    for name, array in batch._asdict().items():
        if array is not None:
            yield f"minibatch {name}", array
    evaluation = backend.evaluate(batch, failed.objective)
    for field in evaluation._fields:
        yield field, np.asarray(getattr(evaluation, field))
    for name, array in backend.gradients(batch, failed.objective).items():
        yield f"gradient of {name}", array


def _as_float64(array: Any) -> Any:
    return array.astype(np.float64) if array is not None and array.dtype.kind == "f" else array


def _quantity(name: str, array: Array) -> Quantity:
    finite = np.isfinite(array)
    bad = np.argwhere(~finite)
    good = array[finite]
    return Quantity(
        name,
        int(array.size),
        len(bad),
        tuple(bad[0].tolist()) if len(bad) else None,
        float(good.min()) if good.size else None,
        float(good.max()) if good.size else None,
    )


def replay_lines(failed: FailedUpdate, outcome: Replay) -> list[str]:
    """Return the result of a replay as lines of text."""
    lines = [
        f"update {failed.update} of a run on the {failed.backend} backend, {failed.precision} precision, in float64:",
        f"{'quantity':<40} {'not finite':>12}  {'lowest':>12} {'highest':>12}",
    ]
    for q in outcome.quantities:
        low, high = ("-" if x is None else f"{x:.4g}" for x in (q.low, q.high))
        where = "" if q.first is None else f"  first at {list(q.first)}"
        lines.append(f"{q.name:<40} {f'{q.not_finite} of {q.size}':>12}  {low:>12} {high:>12}{where}")
    if outcome.error is None:
        lines.append("not reproduced: every quantity is finite in float64; the run's precision was too low")
    else:
        first = outcome.first
        name = "none, only the sum overflows" if first is None else first.name
        lines.append(f"reproduced: {outcome.error}; the first quantity that is not finite: {name}")
    return lines
