"""Adapt functions of other signatures to the one that `check_gae` calls.

Each adapter takes a function, or one that is adapted already, and says one thing about it; so they compose, in any
order::

    batch_major(from_dones(f, values="T+1"))

The result can be called with (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N). A
function that cannot tell truncation from termination gets ``gamma * next_values`` added to the reward of a truncated
step, as its caller would have to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ppocore.advantages.arrays import framework_of
from ppocore.errors import UsageError
from ppocore.testing.gae.candidate import FLAGS, Candidate
from ppocore.testing.gae.frameworks import Framework
from ppocore.testing.gae.signature import ROLES, Signature, usual
from ppocore.testing.gae.trajectories import Trajectory

Function = Callable[..., Any]


class Adapted:
    """Hold a function and its signature.

    Attributes:
        function: the function.
        signature: what it takes.
    """

    def __init__(self, function: Function, signature: Signature) -> None:
        if not callable(function):
            raise UsageError(f"the candidate is {function!r}, expected a function that returns advantages")
        self.function, self.signature = function, signature
        self.__name__ = str(getattr(function, "__name__", type(function).__name__))
        self.__qualname__ = str(getattr(function, "__qualname__", self.__name__))
        self.__doc__ = getattr(function, "__doc__", None)

    def __call__(
        self, rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
    ) -> Any:
        """Call the function with arrays (T, N), in its own signature.

        Returns:
            The advantages, or the advantages and the returns, (T, N), in the framework of the rewards.
        """
        kind = framework_of(rewards) or "numpy"
        framework = Framework(kind)
        r, v, after, term, trunc = (
            framework.read(array)[0] for array in (rewards, values, next_values, terminated, truncated)
        )
        candidate = Candidate(self.function, arrays=kind, dtype=framework.read(values)[1], signature=self.signature)
        candidate.choose_flags()
        found = candidate(Trajectory(r, v, after, term, trunc, np.ones_like(term), gamma, lam))
        parts = [candidate.framework.convert(part) for part in (found.advantages, found.returns) if part is not None]
        return tuple(parts) if len(parts) > 1 else parts[0]


def adapt(function: Function, arguments: str | Sequence[str] | None = None, **changes: Any) -> Adapted:
    """Say what a function takes.

    ::

        adapt(f, "rewards values masks last_values gamma lam")

    Args:
        function: the function, or one that is adapted already.
        arguments: what its arguments are, in order: keys of `ppocore.testing.gae.signature.ROLES`; one that is passed
            by name is written ``gae_lambda=lam``, and values or dones with a further row ``values[T+1]``.
        changes: other attributes of `ppocore.testing.gae.signature.Signature`.

    Raises:
        UsageError: an argument or a choice is unknown.
    """
    known = isinstance(function, Adapted)
    signature = function.signature if isinstance(function, Adapted) else usual(function, False)
    bare = function.function if isinstance(function, Adapted) else function
    if arguments is not None:
        words = arguments.replace(",", " ").split() if isinstance(arguments, str) else list(arguments)
        rows = {"values": "values", "dones": "dones_rows", "masks": "dones_rows"}
        for role, attribute in rows.items():
            if f"{role}[T+1]" in words:
                words[words.index(f"{role}[T+1]")] = role
                changes = {attribute: "T+1", **changes}
        pairs = [(word.rpartition("=")[2], word.rpartition("=")[0]) for word in words]
        unknown = [role for role, _ in pairs if role not in ROLES]
        if unknown:
            raise UsageError(f"there is no argument {unknown[0]!r}: choose from {', '.join(ROLES)}")
        keywords = tuple((role, keyword) for role, keyword in pairs if keyword)
        changes = {"arguments": tuple(role for role, _ in pairs), "keywords": keywords, **changes}
    elif known:
        changes = {name: value for name, value in changes.items() if value is not None}
    return Adapted(bare, signature.declare(**changes))


def from_dones(
    function: Function,
    *,
    dones: str = "after",
    values: str = "T",
    rows: str = "T",
    masks: bool = False,
    discounts: bool = False,
    arguments: str | Sequence[str] | None = None,
) -> Adapted:
    """Adapt a function of (rewards, values, dones, last_values, gamma, lam), as in many rollout buffers.

    Arrays are (T, N), and ``last_values`` is (N,).

    Args:
        function: returns advantages, or advantages and returns.
        dones: ``after`` if ``dones[t]`` means that the episode ended at step t; ``before`` if it means that the episode
            ended before step t. With ``before`` the function also takes the end of the last row, after ``last_values``:
            (rewards, values, dones, last_values, last_dones, gamma, lam).
        values: ``T``, or ``T+1`` if the values (T + 1, N) end with the last values, which are no argument then.
        rows: ``T``, or ``T+1`` if the dones ``before`` (T + 1, N) end with the last dones, which are no argument then.
        masks: whether it takes ``1 - dones`` in place of the dones.
        discounts: whether it takes ``gamma * (1 - dones)`` in place of the dones and of gamma.
        arguments: its arguments, if their order is another, as for `adapt`.
    """
    if dones not in ("after", "before"):
        raise UsageError(f"dones={dones!r} is unknown: use after or before")
    for name, value in (("values", values), ("rows", rows)):
        if value not in ("T", "T+1"):
            raise UsageError(f"{name}={value!r} is unknown: use T or T+1")
    if arguments is None:
        flags = "discounts" if discounts else "masks" if masks else "dones"
        order = ["rewards", "values", flags]
        order += ["last_values"] if values == "T" else []
        order += ["last_masks" if masks else "last_dones"] if dones == "before" and rows == "T" else []
        arguments = [*order, "lam"] if discounts else [*order, "gamma", "lam"]
    return adapt(function, arguments, dones=dones, values=values, dones_rows=rows)


def batch_major(function: Function) -> Adapted:
    """Adapt a function whose arrays are (N, T)."""
    return adapt(function, layout="batch")


def single_columns(function: Function) -> Adapted:
    """Adapt a function of one environment, whose arrays are (T,) and whose last value is a number."""
    return adapt(function, layout="column")


def trailing_axis(function: Function) -> Adapted:
    """Adapt a function whose arrays are (T, N, 1)."""
    return adapt(function, layout="trailing")


def agents(function: Function) -> Adapted:
    """Adapt a function whose arrays are (T, N, A), for A agents."""
    return adapt(function, layout="agents")


def shifted_rewards(function: Function) -> Adapted:
    """Adapt a function of T + 1 rewards, of which row t is the reward of step t - 1."""
    return adapt(function, shifted=True)


def flags_as(function: Function, flags: str) -> Adapted:
    """Adapt a function whose flags are ``bool``, ``float`` (of the dtype of the values) or ``int``."""
    if flags not in FLAGS:
        raise UsageError(f"flags={flags!r} is unknown: use one of {', '.join(FLAGS)}")
    return adapt(function, flags=flags)


def truncation_in_rewards(function: Function) -> Adapted:
    """Adapt a function that does not bootstrap at a truncation, because its caller adds the bootstrap to the reward."""
    return adapt(function, in_rewards=True)


def episode_lists(
    function: Function, *, values: str = "T+1", arguments: str | Sequence[str] = "rewards values gamma lam"
) -> Adapted:
    """Adapt a function of (rewards, values, gamma, lam) of one episode.

    ``rewards`` is (T,), and ``values`` is (T + 1,): its last number is 0 if the episode terminated, and otherwise the
    value of the last step's successor. The function returns the episode's advantages (T,), or advantages and returns.

    Args:
        function: the function.
        values: ``T+1``, or ``T`` if there is no last value, or it is an argument of its own.
        arguments: its arguments, if they are others, as for `adapt`.
    """
    if values not in ("T", "T+1"):
        raise UsageError(f"values={values!r} is unknown: use T or T+1")
    return adapt(function, arguments, layout="episode", values=values)


def token_level(
    function: Function,
    *,
    padding: str = "right",
    mask: bool = True,
    arguments: str | Sequence[str] | None = None,
) -> Adapted:
    """Adapt a function of (rewards, values, mask, gamma, lam) of padded sequences, as in training language models.

    Arrays are (B, T): a row is one episode, and ``mask`` is True for its tokens. Padding holds large numbers, so that a
    function that reads them fails. Nothing follows the last token; if an episode did not terminate, the bootstrap is
    added to its last reward.

    Args:
        function: returns advantages (B, T), or advantages and returns.
        padding: side of the padding, ``right`` or ``left``.
        mask: whether it takes a mask; without one, the padding is zeros.
        arguments: its arguments, if they are others, as for `adapt`.
    """
    if padding not in ("right", "left"):
        raise UsageError(f"padding={padding!r} is unknown: use right or left")
    if arguments is None:
        arguments = "rewards values mask gamma lam" if mask else "rewards values gamma lam"
    return adapt(function, arguments, layout="tokens" if padding == "right" else "tokens-left")


def canonical(function: Function, valid: bool | None = None) -> Adapted:
    """Take a function as one of the usual signature.

    Args:
        function: the function.
        valid: whether to pass which rows are transitions; by default, if it has a parameter ``valid``.
    """
    return Adapted(function, usual(function, valid))
