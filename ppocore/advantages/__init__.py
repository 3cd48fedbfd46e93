"""Estimate advantages and returns.

Arrays are time-major, ``(T, N)`` for T steps of N environments, or ``(T,)``; ``time_axis`` names another time axis, and
further axes, as in ``(T, N, 1)`` or ``(T, N, A)`` for A agents, are further columns. `token_gae` takes ``(B, T)``.
Arguments may be NumPy, torch, paddle or JAX arrays or lists of them, and results have the library, the device and the
shape of the first argument; inside ``torch.compile`` and ``jax.jit`` a call is one opaque operation. Everything is
computed in float64. Results are float32 (or float16, bfloat16) if all arrays of numbers are, and float64 otherwise.
Arguments are never written to, and no gradient flows through a result: a tensor that requires grad is detached, and
inside ``jax.grad`` a result is a constant.

The estimators share these arguments:

=========== ============== ================================================================================
rewards     (T, N)         r[t], received for the action taken at step t
values      (T, N)         V(s[t]), the value of the state in which that action was taken
next_values (T, N), number V(s[t+1]) of the *true* successor: the final observation where an episode ended,
                           never the observation after a reset; not read, so possibly NaN, where terminated
terminated  (T, N) flags   the episode ended at step t: nothing follows, whatever ``truncated`` is
truncated   (T, N) flags   the episode was cut short at step t: it would have continued, worth next_values[t]
valid       (T, N) flags   False where a row is not a step (such as a reset); such rows get 0 and count as if
                           they were deleted, whatever they hold
=========== ============== ================================================================================

Flags are bool, or 0 and 1. A shape that does not match, or a flag that is neither 0 nor 1, raises a `ValueError`; one
``done`` in place of the two flags, a masked array, or arrays of two frameworks, raise a `TypeError`.
"""

from ppocore.advantages.gae import AdvantageEstimate, gae, successor_values, td_residuals
from ppocore.advantages.returns import discounted_returns, lambda_returns, n_step_returns
from ppocore.advantages.tokens import token_gae
from ppocore.advantages.vtrace import VTraceEstimate, vtrace

__all__ = [
    "AdvantageEstimate",
    "VTraceEstimate",
    "discounted_returns",
    "gae",
    "lambda_returns",
    "n_step_returns",
    "successor_values",
    "td_residuals",
    "token_gae",
    "vtrace",
]
