"""A policy acts on observations of every space, within its masks, and is only evaluated on its own spaces."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from support.environments import Masked, allows, mask_of, parts_of
from support.networks import plain_forward, random_weights

from ppocore import ObservationNormalizer, Policy
from ppocore.envs import action_space, observation_mapping
from ppocore.errors import UsageError
from ppocore.evaluation import evaluate
from ppocore.networks import NetworkSpec
from ppocore.spaces import ActionAdapter

# Not in the order of the alphabet, in which a file would put the keys of an object.
PARTS = Dict(OrderedDict(z=Box(-1, 1, (2,), np.float64), a=Tuple([Discrete(3, start=1), MultiBinary(2)])))
ACTIONS = {
    "discrete": Discrete(5, start=-2),
    "multi_discrete": MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [0, -1]]),
    "multi_binary": MultiBinary((2, 2)),
    "box": Box(-1, 1, (2,)),
}


def make_policy(space, observations=PARTS, continuous="gaussian", normalized=False, seed=0):
    adapter, mapping = ActionAdapter(action_space(space), continuous), observation_mapping(observations)
    spec = NetworkSpec(mapping.size, adapter.kind, adapter.size, (8,), choices=adapter.choices)
    weights = random_weights(spec, np.random.default_rng(seed))
    normalizer = None
    if normalized:
        normalizer = ObservationNormalizer((mapping.size,))
        normalizer.update(np.random.default_rng(1).normal(0.5, 2.0, (50, mapping.size)))
    return Policy(spec, weights, adapter, mapping, None if normalizer is None else normalizer.state())


def observed(count, seed=0):
    PARTS.seed(seed)
    return [PARTS.sample() for _ in range(count)]


def together(observations):
    return {
        "z": np.stack([o["z"] for o in observations]),
        "a": tuple(np.stack([o["a"][i] for o in observations]) for i in range(2)),
    }


def parameters(policy, observations):
    flat = np.array([gym.spaces.flatten(PARTS, o) for o in observations])
    return plain_forward(policy.spec, policy.weights, flat.astype(np.float32))[0]


def best(space, outputs, mask):
    """The most probable action that a mask allows, part by part, in plain Python."""
    if isinstance(space, MultiBinary):  # the log-odds of 1 against 0
        outputs = np.stack([np.zeros(len(outputs)), outputs], axis=1).ravel()
    parts, first = [], 0
    for n in parts_of(space):
        allowed = [j for j in range(n) if mask[first + j]]
        parts.append(max(allowed, key=lambda j: outputs[first + j]))
        first += n
    return np.array(parts).reshape(space.shape) + getattr(space, "start", 0)


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_the_most_probable_allowed_actions_of_one_and_of_many(kind, tmp_path):
    space, observations = ACTIONS[kind], observed(30)
    policy = make_policy(space)
    outputs = parameters(policy, observations)
    free = np.ones(sum(parts_of(space)), np.bool_)
    masks = np.array([mask_of([i], space) for i in range(30)])
    policy.save(tmp_path / "policy.safetensors")
    for acting in (policy, Policy.load(tmp_path)):
        for given in (None, masks):
            batch = acting.act(together(observations), mask=given)
            assert (batch.shape, batch.dtype) == ((30, *space.shape), space.dtype)
            for i, observation in enumerate(observations):
                mask = free if given is None else given[i]
                one = acting.act(observation, mask=None if given is None else given[i])
                assert np.array_equal(one, best(space, outputs[i], mask))
                assert np.array_equal(batch[i], one)
                assert space.contains(one)
                assert type(one) is (int if kind == "discrete" else np.ndarray)
    assert not np.array_equal(policy.act(together(observations)), policy.act(together(observations), mask=masks))


def test_sampled_actions_keep_to_masks_and_reach_all_that_is_allowed():
    space = ACTIONS["multi_discrete"]
    policy, observation = make_policy(space), observed(1)
    mask = mask_of([3], space)
    batch = together(observation * 3000)
    actions = policy.act(batch, False, mask=np.tile(mask, (3000, 1)), rng=np.random.default_rng(0))
    assert all(allows(mask, space, action) for action in actions)
    reached = {tuple(action.ravel().tolist()) for action in actions}
    assert len(reached) == np.prod([part.sum() for part in np.split(mask, np.cumsum(parts_of(space))[:-1])])


def test_masks_in_the_forms_that_environments_give():
    policy, observation = make_policy(ACTIONS["multi_discrete"]), observed(1)[0]
    mask = mask_of([7], ACTIONS["multi_discrete"])
    expected = policy.act(observation, mask=mask)
    assert np.array_equal(policy.act(observation, mask=tuple(np.split(mask, [2, 5, 9]))), expected)
    assert np.array_equal(policy.act(observation, mask=mask.astype(int).tolist()), expected)
    policy = make_policy(ACTIONS["multi_binary"])
    mask = mask_of([7], ACTIONS["multi_binary"])
    assert np.array_equal(policy.act(observation, mask=mask.reshape(4, 2)), policy.act(observation, mask=mask))


@pytest.mark.parametrize(
    ("kind", "mask", "message"),
    [
        ("discrete", np.zeros(5), r"^mask allows no action: it is False for every choice$"),
        ("discrete", np.ones(4), r"^mask has shape \(4,\), expected \(5,\)"),
        ("discrete", np.ones((1, 5)), r"^mask has shape \(1, 5\), expected \(5,\)"),
        ("discrete", 3, r"^mask has shape \(\), expected \(5,\)"),
        ("discrete", np.full(5, 2), r"^mask holds \[2, 2, 2, 2, 2\]"),
        ("multi_discrete", np.r_[np.ones(9), 0, 0], "every choice of a component$"),
        ("multi_discrete", (np.ones(3), np.ones(2), np.ones(4), np.ones(2)), r"^mask has arrays of shapes \[\(3,\)"),
        ("multi_binary", [[1, 1], [1, 0], [0, 0], [0, 1]], "every choice of a bit$"),
        ("box", np.ones(2), "continuous actions.*leave it out"),
    ],
)
def test_an_invalid_mask_is_refused(kind, mask, message):
    with pytest.raises(ValueError, match=message):
        make_policy(ACTIONS[kind]).act(observed(1)[0], mask=mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(5), r"^mask has shape \(5,\), expected \(3, 5\)"),
        (np.ones((2, 5)), r"^mask has shape \(2, 5\), expected \(3, 5\)"),
        (np.ones((3, 4)), r"^mask of observation 0 has shape \(4,\)"),
        ([[1] * 5, [0] * 5, [1] * 5], "^mask of observation 1 allows no action"),
        (True, r"^mask has shape \(\), expected \(3, 5\)"),
    ],
)
def test_invalid_masks_of_a_batch_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        make_policy(ACTIONS["discrete"]).act(together(observed(3)), mask=mask)


def test_a_batch_of_none():
    policy = make_policy(ACTIONS["multi_binary"])
    nothing = {"z": np.zeros((0, 2)), "a": (np.zeros(0, np.int64), np.zeros((0, 2)))}
    assert policy.act(nothing, mask=np.ones((0, 8))).shape == (0, 2, 2)


@pytest.mark.parametrize("continuous", ["squashed_gaussian", "beta"])
def test_bounded_continuous_policies_act_within_their_bounds(continuous, tmp_path):
    space = Box(np.float32([-2, 5]), np.float32([-1, 9]))
    policy = make_policy(space, continuous=continuous, normalized=True)
    policy.save(tmp_path / "policy.safetensors")
    batch = together(observed(500))
    for deterministic in (True, False):
        actions = [p.act(batch, deterministic, rng=np.random.default_rng(3)) for p in (policy, Policy.load(tmp_path))]
        assert np.array_equal(*actions)
        assert all(space.contains(action) for action in actions[0])
        assert (actions[0].std(axis=0) > 1e-3).all()


def test_an_observation_of_another_space_is_refused_by_its_key():
    policy = make_policy(ACTIONS["discrete"])
    with pytest.raises(ValueError, match=r"observation has no entry 'a'"):
        policy.act({"z": np.zeros(2)})
    with pytest.raises(ValueError, match=r"observation\['z'\] has shape \(3,\), expected \(2,\) or a batch \(B, 2\)"):
        policy.act({"z": np.zeros(3), "a": (1, np.zeros(2))})


SCRIPT = [(3, "terminated"), (2, "truncated"), (4, "both")]


class Rewarding(Masked):
    """Rewards what the best allowed action is under a policy's network."""

    def __init__(self, space, policy, **settings):
        super().__init__(0, SCRIPT, space, **settings)
        self.policy, self.last = policy, None

    def reset(self, **settings):
        self.last, info = super().reset(**settings)
        return self.last, info

    def step(self, action):
        outputs = plain_forward(self.policy.spec, self.policy.weights, self.last[None])[0][0]
        reward = float(np.array_equal(action, best(self.action_space, outputs, self.mask)))
        self.last, _, *ends = super().step(action)
        return self.last, reward, *ends


