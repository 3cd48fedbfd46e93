"""Complete runs: what they learn, count, write and refuse."""

from __future__ import annotations

import json
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from ppocore import Policy, PPOConfig, train
from ppocore.backend import Objective, OptimizerStep
from ppocore.errors import EnvironmentFault, NonFiniteError, UsageError
from ppocore.evaluation import evaluate
from ppocore.presets import preset

SMALL = PPOConfig(total_steps=512, num_envs=4, num_steps=32, minibatch_size=64, update_epochs=2, hidden_sizes=(8,))


class Corridor(gym.Env):
    """Start in the middle of five places; action 1 goes right (+1 at the end), 0 goes left (-1 at the end)."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)
    action_space = Discrete(2, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 2
        return self._look(), {}

    def step(self, action):
        assert action in (3, 4), "the action space starts at 3"
        self.place += 1 if action == 4 else -1
        ended = self.place in (0, 4)
        reward = (1.0 if self.place == 4 else -1.0) if ended else 0.0
        return self._look(), reward, ended, False, {}

    def _look(self):
        return np.array([self.place / 2 - 1], np.float32)


class Broken(Corridor):
    """Gives ``bad`` as reward at its third step."""

    bad: float = math.nan
    steps = 0

    def step(self, action):
        self.steps += 1
        observation, reward, *rest = super().step(action)
        return observation, self.bad if self.steps == 3 else reward, *rest


class Target(gym.Env):
    """One step, reward -(action - 0.6)^2; the action is bounded, so a policy must learn a mean of 0.6."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action} is outside the space"
        return np.zeros(2, np.float32), -float((action[0] - 0.6) ** 2), True, False, {}


def test_learns_to_go_right():
    result = train(Corridor, SMALL.replace(total_steps=4096, learning_rate=5e-3, entropy_coef=0.0))
    assert result.mean_return > 0.9
    assert result.policy.act(np.zeros(1)) == 4
    assert evaluate(result.policy, Corridor, episodes=7).episode_returns == [1.0] * 7


def test_learns_a_continuous_target():
    config = SMALL.replace(total_steps=8192, learning_rate=1e-2, entropy_coef=0.0, log_std_init=-1.0)
    result = train(Target, config)
    assert result.policy.act(np.zeros(2))[0] == pytest.approx(0.6, abs=0.1)


def test_counts_complete_rollouts_and_at_most_total_steps():
    result = train(Corridor, SMALL.replace(total_steps=500))
    assert result.steps == 3 * 4 * 32  # a fourth rollout would exceed them
    assert result.iterations == 3
    assert [m["steps"] for m in result.history] == [128, 256, 384]


def test_reset_rows_of_a_vector_entry_point_are_not_counted():
    config = SMALL.replace(total_steps=1024)
    result = train("CartPole-v1", config, runtime={"vectorization": "vector"})
    resets = result.iterations * config.rollout_size - result.steps
    # Each end but those in the very last row was followed by a row that only reset.
    assert result.episodes - config.num_envs <= resets <= result.episodes
    assert resets > 0


def test_every_step_of_an_episode_is_counted_once_across_rollouts():
    # Corridor's episodes have even lengths of 2 or more and returns of +-1, whatever the rollout they span.
    result = train(Corridor, SMALL.replace(num_steps=7, minibatch_size=28))
    returns = [r for m in result.history for r in m["episode_returns"]]
    assert len(returns) == result.episodes
    assert set(returns) == {-1.0, 1.0}
    assert all(m["mean_length"] >= 2 for m in result.history if m["mean_length"] is not None)


def test_first_minibatch_of_a_rollout_has_ratio_one():
    # With one update per iteration, the policy is the one that acted: no divergence except for rounding to float32.
    result = train(Corridor, SMALL.replace(update_epochs=1, minibatch_size=128))
    assert max(abs(m["approx_kl"]) for m in result.history) < 1e-12
    assert all(m["clip_fraction"] == 0.0 for m in result.history)


@pytest.mark.parametrize("env", [Corridor, "Pendulum-v1"], ids=["categorical", "gaussian"])
def test_metrics_hold_every_debug_variable_and_are_valid_json(env, tmp_path):
    config = SMALL.replace(normalize_observations=True, normalize_rewards=True)
    result = train(env, config, run_dir=tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows == json.loads(json.dumps(result.history))
    for name in (
        "learning_rate value_loss policy_loss entropy old_approx_kl approx_kl clip_fraction explained_variance "
        "steps seconds steps_per_second mean_return mean_length episode_returns grad_norm loss fingerprint"
    ).split():
        assert all(name in row for row in rows), name
    assert rows[-1]["fingerprint"] == result.fingerprint
    losses = [r["policy_loss"] - 0.01 * r["entropy"] + 0.5 * r["value_loss"] for r in rows]
    assert losses == pytest.approx([r["loss"] for r in rows])


def test_annealing_is_linear_in_the_steps_done():
    config = SMALL.replace(anneal_learning_rate=True, anneal_clip_range=True, learning_rate=1e-3, clip_range=0.3)
    history = train(Corridor, config).history
    assert [m["learning_rate"] for m in history] == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
    assert [m["clip_range"] for m in history] == pytest.approx([0.3, 0.225, 0.15, 0.075])


def test_target_kl_stops_an_iteration_and_counts_the_updates_made():
    free = train(Corridor, SMALL.replace(learning_rate=0.05)).history
    assert free[-1]["updates"] == 4 * 2 * 2
    stopped = train(Corridor, SMALL.replace(learning_rate=0.05, target_kl=1e-9)).history
    assert stopped[0]["updates"] == 2  # the first update measures no divergence, the second one does
    assert all(m["updates"] < 4 * k for k, m in enumerate(stopped, 1))


def test_policy_of_a_run_is_the_policy_of_its_file(tmp_path):
    config = SMALL.replace(normalize_observations=True)
    result = train("Pendulum-v1", config, run_dir=tmp_path / "run")
    loaded = Policy.load(tmp_path / "run")
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.act(observations), result.policy.act(observations))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["num_envs"] == 4


