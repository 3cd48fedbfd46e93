"""Find what explains a candidate's numbers: known mistakes, two at once, or a choice that nobody declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ppocore.testing.gae.candidate import Candidate, CandidateError, Raw
from ppocore.testing.gae.choices import Choice, choices, with_rewards_to_go
from ppocore.testing.gae.comparison import tolerance
from ppocore.testing.gae.defects import DEFECTS, INTEGERS, OF_INVALID_ROWS, Defect, written_to
from ppocore.testing.gae.frameworks import EPSILONS, coarsest
from ppocore.testing.gae.meaning import Meaning
from ppocore.testing.gae.oracle import expected_advantages
from ppocore.testing.gae.plan import Change, advantages_with
from ppocore.testing.gae.precision import representable
from ppocore.testing.gae.trajectories import Trajectory, diagnostic_trajectories, dyadic_trajectories
from ppocore.typing import Array

Steps = Sequence[tuple[Change, bool]]


class Found(NamedTuple):
    """Hold what explains a candidate's numbers.

    Attributes:
        mistakes: the known mistakes that it makes, all at once.
        choice: what has to be declared for that; None if nothing.
        precision: the floating-point format in which the numbers agree.
        attempted: whether there were numbers to explain.
    """

    mistakes: tuple[Defect, ...]
    choice: Choice | None
    precision: str
    attempted: bool = True


def diagnose(candidate: Candidate, counterexample: Trajectory | None = None) -> Found:
    """Find the known mistakes and the choice that give the candidate's numbers on diagnostic trajectories.

    Args:
        candidate: the function and what is declared about it.
        counterexample: a further trajectory whose numbers are to be explained.
    """
    examples = _examples(candidate, 24)
    if counterexample is not None and counterexample.valid.all() and counterexample.rewards.dtype.kind == "f":
        examples.append(representable(candidate, counterexample))
    evidence = _Evidence(candidate, examples)
    if not any(evidence.raws):
        return Found((), None, candidate.working, attempted=False)
    mistakes: list[Defect] = [written_to(role) for role in sorted(evidence.written)]
    choice: Choice | None = None
    numbers: tuple[Defect, ...] = ()
    found = None
    for precision in _precisions(candidate):
        found = _explanation(_Evidence(candidate.changed(working=precision), examples, evidence.raws))
        if found is not None and (precision == candidate.working or _is_exact(candidate, *found)):
            choice, numbers = found[:2]
            break
    else:
        precision, found = candidate.working, None
    # A mistake with integers alone is not to hide another, nor to be hidden.
    if _cuts_fractions_off(candidate):
        mistakes.append(INTEGERS)
    if found is not None and not numbers and candidate.takes_valid:
        mistakes += _of_invalid_rows(candidate)
    return Found((*mistakes, *numbers), choice, precision)


def explained(candidate: Candidate, *, mistakes: bool) -> bool:
    """Tell whether a candidate is right, with or without a choice; or, with ``mistakes``, makes a known one."""
    examples = _examples(candidate, 9)
    evidence = _Evidence(candidate, examples)
    if not any(evidence.raws):
        return False
    judged = (_Evidence(candidate.changed(working=p), examples, evidence.raws) for p in _precisions(candidate))
    return any(_explanation(each, mistakes=mistakes) is not None for each in judged)


def _precisions(candidate: Candidate) -> list[str]:
    """Return the formats in which numbers may agree: that of the candidate, and float32."""
    return list(dict.fromkeys([candidate.working, coarsest(candidate.working, "float32")]))


def _is_exact(candidate: Candidate, choice: Choice | None, mistakes: tuple[Defect, ...], steps: Steps) -> bool:
    """Tell whether numbers that agree in float32 are exact where float32 is, so that only rounding differs."""
    meaning = candidate.meaning if choice is None else choice.meaning
    judged = _Evidence(candidate.changed(meaning=meaning), dyadic_trajectories())
    return judged.candidate.meaning.normalized or judged.agrees(steps)


def _examples(candidate: Candidate, count: int) -> list[Trajectory]:
    """Return trajectories on which two functions hardly ever agree within rounding."""
    if _is_half(candidate):  # where rounding would hide most mistakes, but for numbers that are exact
        return dyadic_trajectories(count=count, rows=2)
    return [representable(candidate, example) for example in diagnostic_trajectories(count=count)]


def _is_half(candidate: Candidate) -> bool:
    return EPSILONS[candidate.working] > EPSILONS["float32"]


def _allowed(candidate: Candidate, example: Trajectory, precision: str) -> Array:
    """Return by how much numbers may differ that come from another sum of the same terms."""
    numbers = sum(np.abs(array).sum() for array in (example.rewards, example.values, example.next_values))
    size = np.full(example.shape, numbers)
    return 2.0 * tolerance(candidate, example, "float32" if _is_half(candidate) else precision, size)


class _Evidence:
    """Hold a candidate's results on the examples."""

    def __init__(self, candidate: Candidate, examples: list[Trajectory], raws: list[Raw | None] | None = None) -> None:
        self.candidate, self.examples = candidate, [fitted(example, candidate.meaning) for example in examples]
        self.raws = [_raw(candidate, example) for example in self.examples] if raws is None else raws
        self.written = {role for raw in self.raws if raw is not None for role in raw.written}

    def under(self, meaning: Meaning) -> _Evidence:
        """Return the evidence of what else is declared, calling the candidate again if that needs other arguments."""
        same = meaning.whole_episodes == self.candidate.meaning.whole_episodes
        judged = self.candidate.changed(meaning=meaning)
        return _Evidence(judged, self.examples, self.raws if same else None)

    def agrees(self, steps: Steps) -> bool:
        """Tell whether the candidate's advantages are those with the mistakes, on every example."""
        return all(self._equal(raw, example, steps) for raw, example in zip(self.raws, self.examples, strict=True))

    def _equal(self, raw: Raw | None, example: Trajectory, steps: Steps) -> bool:
        if raw is None:
            return False
        candidate = self.candidate
        known = modelled(candidate, steps, example)
        try:
            names = candidate.meaning.select({key: key for key in raw.keys})
            found = candidate.interpreted(raw, names, example, expected=known)
        except (CandidateError, ValueError):
            return False
        allowed = _allowed(candidate, example, found.precision)
        with np.errstate(invalid="ignore"):
            return bool((np.abs(known - found.advantages) <= allowed).all())

    def has_rewards_to_go(self) -> bool:
        """Tell whether the returns are rewards to go on every example, and not advantages and values."""
        differs = False
        for raw, example in zip(self.raws, self.examples, strict=True):
            assert raw is not None
            candidate = self.candidate
            found = candidate.interpreted(raw, candidate.meaning.select({key: key for key in raw.keys}), example)
            if found.returns is None:
                return False
            allowed = _allowed(candidate, example, found.precision)
            to_go = expected_advantages(example._replace(lam=1.0)) + example.values
            if not (np.abs(to_go - found.returns) <= allowed).all():
                return False
            differs = differs or bool((np.abs(candidate.expected(example) + example.values - to_go) > allowed).any())
        return differs


