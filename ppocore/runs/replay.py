"""What led to a loss or a gradient that is not finite, in one small file, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import Backend, Minibatch, Objective, OptimizerStep
from ppocore.config import PPOConfig
from ppocore.errors import NonFiniteError, UsageError
from ppocore.files.tensors import Format, encode, part, read
from ppocore.networks.spec import NetworkSpec
from ppocore.registry import backend_factory

Array = NDArray[Any]

BUNDLE_FORMAT = Format("ppocore-bundle", "bundle", (1,))


@dataclass(frozen=True)
class Bundle:
    """One optimizer step that was not made: the state before it, the minibatch and the settings.

    ``update`` counts the optimizer steps of the run from 1; ``backend`` and ``precision`` are those of the run.
    """

    spec: NetworkSpec
    state: dict[str, Array]
    batch: Minibatch
    objective: Objective
    step: OptimizerStep
    adam_epsilon: float
    update: int
    backend: str
    precision: str

    @classmethod
    def of(
        cls,
        backend: Backend,
        spec: NetworkSpec,
        config: PPOConfig,
        batch: Minibatch,
        objective: Objective,
        step: OptimizerStep,
    ) -> Bundle | None:
        """Of the step that a backend has just refused; None for a network of the user's own, which NumPy cannot run."""
        if backend.own_network is not None:
            return None
        state = backend.state()
        # The minibatch is a view that the next epoch would overwrite.
        kept = Minibatch(**{name: array.copy() for name, array in batch._asdict().items() if array is not None})
        return cls(
            spec,
            state,
            kept,
            objective,
            step,
            config.adam_epsilon,
            int(state["adam.step"]) + 1,
            backend.name,
            config.precision,
        )

    def encode(self) -> bytes:
        """The bytes of its file."""
        tensors = {f"state.{name}": array for name, array in self.state.items()}
        tensors |= {f"batch.{name}": a for name, a in self.batch._asdict().items() if a is not None}
        description = {
            "network": self.spec.to_dict(),
            "objective": asdict(self.objective),
            "step": asdict(self.step),
            "adam_epsilon": self.adam_epsilon,
            "update": self.update,
            "backend": self.backend,
            "precision": self.precision,
        }
        return encode(BUNDLE_FORMAT, tensors, description)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Bundle:
        """Read a bundle.

        Raises:
            UsageError: it is none, or damaged, or contradicts itself.
        """
        file = read(path, BUNDLE_FORMAT)
        known = file.description
        try:
            spec, state = NetworkSpec.from_dict(known["network"]), part(file.tensors, "state.")
            for name, shape in spec.shapes().items():  # before anything of these sizes is allocated
                if state[name].shape != shape:
                    raise ValueError(f"tensor {name} has shape {state[name].shape}, expected {shape}")
            return cls(
                spec,
                state,
                Minibatch(**part(file.tensors, "batch.")),
                Objective(**known["objective"]),
                OptimizerStep(**known["step"]),
                float(known["adam_epsilon"]),
                int(known["update"]),
                str(known["backend"]),
                str(known["precision"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} does not describe an optimizer step: {error}") from error


class Quantity(NamedTuple):
    """One array of the step: how many of its elements are not finite, and what the finite ones are."""

    name: str
    size: int
    not_finite: int
    first: tuple[int, ...] | None
    """Where the first element is that is not finite; of an array by sample, the sample comes first."""
    low: float | None
    high: float | None


class Replay(NamedTuple):
    """What a bundle came to in float64 NumPy: ``error`` is what the step raised, None if it went well."""

    quantities: list[Quantity]
    error: str | None

    @property
    def first(self) -> Quantity | None:
        """The first quantity, in the order in which they are computed, that is not finite."""
        return next((quantity for quantity in self.quantities if quantity.not_finite), None)


def replay(bundle: Bundle) -> Replay:
    """Make the step again with the NumPy backend, in float64.

    Raises:
        UsageError: arrays of the bundle do not fit together.
    """
    try:
        return _replay(bundle)
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(f"the arrays of the bundle do not fit together: {error}") from error


def _replay(bundle: Bundle) -> Replay:
    backend = backend_factory("numpy")(bundle.spec, precision="exact", adam_epsilon=bundle.adam_epsilon, device="cpu")
    backend.load_state(bundle.state)
    batch = Minibatch(*(_as_float64(array) for array in bundle.batch))
    error = None
    with np.errstate(all="ignore"):
        quantities = [_quantity(name, array) for name, array in _arrays(bundle, backend, batch)]
        try:
            backend.update(batch, bundle.objective, bundle.step)
        except NonFiniteError as raised:
            error = str(raised)
    return Replay(quantities, error)


def _arrays(bundle: Bundle, backend: Backend, batch: Minibatch) -> Iterator[tuple[str, Array]]:
    """Every array of the step, in the order in which they are computed."""
    for name in bundle.spec.shapes():
        yield f"weight {name}", bundle.state[name]
    for name, array in batch._asdict().items():
        if array is not None:
            yield f"minibatch {name}", array
    evaluation = backend.evaluate(batch, bundle.objective)
    for field in evaluation._fields:
        yield field, np.asarray(getattr(evaluation, field))
    for name, array in backend.gradients(batch, bundle.objective).items():
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


def replay_lines(bundle: Bundle, outcome: Replay) -> list[str]:
    """The replay as a person reads it."""
    lines = [
        f"update {bundle.update} of a run on the {bundle.backend} backend, {bundle.precision} precision, in float64:",
        f"{'quantity':<40} {'not finite':>12}  {'lowest':>12} {'highest':>12}",
    ]
    for q in outcome.quantities:
        low, high = ("-" if x is None else f"{x:.4g}" for x in (q.low, q.high))
        where = "" if q.first is None else f"  first at {list(q.first)}"
        lines.append(f"{q.name:<40} {f'{q.not_finite} of {q.size}':>12}  {low:>12} {high:>12}{where}")
    if outcome.error is None:
        lines.append("not reproduced: every quantity is finite in float64; the run's precision was too small for it")
    else:
        first = outcome.first
        begins = "nothing before the sum of them" if first is None else first.name
        lines.append(f"reproduced: {outcome.error}; the first that is not finite: {begins}")
    return lines
