"""Action masks, from each source to `VectorEnvironments.action_masks`."""

from __future__ import annotations

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from support.environments import MASKED_SPACES as SPACES
from support.environments import (
    MODES,
    SCRIPTS,
    Masked,
    allowed_actions,
    in_components,
    mask_of,
    parts_of,
    play,
    vectors,
)

from ppocore.envs import make_environments
from ppocore.errors import EnvironmentFault

FORMS = {
    "int8": lambda mask: mask.astype(np.int8),
    "list of floats": lambda mask: mask.astype(float).tolist(),
    "components": lambda mask: in_components(mask, [2, 3, 4, 2]),
    "components as lists": lambda mask: [part.tolist() for part in in_components(mask, [2, 3, 4, 2])],
    "pairs": lambda mask: mask.reshape(-1, 2),
    "pairs as lists": lambda mask: mask.reshape(-1, 2).astype(int).tolist(),
}


def masked(space, **settings):
    return [functools.partial(Masked, number, script, space, **settings) for number, script in enumerate(SCRIPTS)]


@pytest.mark.parametrize("by", ["info", "method"])
@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("vector", list(vectors()))
def test_masks_are_those_of_the_states_to_act_on(vector, kind, by):
    space = SPACES[kind]
    with make_environments(vector(masked(space, by=by)), len(SCRIPTS), seed=0) as environments:
        assert play(environments, 30, lambda observation: mask_of(observation, space)) >= 20
        environments.reset()  # which begins other episodes


def numbered(space, **settings):
    """A callable that creates the next of the environments of `masked` in each call."""
    remaining = masked(space, **settings)
    return lambda: gym.wrappers.TimeLimit(remaining.pop(0)(), 1000)


@pytest.mark.parametrize("by", ["info", "method"])
@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, form) for kind in SPACES for form in FORMS if "comp" not in form and "pairs" not in form]
    + [("multi_discrete", "components"), ("multi_discrete", "components as lists")]
    + [("multi_binary", "pairs"), ("multi_binary", "pairs as lists")],
)
def test_masks_of_any_form_by_any_way(kind, form, by):
    space = SPACES[kind]
    with make_environments(numbered(space, by=by, form=FORMS[form]), len(SCRIPTS), seed=0) as environments:
        assert play(environments, 20, lambda observation: mask_of(observation, space)) >= 10


@pytest.mark.parametrize("form", ["int8", "components"])
@pytest.mark.parametrize("by", ["info", "method"])
def test_masks_from_worker_processes(by, form, monkeypatch):
    space = SPACES["multi_discrete"]
    make = functools.partial(Masked, 0, SCRIPTS[0], space, by=by, form=FORMS[form])
    with make_environments(make, 2, seed=0, vectorization="async") as environments:
        # They come with the results of the step: asking for them would double the messages.
        monkeypatch.setattr(environments._vector, "call", None)
        assert play(environments, 12, lambda observation: mask_of(observation, space)) >= 6


@pytest.mark.parametrize("form", ["int8", "components"])
@pytest.mark.parametrize("mode", MODES)
def test_an_environment_that_gives_no_mask_allows_everything(mode, form):
    space = SPACES["multi_discrete"]

    def expected(observation):
        return mask_of(observation, space) if observation[2] % 2 == 0 else np.ones(11, np.bool_)

    vector = SyncVectorEnv(masked(space, by="even", form=FORMS[form]), autoreset_mode=mode)
    assert play(make_environments(vector, len(SCRIPTS), seed=0), 30, expected) >= 20


@pytest.mark.parametrize("mode", MODES)
def test_there_are_no_masks_before_any_environment_gave_one(mode):
    space, scripts = SPACES["discrete"], [[(4, "both")], [(1, "both")]]
    makers = [functools.partial(Masked, i, script, space, by="late") for i, script in enumerate(scripts)]
    environments = make_environments(SyncVectorEnv(makers, autoreset_mode=mode), 2, seed=0)
    environments.reset()
    for t in range(2):
        assert environments.action_masks is None
        environments.step(np.full(2, 3))
        assert (environments.action_masks is None) == (t == 0)
    assert environments.action_masks.tolist() == [mask_of([0, 0, 2], space).tolist(), [True] * 5]
    environments.reset()
    assert environments.action_masks.all()


def test_environments_without_masks_have_none():
    with make_environments("CartPole-v1", 2, seed=0) as environments:
        environments.reset()
        environments.step(np.zeros(2, np.int64))
        assert environments.action_masks is None


