"""Invalid masks, and masks that allow no action, are reported with their environment."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from support.environments import MASKED_SPACES as SPACES
from support.environments import MODES, SCRIPTS, Masked, in_components, mask_of, play, workers

from ppocore.envs import WorkerVectorEnv, make_environments
from ppocore.errors import EnvironmentFault


def nothing_at(t, part):
    """A form in which a part of the mask allows nothing from the t-th mask on."""
    count = iter(range(1000))

    def form(given):
        given = given.copy()
        if next(count) >= t:
            given[part] = False
        return given

    return form


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "part", "words"),
    [
        ("discrete", slice(None), "every choice, "),
        ("multi_discrete", slice(2, 5), "every choice of a component, "),
        ("multi_binary", slice(4, 6), "every choice of a bit, "),
    ],
)
def test_a_mask_that_leaves_nothing_is_a_fault_of_its_environment(kind, part, words, mode):
    space, script = SPACES[kind], [(3, "terminated")]
    # The masks of the first episode are number 0 to 3, of which the last is never used.
    forms = [np.copy, nothing_at(5, part)]
    makers = [functools.partial(Masked, i, script, space, form=form) for i, form in enumerate(forms)]
    environments = make_environments(SyncVectorEnv(makers, autoreset_mode=mode), 2, seed=0)
    with pytest.raises(EnvironmentFault, match=f"environment 1 allows no action.*{words}step 1 of its episode 1 "):
        play(environments, 10, lambda observation: mask_of(observation, space))


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_that_leaves_nothing_at_the_beginning_is_a_fault(mode):
    space = SPACES["discrete"]
    first, later = ([functools.partial(Masked, 0, SCRIPTS[2], space, form=nothing_at(t, slice(None)))] for t in (0, 3))
    with pytest.raises(EnvironmentFault, match=r"environment 0 allows no action.*step 0 of its episode 0 "):
        make_environments(SyncVectorEnv(first, autoreset_mode=mode), 1, seed=0).reset()
    environments = make_environments(SyncVectorEnv(later, autoreset_mode=mode), 1, seed=0)
    with pytest.raises(EnvironmentFault, match=r"environment 0 allows no action.*step 0 of its episode 1 "):
        play(environments, 3, lambda observation: mask_of(observation, space))


WRONG = {
    "discrete": [
        (lambda mask: mask[:4], r"has shape \(4,\), expected \(5,\)"),
        (lambda mask: mask[None], r"has shape \(1, 5\), expected \(5,\)"),
        (lambda mask: True, r"has shape \(\), expected \(5,\)"),
        (lambda mask: [0, 1, 2, 1, 0], r"holds \[0, 1, 2, 1, 0\], expected only True and False"),
        (lambda mask: np.where(mask, 0.0, -np.inf), "holds .*inf.*expected only True and False"),
        (lambda mask: ["yes"] * 5, "holds .*yes"),
    ],
    "multi_discrete": [
        (lambda mask: mask[:10], r"has shape \(10,\), expected \(11,\) or a tuple"),
        (lambda mask: in_components(mask, [3, 2, 4, 2]), r"has arrays of shapes .*expected \[\(2,\), \(3,\), \(4,\)"),
        (lambda mask: in_components(mask, [2, 3, 4, 2])[:3], r"has arrays of shapes"),
        (lambda mask: ([True, 5], *in_components(mask, [2, 3, 4, 2])[1:]), "holds .*5"),
    ],
    "multi_binary": [
        (lambda mask: mask[:4], r"has shape \(4,\), expected \(8,\) or \(4, 2\)"),
        (lambda mask: mask.reshape(2, 4), r"has shape \(2, 4\), expected \(8,\) or \(4, 2\)"),
        (lambda mask: [[True, True], [True]], "has rows of different lengths, expected"),
    ],
}


@pytest.mark.parametrize("when", [0, 2])
@pytest.mark.parametrize(("kind", "wrong", "words"), [(k, wrong, words) for k in WRONG for wrong, words in WRONG[k]])
def test_a_wrong_mask_is_laid_to_its_environment(kind, wrong, words, when):
    count = iter(range(1000))
    forms = [np.copy, lambda mask: wrong(mask) if next(count) == when else mask]
    makers = [functools.partial(Masked, i, SCRIPTS[1], SPACES[kind], form=form) for i, form in enumerate(forms)]
    environments = make_environments(lambda: makers.pop(0)(), 2, seed=0)
    place = rf"environment 1 failed in {'step' if when else 'reset'}, step {when} of its episode 0 .*"
    with pytest.raises(EnvironmentFault, match=f"{place}: its action mask {words}"):
        play(environments, 4, lambda observation: mask_of(observation, SPACES[kind]))


def test_a_wrong_mask_of_a_worker_process_is_laid_to_its_environment():
    forms = [np.copy, lambda mask: mask[:4]]
    makers = [functools.partial(Masked, i, SCRIPTS[1], SPACES["discrete"], form=form) for i, form in enumerate(forms)]
    with (
        make_environments(WorkerVectorEnv(makers), 2, seed=0) as environments,
        pytest.raises(
            EnvironmentFault, match=r"environment 1 failed in reset.* mask has shape \(4,\), expected \(5,\)"
        ),
    ):
        environments.reset()
    assert not workers()
