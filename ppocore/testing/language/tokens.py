"""Draw masks of padded sequences, and state what holds for all functions of them."""

from __future__ import annotations

import numpy as np

from ppocore.testing.formulas.candidate import Candidate
from ppocore.testing.formulas.comparison import outcome_of, require_close
from ppocore.testing.formulas.subject import Case, Inapplicable
from ppocore.typing import Array, Bools

PADDINGS = ("right", "left", "both")
FILLER = 100.0
"""What stands in masked-out entries, so that a function that reads them fails."""


def draw_mask(rng: np.random.Generator, shape: tuple[int, int], *, padding: str, holes: bool) -> Bools:
    """Draw flags (B, T) of the tokens that count: at least one in each row, padding beside them, holes between."""
    mask = np.zeros(shape, np.bool_)
    for row in mask:
        count = int(rng.integers(1, len(row) + 1))
        side = padding if padding != "both" else ("right", "left")[int(rng.integers(0, 2))]
        first = 0 if side == "right" else len(row) - count
        row[first : first + count] = True
        if holes and count > 2 and rng.random() < 0.7:
            start = int(rng.integers(1, count - 1))
            row[first + start : first + int(rng.integers(start + 1, count))] = False
    return mask


def settled_mask(mask: Bools, *, padding: str, holes: bool) -> Bools:
    """Return a mask that is possible: a token in each row, and padding and holes only where they are declared."""
    found = mask.copy()
    for row in found:
        if not row.any():
            row[0 if padding == "right" else -1] = True
        kept = np.flatnonzero(row)
        if not holes:
            row[kept[0] : kept[-1] + 1] = True
        if padding == "right":
            row[: kept[0]] = True
        elif padding == "left":
            row[kept[-1] :] = True
    return found


def filled(case: Case, *names: str, filler: float = FILLER) -> Case:
    """Fill masked-out entries with numbers that are not to be read."""
    signs = np.where(np.indices(case["mask"].shape).sum(0) % 2, -1.0, 1.0)
    return {**case, **{name: np.where(case["mask"], case[name], filler * signs) for name in names}}


def last_tokens(mask: Bools) -> Array:
    """Return the index (B,) of the last token that counts in each row."""
    found: Array = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    return found


def masked_entries_unread(candidate: Candidate, case: Case) -> None:
    """Require that numbers in masked-out entries do not count."""
    mask = case["mask"]
    if mask.all():
        raise Inapplicable
    changed = {
        name: np.where(mask, x, 0.5 - x) if isinstance(x, np.ndarray) and x.shape == mask.shape and x is not mask else x
        for name, x in case.items()
    }
    changed = candidate.handed(changed)
    if not candidate.subject.regular(changed) or not candidate.interface.has("mask"):
        raise Inapplicable("it takes no mask")
    expected = outcome_of(candidate, case).results
    outcome = outcome_of(candidate, changed)
    require_close("other numbers in masked-out entries", candidate, changed, expected, outcome, twice=True)


def sequences_apart(candidate: Candidate, case: Case) -> None:
    """Require that the results of a sequence do not depend on the others."""
    if len(case["mask"]) < 2:
        raise Inapplicable
    single = {name: x[:1] if isinstance(x, np.ndarray) else x for name, x in case.items()}
    alone, together = outcome_of(candidate, single), outcome_of(candidate, case)
    cut = {name: x[:1] for name, x in together.results.items()}
    require_close("the first sequence by itself", candidate, single, cut, alone, twice=True)


def masked_as_if_deleted(candidate: Candidate, case: Case) -> None:
    """Require that masked-out tokens, such as those of a tool between turns, count as if they were deleted."""
    mask = case["mask"]
    if mask[0].all():
        raise Inapplicable
    single = {name: x[:1] if isinstance(x, np.ndarray) else x for name, x in case.items()}
    kept = np.flatnonzero(mask[0])
    short = {n: x[:, kept] if isinstance(x, np.ndarray) and x.ndim == 2 else x for n, x in single.items()}
    outcome = outcome_of(candidate, single)
    expected = {name: x.copy() for name, x in outcome.results.items()}
    for name, x in outcome_of(candidate, short).results.items():
        expected[name][:, kept] = x
    for name, x in expected.items():  # nothing is claimed of the entries that are masked out
        x[:, ~mask[0]] = outcome.results[name][:, ~mask[0]]
    require_close("without the masked-out tokens", candidate, single, expected, outcome, twice=True)