def test_the_masks_of_taxi():
    with make_environments("Taxi", 3, seed=0) as environments:
        taxi, rng = gym.make(environments.name).unwrapped, np.random.default_rng(0)
        observations = environments.reset()
        assert observations.shape == (3, 500)
        for _ in range(250):  # beyond the time limit
            states = observations.argmax(axis=1)
            assert environments.action_masks.tolist() == [taxi.action_mask(state).tolist() for state in states]
            actions = allowed_actions(environments.action_masks, taxi.action_space, rng)
            observations = environments.step(actions).observations


def test_a_mask_for_continuous_actions_is_ignored():
    space = Box(-1, 1, (1,))

    class Continuous(Masked):
        def _observed(self, ended=False):
            shape = (int(self.t) + self.episode,)  # which would not fit into one array
            return np.array([self.number, self.episode, self.t], np.float32), {"action_mask": np.zeros(shape)}

        def _says_so(self):
            return False

    with make_environments(lambda: Continuous(0, SCRIPTS[0], space), 2, seed=0) as environments:
        environments.reset()
        for _ in range(5):
            environments.step(np.zeros((2, 1), np.float32))
            assert environments.action_masks is None


def test_none_is_no_mask_and_a_nested_mask_is_ignored():
    class Nested(Masked):
        def _observed(self, ended=False):
            observation, info = super()._observed(ended)
            return observation, {**info, "other": {"action_mask": np.zeros(3)}}

    forms = [lambda mask: None, np.copy]
    makers = [functools.partial(Nested, i, SCRIPTS[0], SPACES["discrete"], form=form) for i, form in enumerate(forms)]
    environments = make_environments(lambda: makers.pop(0)(), 2, seed=0)
    environments.reset()
    assert environments.action_masks.tolist() == [[True] * 5, mask_of([1, 0, 0], SPACES["discrete"]).tolist()]


class Given(VectorEnv):
    """Two environments that never end, and that return the given masks, one per call."""

    num_envs = 2
    single_observation_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, space, given, method=False):
        self.single_action_space, self.given = space, iter(given)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        if method:
            self.action_masks = lambda: next(self.given)
        self.info = dict if method else lambda: next(self.given)

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1), np.float32), self.info()

    def step(self, actions):
        return np.zeros((2, 1), np.float32), np.zeros(2), np.zeros(2, np.bool_), np.zeros(2, np.bool_), self.info()


def masks_given(space, given, method=False):
    environments = make_environments(Given(space, given, method), 2, seed=0)
    environments.reset()
    found = [environments.action_masks.tolist()]
    for _ in given[1:]:
        environments.step(np.zeros((2, *space.shape), np.int64))
        found.append(environments.action_masks.tolist())
    return found


ONE, OTHER = [[1, 0, 1], [0, 1, 1]], [[0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float64])
def test_a_vector_environment_with_a_method_of_its_own(kind):
    given = [np.array(ONE, kind), np.array(OTHER, kind), np.array(ONE, kind)]
    assert masks_given(Discrete(3), given, method=True) == [ONE, OTHER, ONE]


def test_a_vector_environment_with_masks_in_its_information():
    flags = np.array([True, False])
    infos = [
        {"action_mask": np.array(ONE, np.bool_)},
        {"action_mask": np.array(OTHER, np.int8), "_action_mask": flags},
        {"action_mask": np.array(OTHER, np.bool_), "_action_mask": flags},
        {},
    ]
    everything = [True] * 3
    assert masks_given(Discrete(3), infos) == [ONE, [OTHER[0], everything], [OTHER[0], everything], [everything] * 2]


def test_pairs_and_components_of_a_vector_environment():
    pairs = np.array([[[1, 0], [1, 1]], [[0, 1], [1, 0]]])
    assert masks_given(MultiBinary(2), [pairs], method=True) == [pairs.reshape(2, 4).tolist()]
    components = [([1, 0], [1, 1, 1]), ([0, 1], [0, 1, 0])]
    expected = [[1, 0, 1, 1, 1], [0, 1, 0, 1, 0]]
    assert masks_given(MultiDiscrete([2, 3]), [components], method=True) == [expected]
    array = np.empty(2, object)
    array[:] = components
    assert masks_given(MultiDiscrete([2, 3]), [{"action_mask": array}]) == [expected]


def test_another_number_of_masks_is_a_fault():
    with pytest.raises(EnvironmentFault, match=r"failed in reset.*3 action masks for 2 environments"):
        masks_given(Discrete(3), [np.ones((3, 3))], method=True)
    with pytest.raises(EnvironmentFault, match=r"environment 1 failed in reset.*has shape \(2,\), expected \(3,\)"):
        masks_given(Discrete(3), [{"action_mask": [ONE[0], [1, 1]]}])


def test_sizes_are_those_of_the_spaces():
    assert [sum(parts_of(space)) for space in SPACES.values()] == [5, 11, 8]
