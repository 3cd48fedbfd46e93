"""Compare a candidate's results with the expected ones, up to rounding, and state what holds for any formula."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ppocore.testing.formulas.candidate import Candidate, Outcome
from ppocore.testing.formulas.subject import Case, Inapplicable, Mismatch
from ppocore.testing.gae.candidate import CandidateError
from ppocore.typing import Array


def outcome_of(candidate: Candidate, case: Case) -> Outcome:
    """Call the candidate, and report an error of its own as a mismatch on this case."""
    try:
        return candidate(case)
    except CandidateError as error:
        raise Mismatch(str(error), case) from error


def require_close(
    what: str,
    candidate: Candidate,
    case: Case,
    expected: Mapping[str, Array],
    outcome: Outcome,
    *,
    twice: bool = False,
) -> None:
    """Raise `Mismatch` where a result differs from the expected one by more than rounding.

    Args:
        what: what is compared.
        candidate: whose results they are.
        case: the arguments.
        expected: the results that are right; others are not compared.
        outcome: the results of the candidate.
        twice: whether both were computed in floating point.
    """
    allowed = candidate.allowed(case, outcome.precision) * (2.0 if twice else 1.0)
    for name, actual in outcome.results.items():
        right = expected[name]
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(actual - right) <= allowed) & candidate.subject.compared(case, name)
        if wrong.any():
            i, j = np.argwhere(wrong)[0].tolist()
            found, named = f"{actual[i, j]:.7g}", f"{right[i, j]:.7g}"
            beside = ""
            if found == named:
                differ = abs(actual[i, j] - right[i, j])
                beside = f", which differs by {differ:.2g}; rounding allows {allowed[i, j]:.2g}"
            place = candidate.subject.place.format(i, j)
            raise Mismatch(
                f"{what}: {place} of its {name} is {found}, expected {named}{beside}",
                case,
                name,
                right,
                actual,
            )


def is_right(candidate: Candidate, case: Case) -> bool:
    """Tell whether a candidate's results are right on a case."""
    try:
        outcome = candidate(case)
        require_close("", candidate, case, candidate.subject.expected(case), outcome)
    except (CandidateError, Mismatch):
        return False
    return True


def well_formed(candidate: Candidate, case: Case) -> None:
    """Require that it returns finite floating-point results of the right shape and kind within its time limit."""
    if not candidate.subject.regular(case):
        raise Inapplicable
    outcome_of(candidate, case)


def inputs_untouched(candidate: Candidate, case: Case) -> None:
    """Require that it does not write to its arguments."""
    if not candidate.subject.regular(case):
        raise Inapplicable
    written = outcome_of(candidate, case).written
    if written:
        raise Mismatch(f"it wrote to its argument {' and '.join(sorted(written))}", case)


def by_definition(candidate: Candidate, case: Case) -> None:
    """Require that its results are those of the definition."""
    if not candidate.subject.regular(case):
        raise Inapplicable
    outcome = outcome_of(candidate, case)
    require_close("by definition", candidate, case, candidate.subject.expected(case), outcome)


def large_arrays(candidate: Candidate, case: Case) -> None:
    """Require that long and wide arrays have the results of the definition."""
    outcome = outcome_of(candidate, case)
    what = f"arrays of shape {candidate.subject.shape(case)}"
    require_close(what, candidate, case, candidate.subject.expected(case), outcome)


def integer_rewards(candidate: Candidate, case: Case) -> None:
    """Require that integer rewards have the results of equal floating-point ones."""
    if candidate.framework.name != "numpy":
        raise Inapplicable("it is checked with NumPy only")
    case = {**case, "rewards": np.rint(case["rewards"]).astype(np.int64)}
    outcome = outcome_of(candidate, case)
    require_close("rewards of dtype int64", candidate, case, candidate.subject.expected(case), outcome)
