"""List the properties that `check_backend` checks, from elementary to composed.

Each is a function ``check(factory, problem, precision="exact", device="cpu")`` that can be called by itself: it
compares the backend that ``factory`` builds with the NumPy oracle on one `ppocore.testing.Problem`, returns the largest
errors, and raises `Disagreement` where one is too large.
"""

from __future__ import annotations

from ppocore.testing.backends.comparison import ULP_BOUND, Check, Disagreement, Inapplicable, Property
from ppocore.testing.backends.masks import masked_actions
from ppocore.testing.backends.numbers import (
    clipped_gradient,
    entropy,
    forward,
    global_norm,
    gradients,
    kl,
    log_prob,
    policy_loss,
    ratio,
    total_loss,
    update_stats,
    value_loss,
)
from ppocore.testing.backends.optimizers import critic_learning_rate, held_actor, separate_norms
from ppocore.testing.backends.state import (
    asking_is_not_stepping,
    bad_state,
    copies,
    inputs_untouched,
    non_finite,
    process_left_as_found,
    state_layout,
    wrong_device,
)
from ppocore.testing.backends.steps import (
    DRIFT_BOUND,
    adam_step,
    bit_equality,
    float32_drift,
    handover,
    learning_rate,
    resume,
)

__all__ = [
    "PROPERTIES",
    "Disagreement",
    "Inapplicable",
    "adam_step",
    "asking_is_not_stepping",
    "bad_state",
    "bit_equality",
    "clipped_gradient",
    "copies",
    "critic_learning_rate",
    "entropy",
    "float32_drift",
    "forward",
    "global_norm",
    "gradients",
    "handover",
    "held_actor",
    "inputs_untouched",
    "kl",
    "learning_rate",
    "log_prob",
    "masked_actions",
    "non_finite",
    "policy_loss",
    "process_left_as_found",
    "ratio",
    "resume",
    "separate_norms",
    "state_layout",
    "total_loss",
    "update_stats",
    "value_loss",
    "wrong_device",
]


def _in_ulps(check: Check) -> Property:
    return Property(check.__name__, check, unit="ulp", bound=ULP_BOUND)


PROPERTIES: tuple[Property, ...] = (
    Property("state_layout", state_layout, "steps"),
    Property("wrong_device", wrong_device),
    _in_ulps(forward),
    _in_ulps(log_prob),
    _in_ulps(entropy),
    _in_ulps(ratio),
    _in_ulps(kl),
    _in_ulps(policy_loss),
    _in_ulps(value_loss),
    _in_ulps(total_loss),
    _in_ulps(gradients),
    Property("masked_actions", masked_actions),
    _in_ulps(global_norm),
    _in_ulps(update_stats),
    Property("clipped_gradient", clipped_gradient, "steps"),
    Property("learning_rate", learning_rate, "steps", precisions=("exact",)),
    Property("adam_step", adam_step),
    Property("critic_learning_rate", critic_learning_rate, "steps"),
    Property("separate_norms", separate_norms, "steps"),
    Property("held_actor", held_actor, "steps"),
    Property("copies", copies, "steps"),
    Property("inputs_untouched", inputs_untouched, "steps"),
    Property("asking_is_not_stepping", asking_is_not_stepping, "steps"),
    Property("bit_equality", bit_equality, "steps", precisions=("exact",)),
    Property(
        "float32_drift", float32_drift, "steps", precisions=("float32",), unit="learning rates", bound=DRIFT_BOUND
    ),
    Property("resume", resume, "steps"),
    Property("handover", handover, "steps", precisions=("exact",)),
    Property("bad_state", bad_state, "steps"),
    Property("non_finite", non_finite, "steps"),
    Property("process_left_as_found", process_left_as_found, "steps"),
)
"""In an order in which a failure explains those after it."""
