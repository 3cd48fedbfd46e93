"""The known mistakes as functions of other signatures and frameworks."""

import numpy as np

from ppocore.testing import DEFECTS
from ppocore.testing.gae.plan import advantages_with
from ppocore.testing.gae.trajectories import Trajectory

OF_NUMBERS = {
    f"{name}, {k}" if k else name: (name, change, defect.early)
    for name, defect in DEFECTS.items()
    for k, change in enumerate(defect.changes)
}
"""Every variant of a mistake about numbers: its name, what it changes, and whether before flags are used."""
THROUGH_DONES = {key: entry for key, entry in OF_NUMBERS.items() if not DEFECTS[entry[0]].reads_truncation}


def of_flags(change, early):
    """Return a function of the usual arguments with a mistake."""

    def wrong(rewards, values, next_values, terminated, truncated, gamma, lam):
        valid = np.ones_like(terminated)
        return advantages_with(
            [(change, early)],
            Trajectory(rewards, values, next_values, terminated, truncated, valid, gamma, lam),
        )

    return wrong


def of_dones(change, early):
    """Return a function of dones with a mistake."""
    flags = of_flags(change, early)

    def wrong(rewards, values, dones, last_values, gamma, lam):
        following = np.concatenate([values[1:], last_values[None]])
        return flags(rewards, values, following, dones, np.zeros_like(dones), gamma, lam)

    return wrong


def in_framework(function, arrays):
    """Return a function of a framework's arrays that computes in NumPy, in float32."""
    if arrays == "numpy":
        return function

    def convert(result):
        result = np.asarray(result).astype(np.float32)
        if arrays == "torch":
            import torch

            return torch.from_numpy(result)
        if arrays == "paddle":
            import paddle

            return paddle.to_tensor(result)
        import jax.numpy

        return jax.numpy.asarray(result)

    def wrapped(*arguments, gamma, lam):
        found = function(*[np.asarray(x) for x in arguments], gamma, lam)
        return convert(found)

    def positional(*arguments):
        found = function(*[x if isinstance(x, float) else np.asarray(x) for x in arguments])
        return convert(found)

    wrapped.__name__ = positional.__name__ = "wrong"
    return positional if function.__code__.co_argcount == 6 else wrapped