@pytest.mark.parametrize("by", ["info", "method"])
@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_evaluation_takes_the_best_allowed_actions(kind, by):
    policy = make_policy(ACTIONS[kind], Masked.observation_space)
    make = functools.partial(Rewarding, ACTIONS[kind], policy, by=by)
    result = evaluate(policy, make, episodes=6)
    assert result.episode_returns == [float(length) for length in result.episode_lengths]
    assert set(result.episode_lengths) <= {2, 3, 4}
    evaluate(policy, make, episodes=30, deterministic=False)  # raises if an action is not allowed


class Still(gym.Env):
    """Three steps of nothing."""

    def __init__(self, action_space, observation_space=PARTS):
        self.action_space, self.observation_space = action_space, observation_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 3, False, {}


@pytest.mark.parametrize("kind", ACTIONS)
def test_evaluation_on_observations_in_parts(kind):
    result = evaluate(make_policy(ACTIONS[kind]), functools.partial(Still, ACTIONS[kind]), episodes=3)
    assert result.episode_returns == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("continuous", ["squashed_gaussian", "beta"])
def test_evaluation_of_a_bounded_continuous_policy(continuous):
    policy = make_policy(ACTIONS["box"], continuous=continuous)
    assert evaluate(policy, functools.partial(Still, ACTIONS["box"]), episodes=2).episode_lengths == [3, 3]


