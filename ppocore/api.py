"""Beginning a run, and going on with one: what it is made of is made here, and let go of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from threadpoolctl import threadpool_limits

from ppocore.backend import BackendFactory
from ppocore.config import PPOConfig
from ppocore.envs import make_environments
from ppocore.errors import UsageError
from ppocore.evaluation import evaluate
from ppocore.presets import preset
from ppocore.registry import backend_factory
from ppocore.reporting import Reporter
from ppocore.reporting.jsonl import keep_lines, read_lines
from ppocore.runs.checkpoints import Saving
from ppocore.runs.directory import RunDirectory, environment_of, read_configuration, saying_what_cannot_be_written
from ppocore.runs.saver import RunOutput, warn
from ppocore.runs.state import RunState
from ppocore.training.collector import Collector, check_collector
from ppocore.training.local_collector import LocalCollector
from ppocore.training.result import TrainResult
from ppocore.training.trainer import Trainer

Environment = str | Callable[[], Any] | Any


def train(
    env: Environment | None = None,
    config: PPOConfig | None = None,
    *,
    backend: str | BackendFactory = "numpy",
    seed: int = 0,
    device: str = "cpu",
    run_dir: str | PathLike[str] | None = None,
    reporters: Sequence[Reporter] = (),
    env_kwargs: dict[str, Any] | None = None,
    checkpoint_every: int = 50,
    keep: int = 3,
    evaluate_episodes: int = 0,
    collector: Collector | None = None,
) -> TrainResult:
    """Train a policy with PPO.

    Args:
        env: an environment's id, a callable that makes one environment, or a Gymnasium ``VectorEnv``; left out with a
            ``collector``.
        config: the settings; by default those known to work for the environment (`ppocore.presets`).
        backend: a backend's name, or what makes one: a class, or a backend around a network of your own such as
            ``TorchBackend(network=...)``.
        seed: every random number of the run derives from it.
        device: where the backend computes, ``cpu`` or ``cuda``.
        run_dir: a new directory for the configuration, ``metrics.jsonl``, the run files and the policy; None writes
            nothing.
        reporters: told of the start, of every iteration and of the end; see `ppocore.reporting`.
        env_kwargs: arguments for making the environment.
        checkpoint_every: iterations from one run file to the next, and about a minute at most; 0 for one at the end
            alone.
        keep: how many run files are kept, beside the best.
        evaluate_episodes: tell the best by that many evaluated episodes, at every run file; 0: by the mean return of
            the last 100 training episodes.
        collector: collects the rollouts in place of environments made here (`ppocore.training.Collector`); closed in
            the end.

    Returns:
        The result.  After Ctrl-C or SIGTERM it is that of the last whole iteration, with ``interrupted`` set.

    Raises:
        UsageError: (a `ValueError`) a setting, environment or backend that cannot be run; nothing was written.
        RunError: the run began and could not go on; what it had is saved in ``run_dir``.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed={seed!r} must be an integer")
    if seed < 0:
        raise UsageError(f"seed={seed} is negative: choose 0 or more")
    _check_what_collects(env, env_kwargs, collector)
    config = preset(env if collector is None else collector.name) if config is None else config
    saving = Saving(checkpoint_every, keep, evaluate_episodes)
    if saving.evaluate_episodes and (env is None or isinstance(env, VectorEnv)):
        given = "a collector" if env is None else "a VectorEnv"
        raise UsageError(f"evaluate_episodes needs an environment's id or a callable, not {given}: leave it out")
    with _trainer(env, config, backend, int(seed), device, env_kwargs, collector) as trainer:
        if run_dir is None:
            return trainer.run(None, reporters)
        with RunDirectory.create(run_dir) as directory:
            kind = "id" if isinstance(env, str) else "vector" if isinstance(env, VectorEnv) else "callable"
            kind = kind if collector is None else "collector"
            directory.write_configuration(
                {
                    "env": trainer.collector.name,
                    "env_given_as": kind,
                    "env_kwargs": env_kwargs if _is_json(env_kwargs) else "not JSON",
                    "backend": trainer.backend.name,
                    "own_network": trainer.backend.own_network is not None,
                    "device": device,
                    "seed": int(seed),
                    "config": config.to_dict(),
                    "saving": {"every": saving.every, "keep": saving.keep, "evaluate_episodes": evaluate_episodes},
                }
            )
            return trainer.run(_output(trainer, directory, saving, env, env_kwargs), reporters)


