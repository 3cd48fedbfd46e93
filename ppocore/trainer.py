"""Proximal policy optimization, in the order of Algorithm 1 of arXiv:1707.06347.

`Trainer.run` is the algorithm; the rest of the file makes what it needs and says how it went.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .actions import ActionAdapter
from .backend import BackendActor, BackendFactory, UpdateStats
from .buffer import RolloutBuffer
from .config import PPOConfig
from .envs import VectorEnvironments, make_environments
from .errors import RunError, UsageError
from .fingerprint import Digests, digests
from .learner import Learned, Learner
from .networks import ActingNetwork, NetworkSpec
from .normalize import ObservationNormalizer, RewardScaler, explained_variance
from .policy import Policy
from .presets import preset
from .registry import backend_factory
from .reporting import Reporter, RunStart
from .reporting.jsonl import MetricsFile
from .result import TrainResult
from .rollout import RolloutCollector
from .run_directory import RunDirectory


def train(
    env: str | Callable[[], Any] | Any,
    config: PPOConfig | None = None,
    *,
    backend: str | BackendFactory = "numpy",
    seed: int = 0,
    device: str = "cpu",
    run_dir: str | PathLike[str] | None = None,
    reporters: Sequence[Reporter] = (),
    env_kwargs: dict[str, Any] | None = None,
) -> TrainResult:
    """Train a policy with PPO.

    Args:
        env: an environment's id, a callable that makes one environment, or a Gymnasium ``VectorEnv``.
        config: the settings; by default those known to work for the environment (`ppocore.presets`).
        backend: a backend's name, or what makes one: a class, or a backend around a network of your own such as
            ``TorchBackend(network=...)``.
        seed: every random number of the run derives from it.
        device: where the backend computes, ``cpu`` or ``cuda``.
        run_dir: a new directory for the configuration, ``metrics.jsonl`` and the policy; None writes nothing.
        reporters: told of the start, of every iteration and of the end; see `ppocore.reporting`.
        env_kwargs: arguments for making the environment.

    Returns:
        The result.  After Ctrl-C it is that of the last whole iteration, with ``interrupted`` set.

    Raises:
        UsageError: (a `ValueError`) a setting, environment or backend that cannot be run; nothing was written.
        RunError: the run began and could not go on; what it had is saved in ``run_dir``.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed={seed!r} must be an integer")
    if seed < 0:
        raise UsageError(f"seed={seed} is negative: choose 0 or more")
    config = preset(env) if config is None else config
    factory = backend_factory(backend) if isinstance(backend, str) else backend
    environments = make_environments(
        env, config.num_envs, seed=int(seed), vectorization=config.vectorization, env_kwargs=env_kwargs
    )
    # What is not finite is found and named where it arises; NumPy's warnings would only precede the sentence.
    with environments, threadpool_limits(limits=config.threads, user_api="blas"), np.errstate(all="ignore"):
        trainer = Trainer(environments, config, factory, int(seed), device)
        directory = None if run_dir is None else RunDirectory.create(run_dir)
        with trainer.backend.using_threads(config.threads):
            return trainer.run(directory, reporters)