@pytest.mark.parametrize(
    ("actions", "observations", "message"),
    [
        (Discrete(5), PARTS, "the policy's actions are not those of Still, whose action space is Discrete"),
        (MultiDiscrete([5]), PARTS, "the policy's actions are not those of Still, whose action space is MultiDiscrete"),
        (ACTIONS["discrete"], Dict(a=PARTS["a"], z=PARTS["z"]), "the policy takes .* but Still gives"),
        (ACTIONS["discrete"], Box(-1, 1, (7,)), r"the policy takes .* but Still gives observations of shape \(7,\)"),
    ],
)
def test_evaluation_on_other_spaces_is_refused(actions, observations, message):
    with pytest.raises(UsageError, match=message) as caught:
        evaluate(make_policy(ACTIONS["discrete"]), functools.partial(Still, actions, observations))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("continuous", ["squashed_gaussian", "beta"])
def test_evaluation_of_a_bounded_policy_without_bounds_is_refused(continuous):
    policy = make_policy(ACTIONS["box"], continuous=continuous)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = functools.partial(Still, Box(-np.inf, np.inf, (2,)))
        with pytest.raises(UsageError, match="the policy's actions are not those of Still"):
            evaluate(policy, make)


def test_a_policy_with_inconsistent_parts_is_refused():
    policy = make_policy(MultiDiscrete([2, 3]))
    other = ActionAdapter(action_space(MultiDiscrete([3, 2])))
    with pytest.raises(UsageError, match="multi_categorical of size 2"):
        Policy(policy.spec, policy.weights, other, policy.mapping)
    with pytest.raises(UsageError, match="observations have 5 numbers, but the network has 7 inputs"):
        Policy(policy.spec, policy.weights, policy.adapter, observation_mapping(Discrete(5)))