def test_ctrl_c_keeps_the_policy_of_the_last_complete_iteration(tmp_path):
    class Interrupt:
        def begin(self, start): ...
        def close(self): ...
        def end(self, result): ...
        def iteration(self, metrics):
            if metrics["iteration"] == 2:
                raise KeyboardInterrupt

    interrupted = train(Corridor, SMALL, run_dir=tmp_path / "run", reporters=[Interrupt()])
    assert interrupted.interrupted
    assert interrupted.iterations == 2
    whole = train(Corridor, SMALL).history
    assert interrupted.fingerprint == whole[1]["fingerprint"]
    stored = Policy.load(tmp_path / "run").weights
    assert all(np.array_equal(stored[name], w) for name, w in interrupted.policy.weights.items())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_ends_the_run_and_the_policy_is_saved(bad, tmp_path):
    Broken.bad = bad
    with pytest.raises(EnvironmentFault, match=r"Broken: environment 0 gave the reward .* step 3 .*seed \d+"):
        train(Broken, SMALL, run_dir=tmp_path / "run")
    assert Policy.load(tmp_path / "run").act(np.zeros(1)) in (3, 4)


def test_a_diverging_run_names_the_tensor_and_keeps_the_policy(tmp_path):
    config = SMALL.replace(learning_rate=1e38, anneal_learning_rate=False, max_grad_norm=None)
    with pytest.raises(NonFiniteError, match="is not finite"):
        train("Pendulum-v1", config, run_dir=tmp_path / "run")
    assert (tmp_path / "run" / "policy.safetensors").is_file()


class TestBadInput:
    """One sentence, and nothing written."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"env": "CartPoel-v1"}, "CartPole-v1"),
            ({"env": "CartPole-v1", "backend": "nunpy"}, "did you mean 'numpy'"),
            ({"env": "CartPole-v1", "seed": -1}, "seed=-1"),
        ],
    )
    def test_is_refused(self, arguments, message, tmp_path):
        with pytest.raises(UsageError, match=message) as caught:
            train(config=SMALL, run_dir=tmp_path / "run", **arguments)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()

    def test_a_seed_that_is_no_integer(self):
        with pytest.raises(TypeError, match=r"seed=0\.5"):
            train(Corridor, SMALL, seed=0.5)

    def test_an_unsupported_space(self, tmp_path):
        class Odd(Corridor):
            action_space = gym.spaces.Text(4)

        with pytest.raises(UsageError, match="Text"):
            train(Odd, SMALL, run_dir=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_run_directory_that_holds_something(self, tmp_path):
        (tmp_path / "precious").write_text("kept")
        with pytest.raises(UsageError, match="not empty"):
            train(Corridor, SMALL, run_dir=tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["precious"]

    def test_a_run_directory_under_a_file(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="cannot be written to"):
            train(Corridor, SMALL, run_dir=tmp_path / "file" / "run")


def test_presets_are_used_when_no_configuration_is_given():
    assert preset("CartPole-v1") != PPOConfig()
    assert preset("some.module:CartPole-v1") == preset("CartPole-v1")
    assert preset(Corridor) == PPOConfig()


def test_an_objective_is_what_the_configuration_says():
    """The settings reach the backend: recorded by a factory around the NumPy backend."""
    from ppocore.backends.numpy_backend import NumpyBackend

    seen: list[tuple[Objective, OptimizerStep]] = []

    class Recording(NumpyBackend):
        def update(self, batch, objective, step):
            seen.append((objective, step))
            return super().update(batch, objective, step)

    config = SMALL.replace(
        clip_range=0.15, value_clip_range=0.4, entropy_coef=0.02, value_coef=0.7, max_grad_norm=0.9,
        learning_rate=1e-3, anneal_learning_rate=False,
    )  # fmt: skip
    train(Corridor, config, backend=Recording)
    assert set(seen) == {(Objective(0.15, 0.4, 0.02, 0.7), OptimizerStep(1e-3, 0.9))}
