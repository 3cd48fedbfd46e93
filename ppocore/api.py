"""Train and resume runs: read what is asked for, open the run directory, run, and release both."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from ppocore.backend import BackendFactory
from ppocore.config import PPOConfig
from ppocore.envs import made_with, read_wrappers
from ppocore.errors import UsageError, warn
from ppocore.presets import choose_settings
from ppocore.reporting import Reporter, reporter_callbacks
from ppocore.reporting.jsonl import keep_lines
from ppocore.runs import (
    RunConfiguration,
    RunDirectory,
    Saving,
    UnusedDirectory,
    check_same_environments,
    check_same_settings,
    located,
    os_errors_as_usage_errors,
    read_configuration,
    record_changes,
    restore_run,
    runtime_as_json,
    trusted_wrappers,
    without_class_paths,
    without_import,
)
from ppocore.runs.assembly import assembled, mean_return_of, writers  # apart: it needs Gymnasium
from ppocore.training import (
    Callback,
    Collector,
    Run,
    Runtime,
    TrainResult,
    as_callbacks,
    check_collector,
)

Environment = str | Callable[[], Any] | Any


def train(
    env: Environment | None = None,
    config: PPOConfig | Mapping[str, Any] | None = None,
    *,
    backend: str | BackendFactory | None = None,
    seed: int = 0,
    device: str | None = None,
    runtime: Runtime | Mapping[str, Any] | None = None,
    run_dir: str | PathLike[str] | UnusedDirectory | None = None,
    callbacks: Sequence[Callback | Callable[[Run], Any]] = (),
    reporters: Sequence[Reporter] = (),
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[Any] = (),
    max_episode_steps: int | None = None,
    observation_keys: Sequence[str] | None = None,
    checkpoint_every: int = 50,
    keep: int = 3,
    evaluate_episodes: int = 0,
    collector: Collector | None = None,
    use_preset: bool = True,
    **settings: Any,
) -> TrainResult:
    """Train a policy with PPO.

    ``train("CartPole-v1", total_steps=20_000)`` lays this setting over the environment's preset, as the command line
    does.

    Args:
        env: an environment's id, a callable that makes one environment, or a Gymnasium ``VectorEnv``; omitted if
            ``collector`` is given.
        config: settings to lay over the environment's preset (`ppocore.presets`), as a dict; or a `PPOConfig`, which
            is taken as it is, without the preset; `ppocore.preset` returns the preset as one.
        backend: a backend's name, a backend class, or a backend that wraps your own network, such as
            ``TorchBackend(network=...)``; by default that of ``runtime``, ``numpy``.
        seed: the seed of every random number of the run.
        device: where the backend computes, ``cpu`` or ``cuda``; by default that of ``runtime``, ``cpu``.
        runtime: how the run is computed, which does not affect its result: a `ppocore.Runtime`, or a dict of the
            fields that differ from the defaults.
        run_dir: a new directory for the configuration, ``metrics.jsonl``, the checkpoints and the policy; None to
            write nothing.
        callbacks: `ppocore.Callback` instances, or functions that are called with the `ppocore.Run` after every
            iteration. An exception ends the run after its last complete iteration has been saved.
        reporters: see `ppocore.reporting`. A reporter that raises is dropped with a warning, and the run continues.
        env_kwargs: arguments of the environment's constructor.
        wrappers: wrappers of each environment by name, the innermost first: one of `gymnasium.wrappers`, or
            ``module:Class``, with its arguments, such as ``"FrameStackObservation:stack_size=4"``.
        max_episode_steps: the time limit of an episode, in place of the registered one.
        observation_keys: the entries to keep of observations that are a dictionary.
        checkpoint_every: iterations between checkpoints, which are at most about a minute apart; 0 for a single one
            at the end.
        keep: number of newest checkpoints to keep, in addition to the best.
        evaluate_episodes: number of evaluated episodes by whose mean return checkpoints are ranked; 0 to rank them by
            the mean return of the last 100 training episodes.
        collector: collects the rollouts, in place of environments created here (`ppocore.training.Collector`); closed
            at the end.
        use_preset: whether the environment's preset applies.
        **settings: settings, by the names of `PPOConfig`, to lay over ``config`` or the preset.

    Returns:
        The result. After Ctrl-C or SIGTERM it is that of the last complete iteration, with ``interrupted`` set; if a
        callback stopped the run, ``stop_reason`` is set.

    Raises:
        UsageError: (a `ValueError`) a setting, environment, backend, callback or reporter that cannot be used; nothing
            was written.
        RunError: the run failed; its last complete iteration is saved in ``run_dir``.
        Exception: any exception of a callback or a backend, after the last complete iteration has been saved in
            ``run_dir``; a note on the exception says how to resume.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed={seed!r} must be an integer")
    if seed < 0:
        raise UsageError(f"seed={seed} is negative: choose 0 or more")
    _check_collector_or_env(env, env_kwargs, collector)
    chosen = choose_settings(
        env if collector is None else collector.name,
        config,
        settings,
        use_preset=use_preset,
        arguments=inspect.signature(train).parameters,
    )
    config = chosen.config
    env_kwargs, around = made_with(
        env, env_kwargs, wrappers, max_episode_steps=max_episode_steps, observation_keys=observation_keys
    )
    if around and collector is not None:
        raise UsageError("wrappers cannot be given together with a collector, which has its environments")
    saving = Saving(checkpoint_every, keep, evaluate_episodes)
    if saving.evaluate_episodes and (env is None or isinstance(env, VectorEnv)):
        given = "a collector" if env is None else "a VectorEnv"
        raise UsageError(
            f"evaluate_episodes={evaluate_episodes} needs an environment's id or a callable, not {given}: leave it out"
        )
    observers = [*reporter_callbacks(reporters, chosen.preset, chosen.given), *as_callbacks(callbacks)]
    computed = Runtime().updated(runtime, backend, device)
    # Before an environment may change the working directory.
    location = None if run_dir is None or isinstance(run_dir, UnusedDirectory) else located(run_dir)
    with assembled(env, config, int(seed), computed, env_kwargs, around, collector) as trainer:
        if run_dir is None:
            return trainer.run(observers)
        with RunDirectory.create(run_dir, location) as directory:
            directory.write_configuration(
                RunConfiguration(
                    env=trainer.collector.name,
                    env_given_as=_given_as(env),
                    env_kwargs=env_kwargs if _is_json(env_kwargs) else "not JSON",
                    seed=int(seed),
                    config=config,
                    runtime=runtime_as_json(computed, trainer.backend.name),
                    own_network=trainer.backend.own_network is not None,
                    saving=saving,
                    wrappers=around,
                )
            )
            writing = writers(
                directory, saving, lambda policy: mean_return_of(policy, env, saving, seed, env_kwargs, around)
            )
            return trainer.run([*writing, *observers], directory.path)


