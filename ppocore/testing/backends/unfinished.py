"""Find the methods that a backend lacks, before any property is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ppocore.backend import BackendFactory, Minibatch, Objective, OptimizerStep
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec
from ppocore.registry import EVERY_METHOD, backend_label, make_backend


def check_finished(factory: BackendFactory, device: str) -> None:
    """Check that a backend can be made and that none of its methods is still to be written.

    Raises:
        UsageError: it cannot be made, or lacks methods; the message names all of them.
    """
    spec = NetworkSpec(1, "categorical", 2, ())
    try:
        backend = make_backend(factory, spec, device=device, needed=EVERY_METHOD)
    except UsageError:
        raise
    except Exception as error:  # what is checked may be no backend at all, such as json.dumps
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"backend {backend_label(factory)} cannot be made: {reason}") from error
    rows, one = np.zeros((1, 1)), np.zeros(1)
    batch = Minibatch(rows, np.zeros(1, np.int64), np.full(1, np.log(0.5)), np.ones(1), one, one)
    objective, step = Objective(clip_range=0.2), OptimizerStep(learning_rate=1e-3, max_grad_norm=None)
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}
    calls: dict[str, Callable[[], Any]] = {
        "using_threads": lambda: backend.using_threads(1),
        "load_state": lambda: backend.load_state(weights),
        "weights": backend.weights,
        "state": backend.state,
        "forward": lambda: backend.forward(rows),
        "evaluate": lambda: backend.evaluate(batch, objective),
        "gradients": lambda: backend.gradients(batch, objective),
        "update": lambda: backend.update(batch, objective, step),
    }
    unwritten = []
    for name, call in calls.items():
        try:
            call()
        except NotImplementedError:
            unwritten.append(name)
        except Exception:  # the properties report it, with the problem on which it occurs
            pass
    if unwritten:
        raise UsageError(
            f"backend {backend_label(factory)} is not finished: {', '.join(unwritten)} raise NotImplementedError; see "
            "ppocore.backend.Backend for what each method does"
        )