def fitted(example: Trajectory, meaning: Meaning) -> Trajectory:
    """Change a trajectory so that it is one that the candidate is meant for."""
    if meaning.whole_episodes:
        flags = example.terminated.copy()
        flags[-1] |= ~example.truncated[-1]
        example = example._replace(terminated=flags)
    if meaning.gamma is not None:
        example = example._replace(gamma=meaning.gamma)
    return example if meaning.lam is None else example._replace(lam=meaning.lam)


def modelled(candidate: Candidate, steps: Steps, example: Trajectory) -> Array:
    """Compute the advantages (T, N) of a function of the candidate's signature with mistakes."""
    if candidate.meaning.estimator == "vtrace":
        steps = [*steps, (DEFECTS["one lambda missing"].changes[0], False)]
    found = np.zeros(example.shape)
    for part in candidate.signature.parts(example):
        found[part.rows, part.columns] = advantages_with(steps, part.trajectory)
    return found


def _raw(candidate: Candidate, example: Trajectory) -> Raw | None:
    try:
        return candidate.raw(example)
    except CandidateError:
        return None


def _explanation(
    evidence: _Evidence, *, mistakes: bool = True
) -> tuple[Choice | None, tuple[Defect, ...], Steps] | None:
    """Return the choice and the mistakes that explain the numbers, and their changes; None if nothing known does."""
    first = next(raw for raw in evidence.raws if raw is not None)
    candidate = evidence.candidate
    declared = choices(candidate.meaning, candidate.signature, first)
    judged = [(choice, evidence.under(choice.meaning)) for choice in declared]
    for choice, under in judged:
        if under.agrees(()):
            return _settled(choice, under), (), ()
    if not mistakes:
        return None
    for choice, under in judged:
        for defect, steps in _single(candidate):
            if under.agrees(steps):
                return _settled(choice), (defect,), steps
    for choice, under in judged:
        if choice.declare:
            continue  # a choice and two mistakes explain too much
        for (one, steps), (other, more) in combinations(_single(candidate), 2):
            if one is not other and under.agrees([*steps, *more]):
                return _settled(choice), (one, other), [*steps, *more]
    return None