def resume(
    run_dir: str | PathLike[str],
    *,
    backend: str | BackendFactory | None = None,
    device: str | None = None,
    runtime: Runtime | Mapping[str, Any] | None = None,
    steps: int | None = None,
    env: Environment | None = None,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[Any] | None = None,
    max_episode_steps: int | None = None,
    observation_keys: Sequence[str] | None = None,
    restart_episodes: bool = False,
    checkpoint_every: int | None = None,
    keep: int | None = None,
    callbacks: Sequence[Callback | Callable[[Run], Any]] = (),
    reporters: Sequence[Reporter] = (),
    collector: Collector | None = None,
) -> TrainResult:
    """Resume a run from its newest checkpoint; its result is that of an uninterrupted run.

    A run that was never saved is trained from the start, which gives the same result. A run that is complete returns
    its result again.

    Args:
        run_dir: the run's directory.
        backend: a new backend, which does not affect the result.
        device: a new device.
        runtime: a new runtime, or a dict of the fields to change.
        steps: a new ``total_steps``.
        env: the callable or vector environment of the run, if it was not trained by an environment id.
        env_kwargs: new arguments of the environment's constructor, in place of those of the run.
        wrappers: new wrappers, in place of those of the run.
        max_episode_steps: as in `train`, in place of that of the run.
        observation_keys: as in `train`, together with ``wrappers`` in place of those of the run.
        restart_episodes: whether an environment that cannot be restored starts a new episode; the result then differs
            from that of an uninterrupted run.
        checkpoint_every: a new number of iterations between checkpoints.
        keep: a new number of checkpoints to keep.
        callbacks: as in `train`.
        reporters: as in `train`.
        collector: a new instance of the run's collector, if it was trained with one.

    Raises:
        UsageError: not a run, a run that another process is writing, a damaged file, or an environment that cannot be
            restored; nothing was changed.
        RunError, Exception: as in `train`.
    """
    path = Path(run_dir)
    observers = [*reporter_callbacks(reporters), *as_callbacks(callbacks)]
    with RunDirectory.reopen(path) as directory:
        recorded = read_configuration(path)
        config = recorded.config if steps is None else recorded.config.replace(total_steps=steps)
        saving = recorded.saving.replace(every=checkpoint_every, keep=keep)
        if backend is None and recorded.own_network:
            raise UsageError(f"the run in {path} trains a network of your own: pass backend=, with that network")
        _check_collector_or_env(env, env_kwargs, collector, resuming=True)
        if collector is not None and saving.evaluate_episodes:
            raise UsageError(f"the run in {path} evaluates its policy, which needs env: leave the collector out")
        maker = None if collector is not None else _environment(path, recorded, env)
        kwargs = recorded.env_kwargs if env_kwargs is None and collector is None else env_kwargs
        if env is None and env_kwargs is None and recorded.env_given_as == "id":
            kwargs = without_class_paths(kwargs, recorded.env, path)
        if isinstance(kwargs, str):
            raise UsageError(
                f"the environments of {path} were made with arguments that JSON cannot represent: pass env_kwargs="
            )
        computed = recorded.recorded_runtime().updated(runtime, backend, device)
        own = wrappers is None and observation_keys is None and collector is None
        around = trusted_wrappers(recorded.wrappers, path) if own else read_wrappers(wrappers or ())
        kwargs, around = made_with(
            maker, kwargs, around, max_episode_steps=max_episode_steps, observation_keys=observation_keys
        )
        with os_errors_as_usage_errors(path):
            snapshot = directory.newest()
        if snapshot is not None:  # before anything is made of the sizes in config.json
            check_same_settings(snapshot, config, recorded.seed, path)
        with assembled(maker, config, recorded.seed, computed, kwargs, around, collector) as trainer:
            with os_errors_as_usage_errors(path):
                if snapshot is None:
                    warn(f"the run in {path} was never saved: it is trained from the start")
                    keep_lines(directory.metrics_path, 0)
                else:
                    check_same_environments(snapshot, trainer, path)
                    restore_run(trainer, snapshot, directory, restart_episodes)
                directory.remove_policy()
            made = dataclasses.replace(recorded, env_kwargs=kwargs if _is_json(kwargs) else "not JSON", wrappers=around)
            runtime_now = runtime_as_json(computed, trainer.backend.name)
            record_changes(directory, recorded, made, config, runtime_now, snapshot)
            writing = writers(
                directory,
                saving,
                lambda policy: mean_return_of(policy, maker, saving, recorded.seed, kwargs, around),
                snapshot,
            )
            return trainer.run([*writing, *observers], path)


def _check_collector_or_env(env: Any, env_kwargs: Any, collector: Any, resuming: bool = False) -> None:
    """Check that either environments or a collector is given, and that the collector is valid."""
    if collector is None:
        if env is None and not resuming:
            raise UsageError("env is missing: give an environment's id, a callable, a VectorEnv, or a collector")
        return
    for name, given in (("env", env), ("env_kwargs", env_kwargs)):
        if given is not None:
            raise UsageError(
                f"{name} cannot be given together with a collector, which has its environments: leave it out"
            )
    check_collector(collector)


def _given_as(env: Environment | None) -> str:
    if env is None:
        return "collector"
    return "id" if isinstance(env, str) else "vector" if isinstance(env, VectorEnv) else "callable"


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _environment(path: Path, recorded: RunConfiguration, env: Environment | None) -> Environment:
    """Return the environment of a run, as `make_environments` takes it."""
    if env is not None:
        return env
    if recorded.env_given_as != "id":
        argument = "collector" if recorded.env_given_as == "collector" else "env"
        raise UsageError(
            f"the environments of {path} were made by {recorded.env}, which a file cannot store: call "
            f"ppocore.resume({str(path)!r}, {argument}=...) with it"
        )
    return without_import(recorded.env, path)
