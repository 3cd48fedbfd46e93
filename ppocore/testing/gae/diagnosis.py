"""Which known mistake a candidate makes: the one whose numbers it gives, wherever the known ones differ."""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.candidate import Candidate, Misbehaviour, Outcome
from ppocore.testing.gae.defects import DEFECTS, Defect, right
from ppocore.testing.gae.properties import tolerance
from ppocore.testing.gae.trajectories import Trajectory, telling_trajectories

NONE_KNOWN = "none of the known ones"


def diagnose(candidate: Candidate, counterexample: Trajectory | None = None) -> list[Defect]:
    """The known mistakes that give the candidate's numbers on the counterexample and on others, the closest first.

    The others are full of ends and of different numbers, so that two mistakes hardly ever give the same on all; where
    two do, both are named.  Empty where the candidate is right on them, or wrong in a way of its own.
    """
    examples = telling_trajectories(invalid=candidate.takes_valid)
    if counterexample is not None:
        examples.append(counterexample)
    outcomes = [_outcome(candidate, example) for example in examples]
    if _agree(_known(right, candidate), outcomes, examples):
        return []
    return [defect for defect in DEFECTS.values() if _agree(_known(defect.function, candidate), outcomes, examples)]


def _known(function: object, candidate: Candidate) -> Candidate:
    """A function of ours to stand beside the candidate: NumPy, and with the rows that are valid if it reads them."""
    assert callable(function)
    beside = Candidate(function)
    beside.takes_valid = beside.takes_valid and candidate.takes_valid
    return beside


def _outcome(candidate: Candidate, example: Trajectory) -> Outcome | None:
    try:
        return candidate(example)
    except Misbehaviour:
        return None


def _agree(known: Candidate, outcomes: list[Outcome | None], examples: list[Trajectory]) -> bool:
    """Whether the known function gives the outcomes, and does the same to its arguments."""
    return all(
        _same(_outcome(known, example), outcome, example) for example, outcome in zip(examples, outcomes, strict=True)
    )


def _same(known: Outcome | None, found: Outcome | None, example: Trajectory) -> bool:
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