def _settled(choice: Choice, right: _Evidence | None = None) -> Choice | None:
    if right is not None and choice.meaning.returns == "lambda" and right.has_rewards_to_go():
        choice = with_rewards_to_go(choice)
    return choice if choice.declare else None


def _single(candidate: Candidate) -> Iterator[tuple[Defect, list[tuple[Change, bool]]]]:
    for defect in DEFECTS.values():
        if defect.reads_truncation and not candidate.signature.sees_truncation:
            continue
        for change in defect.changes:
            yield defect, [(change, defect.early)]


def _cuts_fractions_off(candidate: Candidate) -> bool:
    """Tell whether integer rewards give whole numbers where equal floating-point rewards do not."""
    noticed = False
    for example in diagnostic_trajectories(seed=1, count=6):
        example = fitted(example, candidate.meaning)
        rewards = np.rint(4.0 * example.rewards)
        example = example._replace(terminated=example.ended, truncated=np.zeros_like(example.truncated))
        if not candidate.signature.sees_open_ends_itself:
            example = example._replace(terminated=np.concatenate([example.terminated[:-1], example.ended[-1:] | True]))
        raws = [_raw(candidate, example._replace(rewards=rewards.astype(dtype))) for dtype in (np.int64, np.float64)]
        if raws[0] is None or raws[1] is None:
            return False
        for key in raws[0].parts:
            whole, exact = raws[0].parts[key], raws[1].parts[key]
            noticed |= bool((whole == np.rint(whole)).all() and (exact != np.rint(exact)).any())
    return noticed


def _of_invalid_rows(candidate: Candidate) -> list[Defect]:
    """Return the known mistakes with rows that are not transitions."""
    examples = [representable(candidate, example) for example in diagnostic_trajectories(count=6, invalid=True)]
    for defect in OF_INVALID_ROWS:
        if all(_same(candidate, defect, fitted(example, candidate.meaning)) for example in examples):
            return [defect]
    return []


def _same(candidate: Candidate, defect: Defect, example: Trajectory) -> bool:
    try:
        found = candidate(example)
    except CandidateError:
        return False
    known = defect.function(*example[:5], gamma=example.gamma, lam=example.lam, valid=example.valid)[0]
    return bool((np.abs(known - found.advantages) <= _allowed(candidate, example, found.precision)).all())
