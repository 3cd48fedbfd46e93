"""Run proximal policy optimization, algorithm 1 of arXiv:1707.06347.

`Trainer.run` is the algorithm; the rest of the module sets it up and reports its results.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppocore.backend import BackendActor, BackendFactory, UpdateStats
from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.networks import ActingNetwork, NetworkSpec
from ppocore.normalize import ObservationNormalizer, RewardScaler
from ppocore.policy import Policy
from ppocore.spaces import ActionAdapter
from ppocore.training.callbacks import Callback, Run, end_callbacks
from ppocore.training.collector import Collector, CollectorSetup
from ppocore.training.fingerprint import Digests, digests, fingerprint
from ppocore.training.large_input import warn_of_large_input
from ppocore.training.learner import Learned, Learner
from ppocore.training.result import TrainResult
from ppocore.training.rng import rng_state, set_rng_state
from ppocore.training.signals import sigterm_interrupts
from ppocore.training.snapshot import NORMALIZER, SCALER, STATISTICS, Snapshot


@dataclass
class Counters:
    """Hold the counters and the metrics of a run."""

    steps: int = 0
    iterations: int = 0
    updates: int = 0
    wall_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Hold the parts of a run, and execute its iterations.

    Initial weights, actions and minibatches each have a random stream spawned from the seed; environments derive
    theirs from the seed, their index and the episode.

    Args:
        collector: collects the rollouts; started here, and closed by its creator.
        config: the settings.
        factory: creates the backend.
        seed: the seed of every random number of the run.
        device: the device of the backend.

    Raises:
        UsageError: settings, network and environments that do not match.
        EnvironmentFault: an environment failed in its first reset.
    """

    def __init__(
        self,
        collector: Collector,
        config: PPOConfig,
        factory: BackendFactory,
        seed: int,
        device: str = "cpu",
    ) -> None:
        if collector.num_envs != config.num_envs:
            raise UsageError(
                f"num_envs={config.num_envs} differs from the collector's {collector.num_envs} environments: make them "
                "equal"
            )
        self.config, self.seed, self.collector = config, seed, collector
        self._adapter = ActionAdapter(collector.action_space, config.continuous_policy)
        self.spec = NetworkSpec(
            observation_size=collector.observation_mapping.size,
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
        weights_rng, self._actions_rng, minibatch_rng = streams
        self.backend = factory(self.spec, precision=config.precision, adam_epsilon=config.adam_epsilon, device=device)
        self._actor: ActingNetwork | BackendActor
        if self.backend.own_network is None:
            warn_of_large_input(collector.observation_mapping, self.spec)
            self.backend.load_state(self.spec.initial_weights(weights_rng))
            self._actor = ActingNetwork(self.spec, config.precision)
        else:
            self._actor = BackendActor(self.backend)
        self._actor.load(self.backend.weights())
        self.normalizer = (
            ObservationNormalizer((self.spec.observation_size,)) if config.normalize_observations else None
        )
        self._scaler = RewardScaler(config.num_envs, gamma=config.gamma) if config.normalize_rewards else None
        setup = CollectorSetup(
            num_steps=config.num_steps,
            seed=seed,
            distribution=self.spec.distribution(),
            adapter=self._adapter,
            rng=self._actions_rng,
            observation_normalizer=self.normalizer,
            reward_scaler=self._scaler,
        )
        collector.start(setup)
        self.learner = Learner(self.backend, self._actor, config, minibatch_rng, self.spec)
        self.counters = Counters()
        self._description = {  # what does not change during the run
            "network": None if self.backend.own_network is not None else self.spec.to_dict(),
            "action_space": self._adapter.to_dict(),
            "observation_space": collector.observation_mapping.to_dict(),
            "env": collector.name,
            "seed": seed,
            "config": config.to_dict(),
        }
        self._snapshot = self._take_snapshot(self.backend.state(), self.backend.weights())

    def run(self, callbacks: Sequence[Callback] = (), run_dir: Path | None = None) -> TrainResult:
        """Collect, estimate, update and report, until another rollout would exceed ``total_steps``.

        Each callback's ``on_end`` is called once, however the run ends, with its last complete iteration.

        Returns:
            The result; if Ctrl-C, SIGTERM or a callback ended the run early, that of the last complete iteration.
        """
        counters = self.counters
        run = Run(
            env=self.collector.name,
            backend=self.backend.name,
            seed=self.seed,
            config=self.config,
            run_dir=run_dir,
            snapshot=self._snapshot,
            history=counters.history,
        )
        self.collector.keep_final_infos = any(getattr(callback, "reads_infos", True) for callback in callbacks)
        began = time.perf_counter() - counters.wall_seconds
        error: BaseException | None = None
        with sigterm_interrupts():
            try:
                for callback in callbacks:
                    callback.on_start(run)
                while not run.complete and run.stop_reason is None:
                    self._iterate(run, began)
                    for callback in callbacks:
                        callback.on_iteration(run)
            except BaseException as raised:  # also SystemExit, so that the run is saved
                error = raised
            if self.backend.own_network is not None:  # the policy shares its weights: drop an unfinished iteration
                try:
                    self.backend.load_state(run.policy.weights)
                except Exception as raised:  # a device that failed may fail again, and must not prevent saving
                    error = error or raised
            run.result = self._result(run, isinstance(error, KeyboardInterrupt))
            error = end_callbacks(callbacks, run, error)
        if error is not None and not isinstance(error, KeyboardInterrupt):
            raise error
        return run.result

    def _iterate(self, run: Run, began: float) -> None:
        """Execute one iteration, and store its snapshot and metrics in ``run``."""
        config, counters = self.config, self.counters
        remaining = 1.0 - counters.steps / config.total_steps
        rollout = self.collector.collect(self._actor)
        counters.steps += rollout.num_valid
        learned = self.learner.learn(rollout, remaining, counters.iterations)
        counters.iterations += 1
        counters.updates += len(learned.stats)
        counters.wall_seconds = time.perf_counter() - began
        state = self.backend.state()
        metrics = self._metrics(learned, state)
        snapshot = self._take_snapshot(state, learned.weights)
        counters.history.append(metrics)
        run.infos = self.collector.final_infos
        self._snapshot = run.snapshot = snapshot

    def _metrics(self, learned: Learned, state: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return a line of ``metrics.jsonl``, whose debug variables are means over the iteration's optimizer steps."""
        counters, episodes = self.counters, self.collector.statistics
        objective, stats = learned.objective, learned.stats
        means = np.mean(np.array(stats), axis=0).tolist() if stats else [None] * len(UpdateStats._fields)
        explained = learned.explained_variance
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
            **self._digests(state)._asdict(),
        }

    def _digests(self, state: Mapping[str, NDArray[Any]]) -> Digests:
        counters = self.counters
        return digests(state, {"steps": counters.steps, "iterations": counters.iterations, "updates": counters.updates})

    def _take_snapshot(self, state: Mapping[str, NDArray[Any]], weights: Mapping[str, NDArray[Any]]) -> Snapshot:
        """Copy the state of the run between two iterations."""
        counters, statistics = self.counters, self.collector.statistics
        policy = Policy(
            self.spec,
            weights,
            self._adapter,
            self.collector.observation_mapping,
            None if self.normalizer is None else self.normalizer.state(),
            network=self._actor if isinstance(self._actor, BackendActor) else None,
        )
        tensors = {**policy.tensors(), **state}
        groups: list[tuple[str, Any]] = [(SCALER, self._scaler), (STATISTICS, statistics)]
        for prefix, group in groups:
            if group is not None:
                tensors |= {prefix + name: array for name, array in group.state().items()}
        description = {
            **self._description,
            "counters": {
                "steps": counters.steps,
                "iterations": counters.iterations,
                "updates": counters.updates,
                "episodes": statistics.episodes,
            },
            "learner": self.learner.state(),
            "actions": rng_state(self._actions_rng),
        }
        return Snapshot(tensors, self.collector.state(), description, policy, statistics.mean_return)

    def restore(self, snapshot: Snapshot, history: list[dict[str, Any]]) -> dict[int, str]:
        """Restore a snapshot; return the reason for each environment that could not be restored, by index.

        Raises:
            KeyError, TypeError, ValueError: not a snapshot of such a run.
        """
        description, counters = snapshot.description, self.counters
        self.backend.load_state(snapshot.backend_state())
        self._actor.load(self.backend.weights())
        for prefix, group in ((NORMALIZER, self.normalizer), (SCALER, self._scaler)):
            if group is not None:
                group.load_state(snapshot.part(prefix))
        known = description["counters"]
        counters.steps, counters.iterations, counters.updates = (
            int(known[name]) for name in ("steps", "iterations", "updates")
        )
        counters.history = history
        counters.wall_seconds = float(history[-1]["seconds"]) if history else 0.0
        self.collector.statistics.load_state(snapshot.part(STATISTICS), int(known["episodes"]))
        self.learner.load_state(description["learner"])
        set_rng_state(self._actions_rng, description["actions"])
        lost = self.collector.load_state(snapshot.environments)
        for index in lost:  # its episode was abandoned
            self.collector.statistics.forget(index)
            if self._scaler is not None:
                self._scaler.forget(index)
        self._snapshot = self._take_snapshot(self.backend.state(), self.backend.weights())
        return lost

    @property
    def policy(self) -> Policy:
        """The policy after the last complete iteration."""
        assert self._snapshot.policy is not None  # a snapshot taken here has one
        return self._snapshot.policy

    def _result(self, run: Run, interrupted: bool) -> TrainResult:
        snapshot, counters = run.snapshot, run.snapshot.counters
        return TrainResult(
            policy=run.policy,
            fingerprint=fingerprint(
                snapshot.backend_state(), {name: counters[name] for name in ("steps", "iterations", "updates")}
            ),
            history=run.history[: snapshot.iterations],
            run_dir=run.run_dir,
            env=run.env,
            backend=run.backend,
            seed=run.seed,
            steps=counters["steps"],
            iterations=counters["iterations"],
            episodes=counters["episodes"],
            mean_return=snapshot.mean_return,
            wall_seconds=self.counters.wall_seconds,
            interrupted=interrupted,
            stop_reason=run.stop_reason,
        )