@dataclass
class Counters:
    """How far a run has come."""

    steps: int = 0
    iterations: int = 0
    updates: int = 0
    wall_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """One run: its parts, and the loop over them.

    Four random streams, all spawned from the seed: initial weights, actions, minibatches; the environments
    derive theirs from the seed, their index and the episode.
    """

    def __init__(
        self,
        environments: VectorEnvironments,
        config: PPOConfig,
        factory: BackendFactory,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.config, self.seed, self.environments = config, seed, environments
        self._adapter = ActionAdapter(environments.action_space, config.continuous_policy)
        self.spec = NetworkSpec(
            observation_size=environments.observation_mapping.size,
            action_kind=self._adapter.kind,
            action_size=self._adapter.size,
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            shared_trunk=config.shared_trunk,
            log_std_init=config.log_std_init,
            choices=self._adapter.choices,
            learn_log_std=config.learn_log_std,
        )
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
        weights_rng, actions_rng, minibatch_rng = streams
        self.backend = factory(self.spec, precision=config.precision, adam_epsilon=config.adam_epsilon, device=device)
        self._actor: ActingNetwork | BackendActor
        if self.backend.own_network is None:
            self.backend.load_state(self.spec.initial_weights(weights_rng))
            self._actor = ActingNetwork(self.spec, config.precision)
        else:
            self._actor = BackendActor(self.backend)
        self._actor.load(self.backend.weights())
        distribution = self.spec.distribution()
        self.buffer = RolloutBuffer(
            config.num_steps,
            config.num_envs,
            self.spec.observation_size,
            distribution.action_shape,
            distribution.action_dtype,
            distribution.parameter_size,
        )
        self.normalizer = (
            ObservationNormalizer((self.spec.observation_size,)) if config.normalize_observations else None
        )
        self.collector = RolloutCollector(
            environments,
            distribution,
            self.buffer,
            actions_rng,
            adapter=self._adapter,
            observation_normalizer=self.normalizer,
            reward_scaler=RewardScaler(config.num_envs, gamma=config.gamma) if config.normalize_rewards else None,
        )
        self.learner = Learner(self.backend, self._actor, self.collector, config, minibatch_rng)
        self.counters = Counters()
        self._policy = self._make_policy(self.backend.weights())

    def run(self, directory: RunDirectory | None = None, reporters: Sequence[Reporter] = ()) -> TrainResult:
        """Collect, estimate, update, report; until one more rollout would exceed the steps asked for."""
        config, counters = self.config, self.counters
        sinks: list[Reporter] = [*reporters]
        interrupted = False
        path = None if directory is None else directory.path
        start = RunStart(self.environments.name, self.backend.name, self.seed, config, path)
        if directory is not None:
            directory.write_configuration(start)
            sinks.append(MetricsFile(directory.metrics_path))
        began = time.perf_counter()
        try:
            for sink in sinks:
                sink.begin(start)
            while counters.steps + config.rollout_size <= config.total_steps:
                remaining = 1.0 - counters.steps / config.total_steps
                counters.steps += self.collector.collect(self._actor)
                learned = self.learner.learn(remaining, counters.iterations)
                counters.iterations += 1
                counters.updates += len(learned.stats)
                counters.wall_seconds = time.perf_counter() - began
                metrics = self._metrics(learned)
                counters.history.append(metrics)
                self._policy = self._make_policy(learned.weights)
                for sink in sinks:
                    sink.iteration(metrics)
        except KeyboardInterrupt:
            interrupted = True
        except RunError as error:
            if directory is not None:
                directory.write_policy(self._policy)
                error.args = (
                    f"{error}; the policy of the last whole iteration is saved in {path}: to go on, mend the cause "
                    "and train again in another run directory",
                )
            raise
        finally:
            for sink in sinks:
                sink.close()
            if self.backend.own_network is not None:  # the policy acts through it: no unfinished iteration may stay
                self.backend.load_state(self._policy.weights)
        if directory is not None:
            directory.write_policy(self._policy)
        result = self._result(directory, interrupted)
        for sink in sinks:
            sink.end(result)
        return result

    def _metrics(self, learned: Learned) -> dict[str, Any]:
        """One line of ``metrics.jsonl``: the debug variables are means over the iteration's optimizer steps."""
        counters, episodes, buffer = self.counters, self.collector.statistics, self.buffer
        objective, stats = learned.objective, learned.stats
        means = np.mean(np.array(stats), axis=0).tolist() if stats else [None] * len(UpdateStats._fields)
        explained = float(explained_variance(buffer.values, buffer.returns, buffer.valid))
        return {
            "iteration": counters.iterations,
            "steps": counters.steps,
            "updates": counters.updates,
            "episodes": episodes.episodes,
            "seconds": round(counters.wall_seconds, 4),
            "steps_per_second": round(counters.steps / counters.wall_seconds, 1),
            "mean_return": episodes.mean_return,
            "mean_length": episodes.mean_length,
            "episode_returns": episodes.rollout_returns,
            "learning_rate": learned.step.learning_rate,
            "clip_range": objective.clip_range,
            "entropy_coef": objective.entropy_coef,
            **dict(zip(UpdateStats._fields, means, strict=True)),
            **({} if objective.kl_coef else {"kl": None}),
            "kl_coef": objective.kl_coef,
            "kl_of_iteration": learned.divergence,
            "explained_variance": explained if np.isfinite(explained) else None,
            **self._digests()._asdict(),
        }

    def _digests(self) -> Digests:
        counters = self.counters
        return digests(
            self.backend.state(),
            {"steps": counters.steps, "iterations": counters.iterations, "updates": counters.updates},
        )

    def _make_policy(self, weights: Mapping[str, NDArray[Any]]) -> Policy:
        """The policy as it is now: a copy, so that an interrupt never leaves half an update in it."""
        return Policy(
            self.spec,
            weights,
            self._adapter,
            self.environments.observation_mapping,
            None if self.normalizer is None else self.normalizer.state(),
            network=self._actor if isinstance(self._actor, BackendActor) else None,
        )

    def _result(self, directory: RunDirectory | None, interrupted: bool) -> TrainResult:
        counters, episodes = self.counters, self.collector.statistics
        last = counters.history[-1] if counters.history else None
        return TrainResult(
            policy=self._policy,
            fingerprint=last["fingerprint"] if last else self._digests().fingerprint,
            history=counters.history,
            run_dir=None if directory is None else directory.path,
            env=self.environments.name,
            backend=self.backend.name,
            seed=self.seed,
            steps=counters.steps,
            iterations=counters.iterations,
            episodes=last["episodes"] if last else episodes.episodes,
            mean_return=last["mean_return"] if last else None,
            wall_seconds=counters.wall_seconds,
            interrupted=interrupted,
        )
