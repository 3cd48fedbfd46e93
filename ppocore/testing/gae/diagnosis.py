"""Find the known mistakes that give a candidate's numbers."""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError, Outcome
from ppocore.testing.gae.comparison import tolerance
from ppocore.testing.gae.defects import DEFECTS, Defect
from ppocore.testing.gae.reference import reference_gae
from ppocore.testing.gae.trajectories import Trajectory, diagnostic_trajectories


def diagnose(candidate: Candidate, counterexample: Trajectory | None = None) -> list[Defect]:
    """Find the known mistakes that give the candidate's numbers on the counterexample and on diagnostic trajectories.

    Returns:
        The mistakes, usually one; empty if the candidate is right on all of them, or makes none of the known mistakes.
    """
    examples = diagnostic_trajectories(invalid=candidate.takes_valid)
    if counterexample is not None:
        examples.append(counterexample)
    outcomes = [_outcome(candidate, example) for example in examples]
    if _agree(_like(reference_gae, candidate), outcomes, examples):
        return []
    return [defect for defect in DEFECTS.values() if _agree(_like(defect.function, candidate), outcomes, examples)]


def _like(function: object, candidate: Candidate) -> Candidate:
    """Make a NumPy function a candidate that is passed ``valid`` only if the other candidate is."""
    assert callable(function)
    made = Candidate(function)
    made.takes_valid = made.takes_valid and candidate.takes_valid
    return made


def _outcome(candidate: Candidate, example: Trajectory) -> Outcome | None:
    try:
        return candidate(example)
    except CandidateError:
        return None


def _agree(known: Candidate, outcomes: list[Outcome | None], examples: list[Trajectory]) -> bool:
    """Tell whether a known function has the same outcomes, and writes to the same arguments."""
    return all(
        _equal(_outcome(known, example), outcome, example) for example, outcome in zip(examples, outcomes, strict=True)
    )


def _equal(known: Outcome | None, found: Outcome | None, example: Trajectory) -> bool:
    if known is None or found is None:
        return known is None and found is None
    allowed = 2.0 * tolerance(example, found.advantages.dtype)
    if not (np.abs(known.advantages - found.advantages) <= allowed).all():
        return False
    written = [
        {name for name, array in outcome.arguments.items() if not np.array_equal(array, getattr(example, name))}
        for outcome in (known, found)
    ]
    return written[0] == written[1]