def resume(
    run_dir: str | PathLike[str],
    *,
    backend: str | BackendFactory | None = None,
    device: str | None = None,
    steps: int | None = None,
    env: Environment | None = None,
    env_kwargs: dict[str, Any] | None = None,
    restart_episodes: bool = False,
    checkpoint_every: int | None = None,
    keep: int | None = None,
    reporters: Sequence[Reporter] = (),
    collector: Collector | None = None,
) -> TrainResult:
    """Go on with a run where its newest whole run file left it; it ends as if it had never been interrupted.

    A run that was never saved begins anew, which comes to the same.  One that has ended gives its result again.

    Args:
        run_dir: the run's directory.
        backend: another one than before; the run is the same with any.
        device: another one than before.
        steps: another ``total_steps``.
        env: what the environments are made of, where it was not an id; the same as before.
        env_kwargs: other arguments for making the environment.
        restart_episodes: where an environment cannot be brought back to where it stood, begin its next episode; the run
            is then not the one that it would have been.
        checkpoint_every: another number of iterations from one run file to the next.
        keep: another number of run files to keep.
        reporters: as in `train`.
        collector: a new one like the one that the run was given, where it was given one.

    Raises:
        UsageError: no such run, one that another process writes, files that are damaged, environments that cannot be
            brought back; nothing was changed.
        RunError: as in `train`.
    """
    path = Path(run_dir)
    known = read_configuration(path)
    try:
        config = PPOConfig.from_dict(known["config"])
        if steps is not None:
            config = config.replace(total_steps=steps)
        old = Saving(**known.get("saving", {}))
        saving = Saving(
            old.every if checkpoint_every is None else checkpoint_every,
            old.keep if keep is None else keep,
            old.evaluate_episodes,
        )
        seed, recorded = int(known["seed"]), str(known.get("backend", "numpy"))
    except TypeError as error:
        raise UsageError(f"the configuration of {path} cannot be read: {error}") from error
    if backend is None and known.get("own_network"):
        raise UsageError(f"the run in {path} trains a network of your own: pass backend=, made around that network")
    _check_what_collects(env, env_kwargs, collector, resuming=True)
    if collector is not None and saving.evaluate_episodes:
        raise UsageError(f"the run in {path} evaluates its policy, for which it needs env: pass env, not a collector")
    made_of = None if collector is not None else _environment(path, known, env)
    if env_kwargs is None and collector is None:
        env_kwargs = known.get("env_kwargs")
        if not isinstance(env_kwargs, dict | None):
            raise UsageError(
                f"the environments of {path} were made with arguments that JSON cannot hold: pass env_kwargs="
            )
    chosen = recorded if backend is None else backend
    where = str(known.get("device", "cpu")) if device is None else device
    with (
        _trainer(made_of, config, chosen, seed, where, env_kwargs, collector) as trainer,
        RunDirectory.reopen(path) as directory,
    ):
        with saying_what_cannot_be_written(path):
            state = directory.newest(warn)
            if state is None:
                warn(f"the run in {path} was never saved: it begins anew")
                keep_lines(directory.metrics_path, 0)
            else:
                _check(state, config, seed, trainer, path)
                _restore(trainer, state, directory, restart_episodes)
            directory.forget_policy()
        if config.to_dict() != known["config"] or trainer.backend.name != recorded:
            going_on = {"steps": 0 if state is None else state.steps, "backend": trainer.backend.name}
            known |= {"config": config.to_dict(), "continued": [*known.get("continued", []), going_on]}
            directory.write_configuration(known)
        return trainer.run(_output(trainer, directory, saving, made_of, env_kwargs, state), reporters)


def _check_what_collects(env: Any, env_kwargs: Any, collector: Any, resuming: bool = False) -> None:
    """Refuse environments and a collector given together, and a collector that is none."""
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


