"""Implement the commands of the command line; each returns the exit status."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppocore.cli.output import complain, show
from ppocore.cli.settings import DONE, FAILED, given
from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.training import Runtime

if TYPE_CHECKING:
    from ppocore.reporting import Reporter
    from ppocore.training import TrainResult


def train(options: argparse.Namespace) -> int:
    """Run ``ppocore train``."""
    from ppocore.api import train as run
    from ppocore.runs import Saving, UnusedDirectory

    saving = Saving().replace(every=options.checkpoint_every, keep=options.keep)
    reporters = _reporters(options)
    directory = options.run_dir
    if directory is None:
        directory = UnusedDirectory("runs", f"{options.env}-{options.backend}-s{options.seed}")
    result = run(
        options.env,
        given(options, PPOConfig),
        use_preset=not options.no_preset,
        runtime=Runtime(**given(options, Runtime)),
        seed=options.seed,
        run_dir=directory,
        checkpoint_every=saving.every,
        keep=saving.keep,
        evaluate_episodes=options.evaluate_episodes,
        reporters=reporters,
        env_kwargs=_env_kwargs(options),
        wrappers=options.wrapper or (),
        max_episode_steps=options.max_episode_steps,
        observation_keys=options.observation_keys,
    )
    return _outcome(options, result)


def _env_kwargs(options: argparse.Namespace) -> dict[str, Any] | None:
    from ppocore.envs import read_arguments

    return None if options.env_kwargs is None else read_arguments(options.env_kwargs)


def resume(options: argparse.Namespace) -> int:
    """Run ``ppocore resume``."""
    from ppocore.api import resume as resume_run

    result = resume_run(
        options.path,
        runtime=given(options, Runtime),
        steps=options.total_steps,
        env=options.env,
        env_kwargs=_env_kwargs(options),
        wrappers=options.wrapper,
        max_episode_steps=options.max_episode_steps,
        observation_keys=options.observation_keys,
        restart_episodes=options.restart_episodes,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        reporters=_reporters(options),
    )
    return _outcome(options, result)


def _reporters(options: argparse.Namespace) -> list[Reporter]:
    """Create the reporters that the options name, by default the console's."""
    from ppocore.reporting import make_reporters

    if options.quiet and options.report:
        raise UsageError("--quiet and --report contradict each other: leave one of them out")
    return [] if options.quiet else make_reporters(options.report or ["console"], as_options=True)


def _outcome(options: argparse.Namespace, result: TrainResult) -> int:
    """Print the result of a run, and return the exit status."""
    if options.json:
        show(json.dumps(result.summary()))
    elif options.quiet:
        show(f"fingerprint {result.fingerprint}")
    if result.interrupted:
        complain(
            options.command,
            f"interrupted after {result.steps} steps: the run is saved; resume with: ppocore resume {result.run_dir}"
            + (f" --env {result.env}" if ":" in result.env else ""),
        )
        return FAILED
    return DONE


def replay(options: argparse.Namespace) -> int:
    """Run ``ppocore replay``."""
    from ppocore.runs import read_bundle, replay_lines
    from ppocore.runs import replay as replay_update

    failed = read_bundle(_bundle(Path(options.path)))
    outcome = replay_update(failed)
    if options.json:
        first = outcome.first
        show(
            json.dumps(
                {
                    "update": failed.update,
                    "reproduced": outcome.error is not None,
                    "error": outcome.error,
                    "first": None if first is None else first.name,
                    "at": None if first is None else first.first,
                }
            )
        )
    else:
        show("\n".join(replay_lines(failed, outcome)))
    return DONE


def _bundle(path: Path) -> Path:
    """Return the newest bundle in a run directory, or a path that is no directory as it is."""
    if not path.is_dir():
        return path
    found = [(int(name[1]), file) for file in path.iterdir() if (name := _BUNDLE.fullmatch(file.name))]
    if not found:
        raise UsageError(f"{path} holds no failed update: one that was not finite is saved as non-finite-N.safetensors")
    return max(found)[1]


_BUNDLE = re.compile(r"non-finite-(\d{1,18})\.safetensors")


def export(options: argparse.Namespace) -> int:
    """Run ``ppocore export``."""
    from ppocore.export.onnx import export_onnx
    from ppocore.policy import Policy

    policy = Policy.load(options.path)
    try:
        export_onnx(policy, options.onnx, with_mask=options.mask)
    except OSError as error:
        raise UsageError(
            f"{options.onnx} cannot be written ({error.strerror or error}): choose another path"
        ) from error
    show(f"policy of {options.path} written to {options.onnx} and verified on random observations")
    return DONE


def evaluate(options: argparse.Namespace) -> int:
    """Run ``ppocore evaluate``."""
    from ppocore.envs import made_with
    from ppocore.evaluation import evaluate as run_policy
    from ppocore.policy import Policy
    from ppocore.runs import environment_of

    around = None
    if options.wrapper is not None or options.observation_keys is not None:
        _, around = made_with(None, None, options.wrapper or (), observation_keys=options.observation_keys)
    policy = Policy.load(options.path)
    made = environment_of(options.path, options.env, _env_kwargs(options), around)
    evaluated = run_policy(
        policy,
        made.env,
        episodes=options.episodes,
        seed=options.seed,
        deterministic=not options.stochastic,
        env_kwargs=made.env_kwargs,
        wrappers=made.wrappers,
        max_episode_steps=options.max_episode_steps,
    )
    result = evaluated.summary()
    if options.json:
        show(json.dumps(result))
        return DONE
    details = [f"{key}={value}" for key, value in (made.env_kwargs or {}).items()]
    details += [wrapper["name"] for wrapper in made.wrappers]
    how = f" ({', '.join(details)})" if details else ""
    cut = f"; cut off after {evaluated.limit} steps (--max-episode-steps): {evaluated.cut_off}"
    show(
        f"{result['env']}{how}: mean return {result['mean_return']:.2f} +- "
        f"{result['std_return']:.2f} over {result['episodes']} episodes (from {result['min_return']:.2f} to "
        f"{result['max_return']:.2f}){cut if evaluated.cut_off else ''}"
    )
    return DONE


def compare(options: argparse.Namespace) -> int:
    """Run ``ppocore compare``."""
    from ppocore.runs import compare as compare_runs

    comparison = compare_runs(options.paths)
    show(json.dumps(comparison.summary()) if options.json else "\n".join(comparison.lines()))
    return DONE if comparison.equal else FAILED


def backends(options: argparse.Namespace) -> int:
    """Run ``ppocore backends``."""
    from ppocore.registry import available_backends

    backends = available_backends()
    if options.json:
        show(json.dumps({name: {"available": hint is None, "install": hint} for name, hint in backends.items()}))
    else:
        show("\n".join(f"{name:<10} {hint or 'available'}" for name, hint in backends.items()))
    return DONE
