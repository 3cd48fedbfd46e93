"""Environments and helpers shared by the tests of `ppocore.envs`."""

from __future__ import annotations

import functools
import multiprocessing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from support.scripted_env import ScriptedEnv, Transition, policy

from ppocore.envs import WorkerVectorEnv

SCRIPTS = [
    [(1, "terminated"), (3, "truncated"), (2, "both"), (1, "truncated")],
    [(4, "truncated"), (1, "both"), (1, "both"), (5, "terminated")],
    [(2, "terminated")],
    [(1, "terminated"), (1, "truncated")],
]
MODES = list(AutoresetMode)


def makers(scripts):
    return [functools.partial(ScriptedEnv, number, script) for number, script in enumerate(scripts)]


def vectors():
    for mode in MODES:
        yield pytest.param(functools.partial(SyncVectorEnv, autoreset_mode=mode), id=f"sync-{mode.value}")
        yield pytest.param(functools.partial(AsyncVectorEnv, autoreset_mode=mode), id=f"async-{mode.value}")
    no_copy = functools.partial(SyncVectorEnv, copy=False, autoreset_mode=AutoresetMode.DISABLED)
    yield pytest.param(no_copy, id="sync-without-copies")
    yield pytest.param(WorkerVectorEnv, id="workers")


def collect(environments, rows):
    """The rows of a rollout, each field stacked to (T, N, ...), and the observations acted on."""
    observations, acted_on, steps = environments.reset(), [], []
    for _ in range(rows):
        acted_on.append(observations.copy())
        acting = environments.acting.copy()
        step = environments.step(policy(observations))
        assert (step.valid == acting).all()
        assert (step.observations is step.next_observations) or (step.terminated | step.truncated).any()
        steps.append([np.array(field) for field in step])
        observations = step.observations
    fields = [np.stack(field) for field in zip(*steps, strict=True)]
    return np.stack(acted_on), type(step)(*fields)


def transitions(acted_on, steps, index):
    rows = np.flatnonzero(steps.valid[:, index])
    return [
        Transition(
            tuple(acted_on[t, index]),
            tuple(steps.next_observations[t, index]),
            steps.rewards[t, index],
            steps.terminated[t, index],
            steps.truncated[t, index],
        )
        for t in rows
    ]


class Masked(gym.Env):
    """Allows what `mask_of` gives for its observation, which is (environment, episode, step), and raises on the rest.

    It says so `by` its information, a method, its information in even steps, or not before step 2; `form` is what
    becomes of a mask on the way. In an ended episode nothing is allowed.
    """

    observation_space = gym.spaces.Box(-1e6, 1e6, (3,), np.float32)

    def __init__(self, number, script, space, by="info", form=np.copy):
        self.number, self.script, self.action_space = number, script, space
        self.by, self.form, self.episode = by, form, -1
        if by == "method":
            self.action_masks = lambda: self.form(self.mask)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observed()

    def step(self, action):
        assert self.action_space.contains(np.asarray(action, self.action_space.dtype))
        if self._says_so():
            assert allows(self.mask, self.action_space, action), "this action is not allowed"
        self.t += 1
        length, end = self.script[self.episode % len(self.script)]
        ended = self.t == length
        observation, info = self._observed(ended)
        return observation, 0.0, ended and end != "truncated", ended and end != "terminated", info

    def _says_so(self):
        return {"even": self.t % 2 == 0, "late": self.t >= 2}.get(self.by, True)

    def _observed(self, ended=False):
        observation = np.array([self.number, self.episode, self.t], np.float32)
        self.mask = mask_of(observation, self.action_space) & (not ended)
        return observation, {"action_mask": self.form(self.mask)} if self._says_so() and self.by != "method" else {}


def parts_of(space):
    """How many choices each part of an action has."""
    if isinstance(space, gym.spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, gym.spaces.MultiDiscrete):
        return space.nvec.ravel().tolist()
    return [2] * int(np.prod(space.shape))


