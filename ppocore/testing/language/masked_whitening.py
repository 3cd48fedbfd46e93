"""Say what a function that whitens over a mask takes, and what is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.comparison import by_definition, inputs_untouched, large_arrays, well_formed
from ppocore.testing.formulas.interface import Interface
from ppocore.testing.formulas.subject import Alternative, Case, Mismatch, Property, Results, Subject
from ppocore.testing.gae.candidate import CandidateError
from ppocore.testing.language.tokens import draw_mask, filled, masked_entries_unread, settled_mask
from ppocore.testing.language.whitening import MISTAKES, usual_whitenings, whiten, whiten_with
from ppocore.typing import Array, Bools


def equal_entries_finite(candidate: Candidate, case: Case) -> None:
    """Require finite numbers, or an error, for a single entry, and finite numbers for equal ones."""
    subject, mask = candidate.subject, case["mask"]
    one = np.zeros_like(mask)
    one[tuple(np.argwhere(mask)[0])] = True
    cases = [({**case, "mask": one}, True)]
    if mask.sum() > 1 and subject.changed().whitening.epsilon > 0.0:
        cases.append(({**case, "x": np.where(mask, 0.5, case["x"])}, False))
    for each, may_raise in cases:
        try:
            candidate(candidate.handed(each))
        except CandidateError as error:
            if may_raise and "raised" in str(error):
                continue
            raise Mismatch(str(error), each) from error


ROLES = {
    "x": "numbers (B, T)",
    "mask": "flags (B, T) of the entries that count",
    "shift_mean": "whether the mean is subtracted from the result",
}
ALIASES = {
    "x": "values advantages xs tensor rewards data value advs",
    "mask": "response_mask action_mask masks loss_mask valid attention_mask",
    "shift_mean": "shift",
}
RESULT_ALIASES = {"whitened": "whitened normalized advantages"}
LAYOUTS = {"batch": "usual", "trailing": "trailing", "time": "transposed"}


class MaskedWhitening(Subject):
    """Describe masked whitening as one function takes it.

    Args:
        interface: what the function takes.
        ddof, epsilon, place: the degrees of freedom, what keeps from dividing by 0, and how; None for what is in use.
        shift_mean: whether the mean is subtracted, if the function does not take that.
        over: ``batch``, or ``sequence`` if each row is whitened by itself.
        holes: whether tokens between others may be masked out.
    """

    check = "check_masked_whitening"
    roles = ROLES
    aliases = ALIASES
    canonical = ("x", "mask")
    results = ("whitened",)
    result_aliases = RESULT_ALIASES
    mistakes = MISTAKES
    properties = (
        Property(well_formed),
        Property(inputs_untouched),
        Property(by_definition),
        Property(masked_entries_unread),
        Property(equal_entries_finite),
        Property(large_arrays, large=True),
    )
    layouts = LAYOUTS
    place = "token {1} of sequence {0}"
    sizes = ((5, 132), (33, 2), (2, 270), (130, 1))
    exact = False

    def __init__(
        self,
        interface: Interface,
        *,
        ddof: int | None = None,
        epsilon: float | None = None,
        place: str | None = None,
        shift_mean: bool = True,
        over: str = "batch",
    ) -> None:
        self.interface, self.shift_mean, self.over = interface, shift_mean, over
        self.declared = ddof, epsilon, place
        self.whitening = next(usual_whitenings(*self.declared))
        if not interface.has("shift_mean"):  # it is a choice, then
            self.mistakes = {name: mistake for name, mistake in MISTAKES.items() if name != "mean kept"}

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Case:
        """Draw numbers of different sizes, so that what is added to the variance can be told."""
        mask = draw_mask(rng, shape, padding="both", holes=True)
        if kind == "random":
            x = rng.normal(0.7, 1.0, shape).round(3) * float(rng.choice([1.0, 1e-2, 1e-4]))
        else:
            x = rng.choice([1.0, 0.0, 2.0, -1.0, 3.0], shape)
        shift = self.shift_mean if not self.interface.has("shift_mean") else bool(rng.integers(0, 2))
        return self.settle({"x": x, "mask": mask, "shift_mean": shift})

    def settle(self, case: Case) -> Case:
        """Fill what is masked out."""
        mask = settled_mask(case["mask"], padding="both", holes=True)
        return filled({**case, "mask": mask}, "x", filler=max(float(np.abs(case["x"][mask]).max()), 1e-4) * 10.0)

    def arguments(self, case: Case) -> dict[str, Any]:
        """Return an array or a flag for each role."""
        return dict(case)

    def _parts(self, mask: Bools) -> list[Bools]:
        """Return the masks of what is whitened together."""
        if self.over == "batch":
            return [mask]
        rows = np.arange(len(mask))[:, None]
        return [mask & (rows == row) for row in range(len(mask))]

    def expected(self, case: Case) -> Results:
        """Whiten by definition."""
        parts = [
            whiten(case["x"], part, self.whitening, shift_mean=case["shift_mean"]) for part in self._parts(case["mask"])
        ]
        return {"whitened": np.sum(parts, axis=0)}

    def mistaken(self, case: Case, **changes: Any) -> Results:
        """Whiten with mistakes."""
        shift = changes.pop("shift", case["shift_mean"])
        found = np.zeros(case["x"].shape)
        for part in self._parts(case["mask"]):
            row = (
                np.broadcast_to(part.any(axis=1, keepdims=True), part.shape)
                if self.over == "sequence"
                else np.ones_like(part)
            )
            found = np.where(row, whiten_with(case["x"], part, row, self.whitening, shift=shift, **changes), found)
        return {"whitened": found}

    def magnitude(self, case: Case) -> Array:
        """Return to what the rounding of a mean and of a variance, in one pass or two, is proportional."""
        size = np.zeros(case["x"].shape)
        for part in self._parts(case["mask"]):
            kept = case["x"][part]
            spread = max(float(kept.std()), 1e-30)
            squares = float((kept**2).mean())
            whitened = np.abs(case["x"] - kept.mean()) / spread
            row = (np.abs(case["x"]) + np.sqrt(squares)) / spread + whitened * (1.0 + squares / spread**2)
            size = np.where(part, row + abs(float(kept.mean())), size)
        return np.where(case["mask"], size, 1e6)

    def compared(self, case: Case, name: str) -> Array:
        """Tell which entries are to be right."""
        found: Array = case["mask"]
        return found

    def regular(self, case: Case) -> bool:
        """Tell whether there are numbers that differ, in each part."""
        return all(
            part.sum() > 1 and float(case["x"][part].std()) > 0.02 * float(np.abs(case["x"][part]).max())
            for part in self._parts(case["mask"])
        )

    def variants(self) -> Iterator[Subject]:
        """Go through the ways to whiten that are in use."""
        for whitening in usual_whitenings(*self.declared):
            yield self.changed(whitening=whitening)

    def alternatives(self) -> Iterator[Alternative]:
        """Go through what programs do on purpose."""
        if not self.interface.has("shift_mean") and self.shift_mean:
            yield Alternative("the mean is kept", "shift_mean=False", self.changed(shift_mean=False))
        if self.over == "batch":
            other = self.changed(over="sequence")
            yield Alternative("each sequence is whitened by itself", "over='sequence'", other)
        if any(declared is not None for declared in self.declared):
            for whitening in usual_whitenings():
                found = self.changed(whitening=whitening, declared=tuple(whitening))
                declare = f"ddof={whitening.ddof}, epsilon={whitening.epsilon:g}, place={whitening.place!r}"
                yield Alternative(f"it whitens with {whitening}", declare, found)

    def describe(self) -> str:
        """Say how it whitens."""
        together = "the batch" if self.over == "batch" else "each sequence"
        return f"whitening {together} with {self.whitening}"
