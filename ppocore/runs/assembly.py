"""Create the parts of a run: environments, collector, backend, trainer, and the callbacks that write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ppocore.config import PPOConfig
from ppocore.envs import make_environments
from ppocore.errors import warn
from ppocore.evaluation import evaluate
from ppocore.policy import Policy
from ppocore.registry import backend_factory, check_backend_name
from ppocore.reporting.jsonl import MetricsFile
from ppocore.runs.configuration import Saving
from ppocore.runs.directory import RunDirectory, os_errors_as_usage_errors
from ppocore.runs.saver import Evaluation, Saver
from ppocore.training import Callback, Collector, LocalCollector, Runtime, Snapshot, Trainer, check_memory


@contextmanager
def assembled(
    env: Any,
    config: PPOConfig,
    seed: int,
    runtime: Runtime,
    env_kwargs: dict[str, Any] | None,
    wrappers: Sequence[Any],
    collector: Collector | None,
) -> Iterator[Trainer]:
    """Create the parts of a run; close its collector and restore the limits of threads at the end.

    Raises:
        UsageError: an environment, a backend or settings that cannot be used together.
    """
    if isinstance(runtime.backend, str):
        check_backend_name(runtime.backend)
    check_memory(config)
    if collector is None:
        assert env is not None  # one of the two was given
        environments = make_environments(
            env,
            config.num_envs,
            seed=seed,
            vectorization=runtime.vectorization,
            env_kwargs=env_kwargs,
            timeout=runtime.env_timeout,
            wrappers=wrappers,
        )
        collector = LocalCollector(environments)
    with closing(collector):
        # Imported after worker processes were forked, because JAX starts threads, and before threads are limited.
        factory = backend_factory(runtime.backend) if isinstance(runtime.backend, str) else runtime.backend
        # Values that are not finite are reported where they arise; NumPy's warnings would only repeat it.
        with threadpool_limits(limits=runtime.threads, user_api="blas"), np.errstate(all="ignore"):
            trainer = Trainer(collector, config, factory, seed, runtime.device)
            with trainer.backend.using_threads(runtime.threads):
                yield trainer


def writers(
    directory: RunDirectory,
    saving: Saving,
    mean_return: Callable[[Policy], float],
    resumed: Snapshot | None = None,
) -> list[Callback]:
    """Return the callbacks that write a run; metrics come first, because a checkpoint depends on them."""
    with os_errors_as_usage_errors(directory.path):
        metrics = MetricsFile(directory.metrics_path, directory.ensure)
        evaluation = Evaluation(mean_return, saving.every) if saving.evaluate_episodes else None
        saver = Saver(directory, saving, sync=metrics.sync, evaluation=evaluation, resumed=resumed)
    return [metrics, *([] if evaluation is None else [evaluation]), saver]


def mean_return_of(
    policy: Policy,
    env: Any,
    saving: Saving,
    seed: int,
    env_kwargs: dict[str, Any] | None,
    wrappers: Sequence[Any],
) -> float:
    """Evaluate a policy in the environment of its run, by which its checkpoints are ranked."""
    assert env is not None  # a run with a collector evaluates nothing
    result = evaluate(
        policy, env, episodes=saving.evaluate_episodes, seed=seed, env_kwargs=env_kwargs, wrappers=wrappers
    )
    if result.cut_off:
        warn(
            f"{result.cut_off} of {saving.evaluate_episodes} evaluated episodes cut off after {result.limit} "
            "steps, as the environment has no time limit: give it one with max_episode_steps="
        )
    return float(result.summary()["mean_return"])