def mask_of(observation, space):
    """A mask that depends on the observation, with something allowed in every part."""
    rng, parts = np.random.default_rng(np.asarray(observation, np.int64).tolist()), []
    for n in parts_of(space):
        parts.append(rng.random(n) < 0.5)
        parts[-1][rng.integers(n)] = True
    return np.concatenate(parts)


def allows(mask, space, action):
    choices = np.ravel(np.asarray(action) - getattr(space, "start", 0)).astype(int)
    parts = np.split(mask, np.cumsum(parts_of(space))[:-1])
    return all(part[choice] for part, choice in zip(parts, choices, strict=True))


def allowed_actions(masks, space, rng):
    """An action of each row's mask, drawn at random, as environments take them."""
    actions = []
    for mask in masks:
        parts = np.split(mask, np.cumsum(parts_of(space))[:-1])
        choices = np.array([rng.choice(np.flatnonzero(part)) for part in parts])
        actions.append((choices.reshape(space.shape) + getattr(space, "start", 0)).astype(space.dtype))
    return np.stack(actions)


MASKED_SPACES = {
    "discrete": gym.spaces.Discrete(5, start=2),
    "multi_discrete": gym.spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [0, -1]]),
    "multi_binary": gym.spaces.MultiBinary((2, 2)),
}


def in_components(mask, sizes):
    return tuple(np.split(mask, np.cumsum(sizes)[:-1]))


def play(environments, steps, expected, seed=0):
    """Play allowed actions, and compare every mask with that of the state to act on."""
    space, rng = environments._vector.single_action_space, np.random.default_rng(seed)
    observations, ends = environments.reset(), 0
    for _ in range(steps):
        masks = environments.action_masks
        for i, acting in enumerate(environments.acting):
            wanted = expected(observations[i]) if acting else None
            assert masks[i].tolist() == (np.ones_like(masks[i]) if wanted is None else wanted).tolist()
        step = environments.step(allowed_actions(masks, space, rng))
        ends += np.count_nonzero(step.terminated | step.truncated)
        observations = step.observations
    return ends


def workers():
    return [child for child in multiprocessing.active_children() if child.name.startswith("Worker<")]


class SeedEcho(gym.Env):
    """An episode whose length depends on the first action, and whose observation is drawn from its seed."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Discrete(9)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = None
        return self.np_random.random(1), {}

    def step(self, action):
        self.left = (int(action) if self.left is None else self.left) - 1
        return np.zeros(1), 0.0, self.left < 0, False, {}


class HandedAside(VectorEnv):
    """Resets itself within the step, as simulators on an accelerator do: `final_obs` is one array."""

    num_envs = 2
    single_observation_space = gym.spaces.Box(-1e6, 1e6, (1,), np.float32)
    single_action_space = gym.spaces.Discrete(2)

    def __init__(self, info, **metadata):
        self.info = info
        self.metadata = metadata or {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        ended = np.array([False, True])
        return np.full((2, 1), 7, np.float32), np.ones(2, np.float32), ended, np.zeros(2, bool), self.info


class Reward(float):
    pass


class Faulty(gym.Env):
    """Environment of 5-step episodes that does `fault` in step `at` of the second episode (0: its reset)."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float32)
    action_space = gym.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, fault, at=3, closing=None):
        self.fault, self.at, self.closing, self.episode = fault, at, closing, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action):
        assert action.shape == (3,)
        self.t += 1
        observation = self._observation()
        now = (self.episode, self.t) == (1, self.at)
        return observation, float(self.fault) if now and self._is("reward") else 0.0, self.t == 5, False, {}

    def _is(self, what):
        return isinstance(self.fault, Reward) == (what == "reward") and isinstance(self.fault, float)

    def _observation(self):
        observation = np.full((2, 2), 1e30, np.float32)  # large, yet finite
        if (self.episode, self.t) == (1, self.at):
            if self._is("observation"):
                observation[1, 0] = self.fault
            elif not isinstance(self.fault, float):
                self.fault()
        return observation

    def close(self):
        if self.closing:
            self.closing()


def harmless():
    return None
