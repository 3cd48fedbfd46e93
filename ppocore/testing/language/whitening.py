"""Whiten over a mask by definition, and with known mistakes.

whitened = (x - mean) / std over the entries where the mask is True, or, with shift_mean=False, that plus mean
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ppocore.testing.formulas.subject import Mistake
from ppocore.typing import Array, Bools

EPSILONS = (1e-8, 1e-5, 1e-6, 1e-7, 1e-9, 1e-10, 1e-12, 0.0)


PLACES = {"variance": "added to the variance", "deviation": "added to the deviation", "least": "as the least variance"}


class Whitening(NamedTuple):
    """Describe a way to whiten: the degrees of freedom, what keeps from dividing by 0, and how (a key of `PLACES`)."""

    ddof: int
    epsilon: float
    place: str

    def __str__(self) -> str:
        return f"ddof={self.ddof} and {self.epsilon:g} {PLACES[self.place]}"

    def divisor(self, variance: float) -> float:
        """Return what is divided by."""
        if self.place == "deviation":
            return float(variance**0.5 + self.epsilon)
        return float((max(variance, self.epsilon) if self.place == "least" else variance + self.epsilon) ** 0.5)


def usual_whitenings(
    ddof: int | None = None, epsilon: float | None = None, place: str | None = None
) -> Iterator[Whitening]:
    """Go through the ways to whiten that are in use, as far as nothing is declared."""
    for small in EPSILONS if epsilon is None else (epsilon,):
        for how in PLACES if place is None else (place,):
            for freedom in (1, 0) if ddof is None else (ddof,):
                yield Whitening(freedom, small, how)


def whiten(x: Array, mask: Bools, how: Whitening, *, shift_mean: bool = True) -> Array:
    """Whiten the entries where the mask is True; others become 0."""
    found = np.zeros(x.shape)
    kept = [float(number) for number in x[mask]]
    mean = sum(kept) / len(kept)
    variance = sum((number - mean) ** 2 for number in kept) / max(len(kept) - how.ddof, 1)
    divisor = how.divisor(variance)
    for place in np.argwhere(mask).tolist():
        number = float(x[tuple(place)])
        found[tuple(place)] = (number - mean) / max(divisor, 1e-300) + (0.0 if shift_mean else mean)
    return found


MISTAKES: dict[str, Mistake] = {
    "mask ignored": Mistake("mean and deviation are taken over the padding, too", {"mean": "all", "variance": "all"}),
    "mean over the padding": Mistake("the mean is taken over the padding, too", {"mean": "all"}),
    "deviation over the padding": Mistake("the deviation is taken over the padding, too", {"variance": "all"}),
    "sums of the mask divided by the size": Mistake(
        "sums over the mask are divided by the number of all entries", {"mean": "size", "variance": "size"}
    ),
    "mean divided by the size": Mistake(
        "the sum over the mask is divided by the number of all entries", {"mean": "size"}
    ),
    "variance divided by the size": Mistake(
        "the squares over the mask are divided by the number of all entries", {"variance": "size"}
    ),
    "second moment in place of the variance": Mistake(
        "the mean is not subtracted before squaring", {"variance": "moment"}
    ),
    "variance in place of the deviation": Mistake("the root is missing", {"root": False}),
    "mean not added back": Mistake("the mean is subtracted though it is to be kept", {"shift": True}),
    "mean kept": Mistake("the mean is not subtracted from the result", {"shift": False}, "shift_mean=False"),
    "mean kept, not shifted back": Mistake(
        "numbers are divided by the deviation without subtracting the mean", {"shift": "never"}
    ),
    "deviation missing": Mistake("the mean is subtracted, but nothing is divided", {"divide": False}),
}


def whiten_with(
    x: Array,
    mask: Bools,
    everything: Bools,
    how: Whitening,
    *,
    shift: bool | str = True,
    mean: str = "mask",
    variance: str = "mask",
    root: bool = True,
    divide: bool = True,
) -> Array:
    """Whiten with mistakes; see `MISTAKES`."""
    counts = {"all": everything.sum(), "size": everything.sum(), "mask": mask.sum()}
    middle = x[everything if mean == "all" else mask].sum() / counts[mean]
    right = x[mask].mean() if mean != "size" else middle
    if variance == "all":
        squares, count = ((x[everything] - x[everything].mean()) ** 2).sum(), everything.sum()
    elif variance == "moment":
        squares, count = (x[mask] ** 2).sum(), mask.sum()
    else:
        squares, count = ((x[mask] - (middle if mean != "mask" else right)) ** 2).sum(), counts[variance]
    spread = squares / max(count - how.ddof, 1)
    divisor = how.divisor(spread) if root else spread + how.epsilon
    if not divide:
        divisor = 1.0
    with np.errstate(all="ignore"):
        if shift == "never":
            found: Array = x / divisor
        else:
            found = (x - middle) / divisor + (0.0 if shift else middle)
    return found