@contextmanager
def _trainer(
    env: Environment | None,
    config: PPOConfig,
    backend: str | BackendFactory,
    seed: int,
    device: str,
    env_kwargs: dict[str, Any] | None,
    collector: Collector | None,
) -> Iterator[Trainer]:
    """The parts of a run, and its environments closed in the end."""
    factory = backend_factory(backend) if isinstance(backend, str) else backend
    if collector is None:
        assert env is not None
        environments = make_environments(
            env,
            config.num_envs,
            seed=seed,
            vectorization=config.vectorization,
            env_kwargs=env_kwargs,
            timeout=config.env_timeout,
        )
        collector = LocalCollector(environments)
    # What is not finite is found and named where it arises; NumPy's warnings would only precede the sentence.
    with closing(collector), threadpool_limits(limits=config.threads, user_api="blas"), np.errstate(all="ignore"):
        trainer = Trainer(collector, config, factory, seed, device)
        with trainer.backend.using_threads(config.threads):
            yield trainer


def _output(
    trainer: Trainer,
    directory: RunDirectory,
    saving: Saving,
    env: Environment | None,
    env_kwargs: dict[str, Any] | None,
    state: RunState | None = None,
) -> RunOutput:
    def evaluated() -> float:
        assert env is not None  # nothing is evaluated where there is only a collector
        result = evaluate(
            trainer.policy, env, episodes=saving.evaluate_episodes, seed=trainer.seed, env_kwargs=env_kwargs
        )
        return float(result.summary()["mean_return"])

    with saying_what_cannot_be_written(directory.path):
        return RunOutput(directory, saving, evaluated, state)


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _environment(path: Path, known: dict[str, Any], env: Environment | None) -> Environment:
    """What the environments of a run are made of again."""
    if env is not None:
        return env
    name = str(known["env"])
    kind = known.get("env_given_as", "id")
    if kind != "id":
        argument = "collector" if kind == "collector" else "env"
        raise UsageError(
            f"the environments of {path} were made by {name}, which a file cannot hold: call "
            f"ppocore.resume({str(path)!r}, {argument}=...) with it"
        )
    return environment_of(path)


def _check(state: RunState, config: PPOConfig, seed: int, trainer: Trainer, path: Path) -> None:
    """Whether a run file is of this run."""
    held = state.config().replace(total_steps=config.total_steps)
    if held != config or state.description["seed"] != seed:
        settings, others = config.to_dict(), held.to_dict()
        changed = [name for name in settings if settings[name] != others[name]] or ["seed"]
        raise UsageError(
            f"{changed[0]} in {path}'s config.json is not what its run file says: put it back, or train a new run"
        )
    if state.description["env"] != trainer.collector.name:
        raise UsageError(
            f"the run in {path} is of {state.description['env']}, the environments given are "
            f"{trainer.collector.name}: give those of the run"
        )
    if state.steps > config.total_steps:
        raise UsageError(
            f"the run in {path} has taken {state.steps} steps already, more than steps={config.total_steps}: give more"
        )
    before = state.config()
    if before.total_steps != config.total_steps and config.anneals:
        warn(
            f"{config.anneals[0]} is over the whole run: going on to {config.total_steps} instead of "
            f"{before.total_steps} steps, it is not the run that would have been trained for as many from its beginning"
        )


def _restore(trainer: Trainer, state: RunState, directory: RunDirectory, restart_episodes: bool) -> None:
    # What the metrics hold beyond the run file is of iterations that will be made again.
    path = directory.path
    history, missing = read_lines(directory.metrics_path, state.iterations)
    try:
        lost = trainer.restore(state, history)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the run file of {path} is not one of such a run: {error}") from error
    if lost:
        index = min(lost)
        what = (
            f"environment {index} cannot be brought back to where it stood ({lost[index]})"
            if len(lost) == 1
            else f"environments {', '.join(map(str, lost))} cannot be brought back to where they stood ({lost[index]})"
        )
        if not restart_episodes:
            raise UsageError(
                f"{what}: the run in {path} cannot be continued as it would have gone on; to begin their next episodes "
                "instead, which gives another run, pass --restart-episodes"
            )
        warn(f"{what}: their next episodes begin instead, and the run is not the one that it would have been")
    if missing:
        warn(f"metrics.jsonl lacks {len(missing)} iterations, the first of them {missing[0]}: the run itself is whole")
    keep_lines(directory.metrics_path, state.iterations)
