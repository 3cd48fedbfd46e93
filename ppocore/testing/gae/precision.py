"""Find the floating-point format that a candidate computes in, which may be coarser than that of its arguments.

A constant of float32 inside, such as a mask or a product with one, makes float64 results that are right to float32.
That
is told from a small mistake by numbers that the coarser format represents exactly, through every operation: there such
a function is exact, and a mistake is not.
"""

from __future__ import annotations

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError
from ppocore.testing.gae.comparison import tolerance
from ppocore.testing.gae.trajectories import Trajectory, diagnostic_trajectories, dyadic_trajectories


def find_working(candidate: Candidate) -> str:
    """Return the format to judge a candidate in: that of its arguments, or float32 if it computes in that.

    Coarser formats inside are not looked for: what they round off would hide mistakes.
    """
    own = candidate.framework.dtype
    if own != "float64":
        return own
    examples = [representable(candidate, example) for example in diagnostic_trajectories(count=6)]
    single = candidate.changed(working="float32")
    if all(_is_right(candidate, example) for example in examples):
        return own
    rounds = all(_is_right(single, example) for example in examples)
    return "float32" if rounds and all(_is_right(candidate, example) for example in dyadic_trajectories()) else own


def _is_right(candidate: Candidate, example: Trajectory) -> bool:
    if candidate.meaning.whole_episodes or not candidate.signature.sees_open_ends:
        example = example._replace(terminated=np.concatenate([example.terminated[:-1], example.terminated[-1:] | True]))
    try:
        outcome = candidate(example)
    except CandidateError:
        return False
    error = np.abs(outcome.advantages - candidate.expected(example))
    return bool((error <= tolerance(candidate, example, outcome.precision)).all())


def representable(candidate: Candidate, trajectory: Trajectory) -> Trajectory:
    """Round a trajectory's numbers to the format that the candidate is handed, in arrays of float64."""
    rounded = {}
    for name in ("rewards", "values", "next_values"):
        array = getattr(trajectory, name)
        if array.dtype.kind == "f":
            rounded[name] = candidate.framework.rounded(array).astype(np.float64)
    return trajectory.put(**rounded)
